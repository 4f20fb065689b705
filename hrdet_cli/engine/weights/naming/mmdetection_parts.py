"""What mmdetection calls the layers of each part of a detector.

Sources: ``mmdet/models`` of mmdetection 3.3 (``necks``, ``dense_heads``, ``roi_heads``); for what came before
``mmdet/models`` of 0.6 and 1.2 (``bbox_heads``, ``mask_heads``, ``anchor_heads``), where the heads of regions
stood outside ``roi_head`` and had the same names. Of several spellings the first is that of version 3.
"""

from collections.abc import Iterator

from hrdet_cli.engine.weights.naming.renaming import LayerNames


def rpn(*, is_alone: bool = False) -> Iterator[LayerNames]:
    """What proposes; in a detector that does nothing else it is called ``bbox_head`` since version 3.

    Args:
        is_alone: Which of both names counts where the other way is asked for.
    """
    for theirs in ("bbox_head", "rpn_head") if is_alone else ("rpn_head", "bbox_head"):
        yield from _conv_module(f"{theirs}.rpn_conv.{{}}", "rpn.conv.{}")
        yield LayerNames(f"{theirs}.rpn_conv", "rpn.conv")
        yield LayerNames(f"{theirs}.rpn_cls", "rpn.objectness")
        yield LayerNames(f"{theirs}.rpn_reg", "rpn.deltas")


def backbone() -> Iterator[LayerNames]:
    """Norms of blocks are called by their kind, and ours are not; what moves taps had a name in 2019."""
    yield LayerNames("backbone.layer{}.{}.conv2.conv_offset", "backbone.layer{}.{}.conv2.conv_offset")
    yield LayerNames("backbone.layer{}.{}.conv2_offset", "backbone.layer{}.{}.conv2.conv_offset")
    for block in ("backbone", "backbone.layer{}.{}", "backbone.stage{}.{}.branches.{}.{}"):
        for number in range(1, 4):
            yield LayerNames(f"{block}.gn{number}", f"{block}.bn{number}", has_statistics=False)


def hrfpn() -> Iterator[LayerNames]:
    """HRFPN; in HRNet-Object-Detection its convolutions are no modules with a convolution inside."""
    yield from _conv_module("neck.reduction_conv", "neck.reduction_conv")
    yield from _conv_module("neck.fpn_convs.{}", "neck.fpn_convs.{}")
    yield LayerNames("neck.reduction_conv.0", "neck.reduction_conv")
    yield LayerNames("neck.fpn_conv.{}", "neck.fpn_convs.{}")


def fpn(*, num_laterals: int) -> Iterator[LayerNames]:
    """FPN: the convolutions behind those of the laterals' levels make the coarser levels."""
    for number, level in enumerate(("p6", "p7"), start=num_laterals):
        yield from _conv_module(f"neck.fpn_convs.{number}", f"neck.pyramid.extra_blocks.{level}")
    for theirs, ours in (("lateral_convs", "inner_blocks"), ("fpn_convs", "layer_blocks")):
        block = f"neck.pyramid.{ours}.{{}}"
        yield from _conv_module(f"neck.{theirs}.{{}}", f"{block}.0", norm=f"{block}.1")


def regions(prefix: str) -> Iterator[LayerNames]:
    """The heads that look at regions, each alone or one for each stage of a cascade.

    Args:
        prefix: What stands before their names.
    """
    for their_stage, our_stage in ((".{}", ".stages.{}"), ("", "")):
        yield from _box_head(f"{prefix}bbox_head{their_stage}", f"roi_head{our_stage}")
        yield from _mask_head(f"{prefix}mask_head{their_stage}", f"mask_head{our_stage}")
    yield from _semantic_head(f"{prefix}semantic_head")


def retina_head() -> Iterator[LayerNames]:
    """RetinaNet's, with either spelling of its convolutions: until 0.5.3 they were bare ones."""
    yield from _dense_convs("retina_head")
    yield LayerNames("bbox_head.retina_cls", "retina_head.class_logits")
    yield LayerNames("bbox_head.retina_reg", "retina_head.deltas")


def fcos_head() -> Iterator[LayerNames]:
    """FCOS's, with either spelling of its last layers: ``fcos_cls`` and so on in versions 1 and early 2."""
    yield from _dense_convs("fcos_head")
    for start in ("conv", "fcos"):
        yield LayerNames(f"bbox_head.{start}_cls", "fcos_head.class_logits")
        yield LayerNames(f"bbox_head.{start}_reg", "fcos_head.distances")
        yield LayerNames(f"bbox_head.{start}_centerness", "fcos_head.centreness")
    yield LayerNames("bbox_head.scales.{}.scale", "fcos_head.scales.{}")


def _box_head(theirs: str, ours: str) -> Iterator[LayerNames]:
    yield from _conv_module(f"{theirs}.shared_convs.{{}}", f"{ours}.convs.{{}}")
    yield LayerNames(f"{theirs}.shared_fcs.0", f"{ours}.fc1")
    yield LayerNames(f"{theirs}.shared_fcs.1", f"{ours}.fc2")
    yield LayerNames(f"{theirs}.fc_cls", f"{ours}.classifier")
    yield LayerNames(f"{theirs}.fc_reg", f"{ours}.regressor")


def _mask_head(theirs: str, ours: str) -> Iterator[LayerNames]:
    yield from _conv_module(f"{theirs}.convs.{{}}", f"{ours}.convs.{{}}")
    yield from _conv_module(f"{theirs}.conv_res", f"{ours}.conv_res")
    yield LayerNames(f"{theirs}.upsample", f"{ours}.upsample")
    yield LayerNames(f"{theirs}.conv_logits", f"{ours}.logits")


def _semantic_head(theirs: str) -> Iterator[LayerNames]:
    yield from _conv_module(f"{theirs}.lateral_convs.{{}}", "semantic_head.laterals.{}")
    yield from _conv_module(f"{theirs}.convs.{{}}", "semantic_head.convs.{}")
    yield from _conv_module(f"{theirs}.conv_embedding", "semantic_head.embedding")
    yield LayerNames(f"{theirs}.conv_logits", "semantic_head.logits")


def _dense_convs(ours: str) -> Iterator[LayerNames]:
    for their_convs, our_convs in (("cls_convs", "class_convs"), ("reg_convs", "box_convs")):
        theirs = f"bbox_head.{their_convs}.{{}}"
        yield from _conv_module(theirs, f"{ours}.{our_convs}.{{}}")
        yield LayerNames(theirs, f"{ours}.{our_convs}.{{}}")


def _conv_module(theirs: str, ours: str, *, norm: str | None = None) -> Iterator[LayerNames]:
    """A ``ConvModule`` of mmcv's: a convolution, and a norm that is called by its kind.

    Args:
        theirs: The module.
        ours: Our convolution.
        norm: Our norm, where it is not inside the convolution.
    """
    yield LayerNames(f"{theirs}.bn", norm or f"{ours}.norm", has_statistics=True)
    yield LayerNames(f"{theirs}.gn", norm or f"{ours}.norm", has_statistics=False)
    yield LayerNames(f"{theirs}.conv", ours)

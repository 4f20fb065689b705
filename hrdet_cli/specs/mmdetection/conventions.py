"""What each generation of mmdetection does without a key for it; docs/parity.md has the sources."""

from collections.abc import Iterator, Mapping
from typing import Any

from hrdet_cli.specs.mmdetection.rules import Known

_ANCHORS = {"cascade_rcnn": "model.head.rpn", "faster_rcnn": "model.head.rpn", "rpn": "model.head.rpn"}
_COCO = {
    "data.root": "data/coco",
    "data.train.annotations": "annotations/instances_train2017.json",
    "data.train.images": "train2017",
}


def conventions(values: Mapping[str, Any], known: Known) -> Iterator[tuple[str, Any]]:
    """Dotted keys of ours that no key of theirs decides, with their values.

    Args:
        values: What their keys have decided.
        known: The configuration.
    """
    head = values.get("model.head.kind")
    is_first = known.generation == 1
    yield "data.resize_filter", "bilinear" if is_first else "opencv"
    if is_first:
        yield "model.box_corners", "inclusive"
    if head == "fcos":
        yield "model.head.point_area", "canvas"
    else:
        yield from _of_anchors(_ANCHORS.get(str(head), "model.head"), values, is_first=is_first)
    if is_first and "model.head.mask" in values:
        yield "model.head.mask.paste", "whole_pixels"
    yield from _of_training(values, known)


def _of_anchors(section: str, values: Mapping[str, Any], *, is_first: bool) -> Iterator[tuple[str, Any]]:
    yield f"{section}.anchor_area", "padded"
    if is_first:
        yield f"{section}.anchor_offset", 0.5
        yield f"{section}.round_anchors", True
    elif values.get(f"{section}.allowed_border_pixels") is not None:
        yield f"{section}.border_end", "outside"


def _of_training(values: Mapping[str, Any], known: Known) -> Iterator[tuple[str, Any]]:
    if "optimisation.base_batch_size" not in values:
        yield "optimisation.learning_rate_scaling", "none"
    yield "optimisation.max_warmup_share", None
    if known.get("optim_wrapper") is not None:
        if "optimisation.warmup_steps" not in values:
            yield "optimisation.warmup_steps", 0
        if f"{_SCHEDULE}.kind" not in values:
            yield f"{_SCHEDULE}.kind", "constant"
        if "optimisation.clip_norm" not in values:
            yield "optimisation.clip_norm", None
    if "padding" not in values:
        yield "padding", {"policy": "batch"}
    if "augmentation" not in values:
        yield "augmentation", {"kind": "resize", "scales_pixels": [[1333, 800]]}
    has_pipeline = known.get("train_dataloader.dataset.pipeline") is not None
    if has_pipeline and "augmentation.flip_probability" not in values:
        yield "augmentation.flip_probability", 0
    if values.keys().isdisjoint(("data.train", "data.train.annotations")):
        yield from _COCO.items()
    for part in ("train", "val"):
        if f"data.{part}.annotations" in values and f"data.{part}.images" not in values:
            yield f"data.{part}.images", "."  # file names are joined to the root alone


_SCHEDULE = "optimisation.schedule"

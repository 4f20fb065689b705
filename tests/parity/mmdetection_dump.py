"""What mmdetection computes at every stage, written into files for ``compare.py``.

Runs where mmdet 3.3.0 and mmcv 2.1.0 with its operators are installed, which is not where hrdet is:

    python tests/parity/mmdetection_dump.py FOLDER [w18 mask-w18 htc-w18 ...] [--float64]
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import mmdet.models.roi_heads.mask_heads.fcn_mask_head as fcn_mask_head  # type: ignore[import-not-found]
import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.parity.cases import CASES, DETECTION_BATCHES, TRAINING_BATCHES
from tests.parity.mmdetection_listening import (
    Dump,
    anchors_that_take_part,
    calls,
    calls_of_each,
    draws,
    stages_of,
)
from tests.parity.mmdetection_models import Sizes, build, preprocess


def main() -> None:
    """One file a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=[name for name, case in CASES.items() if case.config])
    parser.add_argument("--float64", action="store_true", help="compute in float64")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.models:
        model = build(name).double() if arguments.float64 else build(name)
        dump = {
            "shapes": {key: list(value.shape) for key, value in model.state_dict().items()},
            "detection": {batch: dump_detection(model, sizes) for batch, sizes in DETECTION_BATCHES.items()},
            "training": {batch: dump_training(model, sizes) for batch, sizes in TRAINING_BATCHES.items()},
        }
        torch.save(dump, arguments.folder / f"{name}.pt")


@torch.no_grad()
def dump_detection(model: Any, sizes: Sizes) -> Dump:
    """Every stage from pixels to boxes and masks in original coordinates."""
    model.eval()
    data = preprocess(model, sizes, training=False)
    backbone = model.backbone(data["inputs"])
    neck = model.neck(backbone)
    dump = {"input": data["inputs"], "backbone": list(backbone), "neck": list(neck)}
    dump |= {name: list(levels) for name, levels in _dense_maps(model, neck)}
    if _has_regions(model):
        proposals = model.rpn_head.predict(neck, data["data_samples"], rescale=False)
        dump["proposals"] = [{"boxes": picture.bboxes, "scores": picture.scores} for picture in proposals]
        heard, found = _heard_while_predicting(model, data)
        dump |= heard
    else:
        found = _predict(model, data)
    dump["detections"] = [
        {"boxes": picture.bboxes, "scores": picture.scores, "labels": picture.labels} for picture in found
    ]
    if "masks" in found[0]:
        # A bit a pixel of ``(D, height, width)`` in the original picture.
        dump["pasted"] = [torch.from_numpy(np.packbits(picture.masks.numpy(), axis=-1)) for picture in found]
    return dump


def _has_regions(model: Any) -> bool:
    return hasattr(model, "roi_head")


def _dense_maps(model: Any, neck: Sequence[Tensor]) -> Iterator[tuple[str, Sequence[Tensor]]]:
    """What a head predicts at every place, by level."""
    if _has_regions(model):
        yield from zip(("rpn_scores", "rpn_deltas"), model.rpn_head(neck), strict=True)
    elif hasattr(model.bbox_head, "conv_centerness"):
        yield from zip(("class_logits", "distances", "centreness"), model.bbox_head(neck), strict=True)
    else:
        yield from zip(("class_logits", "deltas"), model.bbox_head(neck), strict=True)


def _predict(model: Any, data: Dump) -> list[Any]:
    found = model.predict(data["inputs"], data["data_samples"], rescale=True)
    return [sample.pred_instances for sample in found]


def _heard_while_predicting(model: Any, data: Dump) -> tuple[Dump, list[Any]]:
    """What the region head's stages say of the regions they get, and what is found.

    Masks are the logits of the class that was found, ``(D, m, m)`` for all pictures together, of each stage,
    and the probabilities that are pasted.
    """
    head = model.roi_head
    mask_heads = stages_of(getattr(head, "mask_head", None))
    semantic_heads = stages_of(getattr(head, "semantic_head", None))
    with ExitStack() as stack:
        pooled = stack.enter_context(calls_of_each(stages_of(head.bbox_roi_extractor)))
        mask_pools = stages_of(getattr(head, "mask_roi_extractor", None))
        pooled_masks = stack.enter_context(calls_of_each(mask_pools))
        boxes = stack.enter_context(calls_of_each(stages_of(head.bbox_head)))
        masks = stack.enter_context(calls_of_each(mask_heads))
        semantic = stack.enter_context(calls_of_each(semantic_heads))
        pasted = stack.enter_context(calls(fcn_mask_head, "_do_paste_mask"))
        found = _predict(model, data)
    dump: Dump = {
        "box_stages": [
            {"regions": regions, "logits": logits, "deltas": deltas}
            for (((_, regions), _),), ((_, (logits, deltas)),) in zip(pooled, boxes, strict=True)
        ]
    }
    for ((_, (logits, features)),) in semantic:
        dump |= {"semantic_logits": logits, "semantic_features": features}
    if mask_heads:
        (((_, dump["mask_regions"]), _),) = pooled_masks[-1]  # HTC pools once for all stages
        labels = torch.cat([picture.labels for picture in found])
        rows = torch.arange(len(labels))
        # The stages of HTC answer with features too.
        stages = [answer[0] if isinstance(answer, list) else answer for ((_, answer),) in masks]
        dump["mask_logits"] = [logits[rows, labels].clone() for logits in stages]
        dump["masks"] = torch.cat([arguments[0][:, 0] for arguments, _ in pasted])
    return dump, found


def dump_training(model: Any, sizes: Sizes) -> Dump:
    """Losses, what they were computed from, and the gradient of every parameter."""
    torch.manual_seed(0)
    model.train()
    data = preprocess(model, sizes, training=True)
    losses, dump = _heard_while_training(model, data, len(sizes))
    total = torch.stack([sum_of(value) for name, value in losses.items() if "loss" in name]).sum()
    model.zero_grad()
    torch.autograd.backward(total)
    dump["losses"] = {name: sum_of(value).item() for name, value in losses.items()}
    dump["gradients"] = {
        name: parameter.grad.double().norm().item()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return dump


def _heard_while_training(model: Any, data: Dump, num_pictures: int) -> tuple[Dump, Dump]:
    """Losses, and what anchors, points and regions are assigned to and drawn."""
    dense = model.rpn_head if _has_regions(model) else model.bbox_head
    regions = getattr(model, "roi_head", None)
    mask_heads = stages_of(getattr(regions, "mask_head", None))
    dump: Dump = {}
    with ExitStack() as stack:
        if hasattr(dense, "sampler"):
            takes_part = stack.enter_context(anchors_that_take_part())
            (dump["anchor_draws"],) = stack.enter_context(draws([dense.sampler]))
        else:
            points = stack.enter_context(calls(dense, "get_targets"))
        sampled = stack.enter_context(draws(stages_of(getattr(regions, "bbox_sampler", None))))
        masks = stack.enter_context(calls_of_each(mask_heads, "get_targets"))
        losses = model.loss(data["inputs"], data["data_samples"])
    if "anchor_draws" in dump:
        dump["anchors_take_part"] = [flags for _, flags in takes_part]
    else:
        ((_, (labels, distances)),) = points
        dump |= {"point_labels": list(labels), "point_distances": list(distances)}
    # An interleaved head draws once more, for the masks.
    dump["box_draws"] = [pictures[:num_pictures] for pictures in sampled]
    dump["mask_draws"] = [pictures[num_pictures:] for pictures in sampled if len(pictures) > num_pictures]
    dump["mask_targets"] = [targets for ((_, targets),) in masks]
    return losses, dump


def sum_of(value: Tensor | list[Tensor]) -> Tensor:
    """A loss that may be one value a level."""
    return value.sum() if isinstance(value, Tensor) else torch.stack(value).sum()


if __name__ == "__main__":
    main()

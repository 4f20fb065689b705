"""What torchvision's detectors compute at every stage, in the form of ``mmdetection_dump.py``'s files.

Runs where hrdet runs:

    python -m tests.parity.torchvision_dump FOLDER [torchvision torchvision-v2 ...]
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.models.detection import roi_heads
from torchvision.models.detection.image_list import ImageList

from tests.parity.cases import DETECTION_BATCHES, TRAINING_BATCHES, original_size
from tests.parity.filling import make_picture, make_polygons, make_targets
from tests.parity.torchvision_models import MODELS, build

Sizes = Sequence[tuple[int, int]]
Dump = dict[str, Any]

_LOSS_NAMES = {
    "loss_objectness": "loss_rpn_cls",
    "loss_rpn_box_reg": "loss_rpn_bbox",
    "loss_classifier": "loss_cls",
    "loss_box_reg": "loss_bbox",
    "loss_mask": "loss_mask",
}


def main() -> None:
    """Write a file for each model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=MODELS)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.models:
        model = build(name)
        dump = {
            "shapes": {key: list(value.shape) for key, value in model.state_dict().items()},
            "detection": {batch: dump_detection(model, sizes) for batch, sizes in DETECTION_BATCHES.items()},
            "training": {batch: dump_training(model, sizes) for batch, sizes in TRAINING_BATCHES.items()},
        }
        torch.save(dump, arguments.folder / f"{name}.pt")


@torch.no_grad()
def dump_detection(model: Any, sizes: Sizes) -> Dump:
    """Every stage from pixels to boxes in original coordinates."""
    model.eval()
    images = make_images(model, sizes)
    body = model.backbone.body(images.tensors)
    features = model.backbone.fpn(body)
    scores, deltas = model.rpn.head(list(features.values()))
    proposals, _ = model.rpn(images, features)
    found, _ = model.roi_heads(features, proposals, images.image_sizes)
    masks = _masks(found) if model.roi_heads.has_mask() else {}
    for picture in found:
        picture.pop("masks", None)  # or they would be pasted
    found = model.transform.postprocess(found, images.image_sizes, [original_size(*size) for size in sizes])
    return {
        "input": images.tensors,
        "backbone": list(body.values()),
        "neck": list(features.values()),
        "rpn_scores": scores,
        "rpn_deltas": deltas,
        "proposals": [{"boxes": boxes} for boxes in proposals],
        "detections": [{**picture, "labels": picture["labels"] - 1} for picture in found],
        **masks,
    }


def _masks(found: Sequence[dict[str, Tensor]]) -> Dump:
    """Those of detections, in the frames of their boxes on the canvas."""
    probabilities = torch.cat([picture["masks"][:, 0] for picture in found])
    rows = [torch.nn.functional.pad(x["boxes"], (1, 0), value=number) for number, x in enumerate(found)]
    return {
        "mask_regions": torch.cat(rows),
        "mask_logits": [probabilities.logit()],
        "masks": probabilities,
    }


def dump_training(model: Any, sizes: Sizes) -> Dump:
    """Losses, what was drawn for them, and what every anchor and proposal was assigned to."""
    torch.manual_seed(0)
    model.train()
    images = make_images(model, sizes)
    targets = make_all_targets(sizes, images.tensors.dtype)
    features = model.backbone(images.tensors)
    with Listener(model.rpn) as of_rpn:
        proposals, rpn_losses = model.rpn(images, features, targets)
    with Listener(model.roi_heads) as of_roi, heard_mask_targets() as mask_targets:
        _, roi_losses = model.roi_heads(features, proposals, images.image_sizes, targets)
    losses = {_LOSS_NAMES[name]: value for name, value in {**rpn_losses, **roi_losses}.items()}
    model.zero_grad()
    sum(losses.values()).backward()
    return {
        "losses": {name: value.item() for name, value in losses.items()},
        "anchor_draws": [
            {"assigned": assigned, "positive": positive, "negative": negative}
            for assigned, positive, negative in of_rpn.pictures(_as_mmdetection)
        ],
        "anchors_take_part": [torch.ones(len(matched), dtype=torch.bool) for matched in of_rpn.matched],
        "box_draws": [
            [
                _with_targets_first(candidates, len(target["boxes"]), *drawn)
                for candidates, target, drawn in zip(
                    proposals, targets, of_roi.pictures(_as_mmdetection), strict=True
                )
            ]
        ],
        "mask_draws": [],
        "mask_targets": mask_targets,
        "gradients": {
            name: parameter.grad.double().norm().item()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        },
    }


@contextmanager
def heard_mask_targets() -> Iterator[list[Tensor]]:
    """What the mask branch learns. torchvision leaves shares of cells as they are; here they are rounded."""
    heard: list[Tensor] = []
    project = roi_heads.project_masks_on_boxes

    def round_and_listen(*arguments: Any) -> Tensor:
        targets: Tensor = project(*arguments).round()
        heard[:] = [torch.cat([*heard, targets])]
        return targets

    with mock.patch.object(roi_heads, "project_masks_on_boxes", round_and_listen):
        yield heard


def _as_mmdetection(matched: Tensor) -> Tensor:
    """Matches to numbers from 1 for targets, 0 for the background and -1 for neither."""
    return torch.where(matched == -2, -1, matched + 1)


def _with_targets_first(
    candidates: Tensor, num_targets: int, assigned: Tensor, positive: Tensor, negative: Tensor
) -> Dump:
    """Torchvision has the targets behind the proposals, mmdetection in front of them."""
    num = len(candidates)

    def moved(index: Tensor) -> Tensor:
        return torch.where(index >= num, index - num, index + num_targets)

    return {
        "candidates": candidates,
        "assigned": assigned[:num],
        "positive": moved(positive),
        "negative": moved(negative),
    }


class Listener:
    """Keeps what a part's matcher and sampler return."""

    def __init__(self, part: Any) -> None:
        self.part = part
        self.matched: list[Tensor] = []
        self.drawn: list[tuple[Tensor, Tensor]] = []

    def __enter__(self) -> "Listener":
        self._matcher, self._sampler = self.part.proposal_matcher, self.part.fg_bg_sampler
        self.part.proposal_matcher = _HeardMatcher(self._matcher, self.matched)
        self.part.fg_bg_sampler = self._draw
        return self

    def __exit__(self, *_: object) -> None:
        self.part.proposal_matcher, self.part.fg_bg_sampler = self._matcher, self._sampler

    def pictures(self, convert: Callable[[Tensor], Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Matches, drawn positives and drawn negatives of each picture."""
        return [(convert(m), *drawn) for m, drawn in zip(self.matched, self.drawn, strict=True)]

    def _draw(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        positive, negative = self._sampler(labels)
        pairs = zip(positive, negative, strict=True)
        self.drawn += [(p.nonzero().flatten(), n.nonzero().flatten()) for p, n in pairs]
        return positive, negative


class _HeardMatcher:
    """A matcher whose answers are kept."""

    def __init__(self, matcher: Any, heard: list[Tensor]) -> None:
        self.BELOW_LOW_THRESHOLD = matcher.BELOW_LOW_THRESHOLD
        self.BETWEEN_THRESHOLDS = matcher.BETWEEN_THRESHOLDS
        self._matcher, self._heard = matcher, heard

    def __call__(self, overlaps: Tensor) -> Tensor:
        self._heard.append(self._matcher(overlaps))
        return self._heard[-1]


def make_images(model: Any, sizes: Sizes) -> ImageList:
    """The batch as torchvision's transform makes it of pictures that need no resize."""
    dtype = model.backbone.body.conv1.weight.dtype
    pictures = [
        torch.from_numpy(make_picture(height, width, number=number)).to(dtype) / 255
        for number, (height, width) in enumerate(sizes)
    ]
    normalised = [model.transform.normalize(picture) for picture in pictures]
    return ImageList(model.transform.batch_images(normalised, size_divisible=32), list(sizes))


def make_all_targets(sizes: Sizes, dtype: torch.dtype) -> list[dict[str, Tensor]]:
    """Ground truth; the background is class 0, with the masks that hrdet's side has."""
    pictures = []
    for number, (height, width) in enumerate(sizes):
        boxes, labels = make_targets(height, width, number=number)
        bitmaps = []
        for polygon in make_polygons(boxes):
            bitmap = Image.new("1", (width, height))
            ImageDraw.Draw(bitmap).polygon([(float(x), float(y)) for x, y in polygon], fill=1)
            bitmaps.append(np.asarray(bitmap, dtype=np.uint8))
        pictures.append(
            {
                "boxes": torch.from_numpy(boxes).to(dtype),
                "labels": torch.from_numpy(labels) + 1,
                "masks": torch.from_numpy(np.stack(bitmaps)),
            }
        )
    return pictures


if __name__ == "__main__":
    main()

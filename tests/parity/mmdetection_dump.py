"""What mmdetection computes at every stage, written into files for ``compare.py``.

Runs where mmdet 3.3.0 and mmcv 2.1.0 with its operators are installed, which is not where hrdet is:

    python tests/parity/mmdetection_dump.py FOLDER [w18 w32 w40 r50 r50-caffe]
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mmdet  # type: ignore[import-not-found]
import mmdet.models.dense_heads.anchor_head as anchor_head  # type: ignore[import-not-found]
import torch
from mmdet.registry import MODELS  # type: ignore[import-not-found]
from mmdet.structures import DetDataSample  # type: ignore[import-not-found]
from mmdet.utils import register_all_modules  # type: ignore[import-not-found]
from mmengine.config import Config  # type: ignore[import-not-found]
from mmengine.structures import InstanceData  # type: ignore[import-not-found]
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.parity.cases import (
    DETECTION_BATCHES,
    MMDETECTION_CONFIGS,
    PIXEL_STDS,
    TRAINING_BATCHES,
    original_size,
)
from tests.parity.filling import fill, make_picture, make_targets

Sizes = Sequence[tuple[int, int]]
Dump = dict[str, Any]


def main() -> None:
    """One file a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=list(MMDETECTION_CONFIGS))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    register_all_modules()
    for name in arguments.models:
        model = build(name)
        dump = {
            "shapes": {key: list(value.shape) for key, value in model.state_dict().items()},
            "detection": {batch: dump_detection(model, sizes) for batch, sizes in DETECTION_BATCHES.items()},
            "training": {batch: dump_training(model, sizes) for batch, sizes in TRAINING_BATCHES.items()},
        }
        torch.save(dump, arguments.folder / f"{name}.pt")


def build(name: str) -> Any:
    """A detector of mmdetection's own configuration with arithmetic weights."""
    configs = Path(mmdet.__file__).parent / ".mim" / "configs"
    config = Config.fromfile(str(configs / MMDETECTION_CONFIGS[name])).model
    config.backbone.init_cfg = None
    model = MODELS.build(config)
    state = model.state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    filled = fill(shapes, pixel_std=PIXEL_STDS.get(name, 1.0))
    model.load_state_dict({key: torch.from_numpy(filled[key]).to(state[key].dtype) for key in state})
    return model


@torch.no_grad()
def dump_detection(model: Any, sizes: Sizes) -> Dump:
    """Every stage from pixels to boxes in original coordinates."""
    model.eval()
    data = model.data_preprocessor(make_batch(sizes), False)
    backbone = model.backbone(data["inputs"])
    neck = model.neck(backbone)
    scores, deltas = model.rpn_head(neck)
    proposals = model.rpn_head.predict(neck, data["data_samples"], rescale=False)
    found = model.predict(data["inputs"], data["data_samples"], rescale=True)
    return {
        "input": data["inputs"],
        "backbone": list(backbone),
        "neck": list(neck),
        "rpn_scores": list(scores),
        "rpn_deltas": list(deltas),
        "proposals": [{"boxes": p.bboxes, "scores": p.scores} for p in proposals],
        "detections": [
            {"boxes": p.bboxes, "scores": p.scores, "labels": p.labels}
            for p in (sample.pred_instances for sample in found)
        ],
    }


def dump_training(model: Any, sizes: Sizes) -> Dump:
    """Losses, what was drawn for them, and what every anchor and proposal was assigned to."""
    torch.manual_seed(0)
    model.train()
    rpn_draws, roi_draws, flags = Recorder(), Recorder(), []
    model.rpn_head.sampler.sample = rpn_draws.around(model.rpn_head.sampler.sample)
    model.roi_head.bbox_sampler.sample = roi_draws.around(model.roi_head.bbox_sampler.sample)
    inside_flags = anchor_head.anchor_inside_flags

    def record_flags(*arguments: Any) -> Any:
        flags.append(inside_flags(*arguments))
        return flags[-1]

    anchor_head.anchor_inside_flags = record_flags
    try:
        data = model.data_preprocessor(make_batch(sizes), True)
        losses = model.loss(data["inputs"], data["data_samples"])
        total = torch.stack([sum_of(value) for name, value in losses.items() if "loss" in name]).sum()
        model.zero_grad()
        torch.autograd.backward(total)
    finally:
        anchor_head.anchor_inside_flags = inside_flags
        del model.rpn_head.sampler.sample, model.roi_head.bbox_sampler.sample
    return {
        "losses": {name: sum_of(value).item() for name, value in losses.items()},
        "rpn_draws": rpn_draws.draws,
        "rpn_takes_part": flags,
        "roi_draws": roi_draws.draws,
        "gradients": {
            name: parameter.grad.double().norm().item()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        },
    }


def sum_of(value: Tensor | list[Tensor]) -> Tensor:
    """A loss that may be one value a level."""
    return value.sum() if isinstance(value, Tensor) else torch.stack(value).sum()


class Recorder:
    """Keeps what a sampler drew."""

    def __init__(self) -> None:
        self.draws: list[Dump] = []

    def around(self, sample: Callable[..., Any]) -> Callable[..., Any]:
        """The sampler's method, listened to."""

        def record(assigned: Any, instances: Any, targets: Any, **others: Any) -> Any:
            of_candidates = {"candidates": instances.priors.clone(), "assigned": assigned.gt_inds.clone()}
            drawn = sample(assigned, instances, targets, **others)
            self.draws.append(
                {**of_candidates, "positive": drawn.pos_inds.clone(), "negative": drawn.neg_inds.clone()}
            )
            return drawn

        return record


def make_batch(sizes: Sizes) -> Dump:
    """Pictures as mmdetection's pipeline packs them: BGR bytes."""
    inputs, samples = [], []
    for number, (height, width) in enumerate(sizes):
        inputs.append(torch.from_numpy(make_picture(height, width, number=number)).flip(0))
        boxes, labels = make_targets(height, width, number=number)
        original_height, original_width = original_size(height, width)
        sample = DetDataSample(
            metainfo={
                "img_shape": (height, width),
                "ori_shape": (original_height, original_width),
                "scale_factor": (width / original_width, height / original_height),
            }
        )
        sample.gt_instances = InstanceData(bboxes=torch.from_numpy(boxes), labels=torch.from_numpy(labels))
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
        samples.append(sample)
    return {"inputs": inputs, "data_samples": samples}


if __name__ == "__main__":
    main()

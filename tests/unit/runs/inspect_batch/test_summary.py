"""The summary against the batches that a training loader really makes."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from hrdet_cli.engine.data.transforms import resize_within
from hrdet_cli.engine.distributed.ranks import World
from hrdet_cli.engine.geometry import Scale
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.dataset.opening import open_part
from hrdet_cli.runs.inspect_batch.summary import summarise
from tests.unit.runs.inspect_batch.conftest import tiny_spec

CROP = (
    "augmentation={kind: resize-crop, scales_pixels: [[160, 128], [200, 160]], crop_pixels: [96, 64]}",
    "padding.canvas_pixels=[96, 64]",
)
JITTER = "augmentation={kind: scale-jitter, edge_pixels: 128}"
POLICIES: dict[str, tuple[str, ...]] = {
    "fixed": (),
    "canvases": ("padding={policy: canvases, num_canvases: 2}",),
    "batch": ("padding.policy=batch",),
    "crop": CROP,
    "crop and batch": (CROP[0], "padding.policy=batch"),
    "jitter that crops": (JITTER, "padding={policy: fixed, canvas_pixels: [128, 128]}"),
    "jitter that crops, canvases": (JITTER, "padding={policy: canvases, num_canvases: 3}"),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("num_processes", [1, 3])
def test_the_summary_is_that_of_the_batches_that_training_gets(
    demo_root: Path, policy: str, num_processes: int
) -> None:
    spec = tiny_spec(demo_root, *POLICIES[policy])
    part = open_part(spec.data, "train")
    batches = []
    for rank in range(num_processes):
        world = World(rank, num_processes)
        with build_training_loader(spec, part, torch.device("cpu"), world=world) as loader:
            batches += list(loader.batches(2))
    canvases = Counter(str(batch.images.canvas) for batch in batches)
    num_pixels = sum(len(batch) * batch.images.canvas.num_pixels for batch in batches)
    num_useful = sum(int(batch.images.sizes.prod(dim=1).sum()) for batch in batches)
    records = [record for batch in batches for record in batch.records]
    annotated = sum(int(part.annotations.num_boxes[record.index]) for record in records)
    num_boxes = sum(int(batch.targets.is_valid.sum()) for batch in batches)

    summary = summarise(spec, part.annotations, epoch=2, num_processes=num_processes)
    epoch = summary.epoch
    assert epoch.num_steps == epoch.num_steps_in_epoch == len(batches) / num_processes
    assert {str(canvas): c.num_items for canvas, c in epoch.batches_by_canvas.items()} == canvases
    assert epoch.pixels.useful_share == pytest.approx(num_useful / num_pixels)
    assert epoch.num_boxes == num_boxes
    assert epoch.num_lost == annotated - num_boxes
    assert (epoch.num_lost > 0) == ("crop" in policy)
    assert (epoch.num_clipped > 0) == ("crop" in policy)
    assert set(epoch.indices) == {record.index for record in records}
    assert epoch.num_pictures == len(records)

    assert summary.is_range == ("jitter" in policy)
    if summary.is_range:
        return  # a scale counts for the nearest that is listed
    counts = Counter(
        scale
        for record in records
        for scale in epoch.pictures_by_scale
        if resize_within(record.original, scale) == record.placement.resized
    )
    assert counts == {scale: c.num_items for scale, c in epoch.pictures_by_scale.items() if c.num_items}


def test_boxes_are_as_large_as_their_scale_makes_them(demo_root: Path) -> None:
    spec = tiny_spec(demo_root)
    annotations = open_part(spec.data, "train").annotations
    small, middle, large = summarise(spec, annotations, epoch=0, num_processes=1).scales
    assert (small.scale, middle.scale, large.scale) == (Scale(96, 96), Scale(128, 96), Scale(160, 128))

    sides, num_larger = [], 0
    for index in np.flatnonzero(annotations.num_boxes).tolist():
        boxes, _ = annotations.targets_of(index)
        height, width = annotations.sizes[index].tolist()
        factor = min(160 / max(height, width), 128 / min(height, width))
        num_larger += factor > 1
        sides += ((boxes[:, 2:] - boxes[:, :2]).min(axis=1) * factor).tolist()
    assert large.num_boxes == len(sides)
    assert large.smallest_side == pytest.approx(min(sides), rel=0.02)  # pictures have whole pixels
    assert large.low_side == pytest.approx(np.quantile(sides, 0.05), rel=0.02)
    assert large.median_side == pytest.approx(np.median(sides), rel=0.02)
    assert large.enlarged_share == num_larger / large.num_pictures
    recall = large.anchor_recall
    assert recall is not None
    assert list(recall) == [0.7, 0.5, 0.3]
    assert recall[0.7] <= recall[0.5] <= recall[0.3] <= 1


def test_of_a_range_a_few_scales_stand_for_those_between(demo_root: Path) -> None:
    spec = tiny_spec(
        demo_root, "augmentation.scales_pixels=[[96, 64], [160, 128]]", "augmentation.scale_mode=range"
    )
    summary = summarise(spec, open_part(spec.data, "train").annotations, epoch=0, num_processes=1)
    scales = [scale.scale for scale in summary.scales]
    assert summary.is_range
    assert len(scales) == 12
    assert scales[0] == Scale(96, 64)
    assert scales[-1] == Scale(160, 128)
    num_drawn = sum(count.num_items for count in summary.epoch.pictures_by_scale.values())
    assert num_drawn == summary.epoch.num_steps * 2


def test_another_epoch_draws_anew_and_the_same_one_alike(demo_root: Path) -> None:
    spec = tiny_spec(demo_root)
    annotations = open_part(spec.data, "train").annotations
    first, again, other = (
        summarise(spec, annotations, epoch=epoch, num_processes=1).to_json() for epoch in (0, 0, 1)
    )
    assert first == again
    assert [s["share_of_pictures"] for s in first["scales"]] != [
        s["share_of_pictures"] for s in other["scales"]
    ]

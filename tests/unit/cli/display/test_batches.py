from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from hrdet_cli.cli.display.batches import draw_inspection
from hrdet_cli.engine.distributed.ranks import World
from hrdet_cli.engine.geometry import Scale, Size
from hrdet_cli.engine.models.dense.anchor_shapes import AnchorShapes
from hrdet_cli.runs.anchor_advice import AnchorAdvice, AnchorChoice
from hrdet_cli.runs.inspect_batch.epoch_summary import EpochSummary, PixelCount
from hrdet_cli.runs.inspect_batch.inspection import Inspection
from hrdet_cli.runs.inspect_batch.pictured_batch import PicturedBatch
from hrdet_cli.runs.inspect_batch.scale_summary import ScaleSummary
from hrdet_cli.runs.inspect_batch.summary import Summary

SMALL, LARGE = Scale(1000, 600), Scale(1600, 1000)


_SHAPES = AnchorShapes(strides=(4, 8, 16, 32, 64))
_FITTED = replace(_SHAPES, scale=10.4, aspect_ratios=(0.707, 1.0, 1.41))
ANCHORS = AnchorAdvice(
    0.7,
    AnchorChoice(_SHAPES, 0.226, 0.612, ("rpn.anchor_scale=8",)),
    AnchorChoice(_FITTED, 0.786, 0.783, ("rpn.anchor_scale=10.4",)),
    None,
    AnchorChoice(replace(_FITTED, scale=14.7, scales_per_octave=2), 0.992, 0.837, ("rpn.anchor_scale=14.7",)),
    None,
)


@pytest.fixture
def inspection() -> Inspection:
    """A batch of rank 1 of 2, on three canvases; the smaller scale was never drawn."""
    picture = {
        "file": "000000000042.jpg",
        "tile": None,
        "original": "1280x1024",
        "scale_xy": [1.25, 1.25],
        "placed": "1067x1000",
        "turned": "flipped",
        "cropped": True,
        "changes": [],
        "num_boxes": 1234,
        "num_ignored": 12,
    }
    canvases = {Size(1024, 1600): 3, Size(1600, 1024): 2, Size(800, 1344): 1}
    epoch = EpochSummary(
        epoch=1,
        num_steps=3,
        num_steps_in_epoch=7393,
        num_processes=2,
        indices=(0, 1, 2, 3, 4),
        pixels=PixelCount(6, 30, 40),
        batches_by_canvas={canvas: PixelCount(count, count, 4 * count) for canvas, count in canvases.items()},
        pictures_by_scale={SMALL: PixelCount(), LARGE: PixelCount(6, 30, 40)},
        num_boxes=900,
        num_lost=100,
        num_clipped=250,
    )
    scales = (
        ScaleSummary(SMALL, 5, 0.2, 0, 0, 0, None, None, None, None),
        ScaleSummary(LARGE, 5, 1.0, 900, 100, 250, 2.25, 8.5, 1040.25, {0.7: 0.125, 0.5: 0.5, 0.3: 1.0}),
    )
    batch = PicturedBatch(Path("out/batch-1-rank-1.png"), World(1, 2), "1600x1024", 0.464, (picture,))
    return Inspection((batch,), Summary(epoch, scales, True, ANCHORS), (Path("out/batch-1-rank-1.png"),))


def lines_of(inspection: Inspection, *, width: int) -> list[str]:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(draw_inspection(inspection))
    return capture.get().splitlines()


def test_every_number_is_in_the_tables(inspection: Inspection) -> None:
    lines = [" ".join(line.split()) for line in lines_of(inspection, width=120)]
    for line in (
        "batch-1-rank-1: rank 1, canvas 1600x1024, 46.4% useful pixels",
        "000000000042.jpg 1280x1024 1.25 1067x1000 1234 12 flipped, cropped",
        "covers the first 3 of 7,393 steps of epoch 2, on 2 processes",
        "pictures 6 (5 different)",
        "useful pixels 75.0%",
        "lost by crops 100 (10.0%)",  # of 900 that stay and 100 that do not
        "clipped by crops 250 (25.0%)",
        "Canvases: 3",
        "1600x1024 3 50.0% 25.0%",
        "(1000, 600) 0.0% – 20.0% – –",
        "(1600, 1000) 100.0% 75.0% 100.0% 10.0% 25.0%",
        "(1000, 600) – – – – – –",
        "(1600, 1000) 2.2 px 8.5 px 1040.2 px 12.5% 50.0% 100.0%",
        "now scale 8, ratios 0.5, 1, 2 22.6% 0.612",
        "denser scale 14.7, 2 an octave, ratios 0.707, 1, 1.41 99.2% 0.837",
    ):
        assert line in lines


@pytest.mark.parametrize(
    ("num_steps", "words"), [(1, "the only step of epoch 2"), (1200, "all 1,200 steps of epoch 2")]
)
def test_a_whole_epoch_is_told_in_words(inspection: Inspection, num_steps: int, words: str) -> None:
    assert inspection.summary is not None
    epoch = replace(inspection.summary.epoch, num_steps=num_steps, num_steps_in_epoch=num_steps)
    summary = replace(inspection.summary, epoch=epoch)
    lines = lines_of(replace(inspection, summary=summary), width=120)
    assert f"covers {words}, on 2 processes" in [" ".join(line.split()) for line in lines]


def test_boxes_are_told_to_be_counted_before_objects_are_pasted(inspection: Inspection) -> None:
    assert inspection.summary is not None
    for pastes, words in ((False, "boxes 900"), (True, "boxes 900, before others are pasted")):
        epoch = replace(inspection.summary.epoch, pastes=pastes)
        summary = replace(inspection.summary, epoch=epoch)
        lines = lines_of(replace(inspection, summary=summary), width=120)
        assert words in [" ".join(line.split()) for line in lines]
        assert summary.to_json()["num_boxes_is_before_pasting"] is pastes


def test_what_was_done_besides_placing_is_told_of_each_picture(inspection: Inspection) -> None:
    (batch,) = inspection.batches
    (picture,) = batch.pictures
    changes = ["2 of 3 objects pasted, 0 hidden", "hue +0.07, brightness 0.99, saturation 0.83", "blur 1.1"]
    others = {
        "tile": {"left": 824, "top": 0, "of": "8000x6000"},
        "turned": "flipped upside down",
        "changes": changes,
    }
    changed = replace(batch, pictures=({**picture, **others},))
    lines = lines_of(replace(inspection, batches=(changed,)), width=100)
    (first,) = [
        number for number, line in enumerate(lines) if line.startswith("000000000042.jpg  1280x1024 ")
    ]
    told = " ".join(" ".join(lines[first : lines.index("", first)]).split())
    assert told.endswith(" ".join(["tile at 824, 0, flipped upside down, cropped,", ", ".join(changes)]))
    assert "…" not in told


def test_without_a_box_no_column_of_recall_is_explained(inspection: Inspection) -> None:
    assert inspection.summary is not None
    without = replace(inspection.summary, scales=inspection.summary.scales[:1] * 2, anchors=None)
    for summary, is_there in ((inspection.summary, True), (without, False)):
        text = "\n".join(lines_of(replace(inspection, summary=summary), width=400))
        assert ("IoU" in text) == ("recall" in text) == is_there


def test_eighty_columns_cut_nothing(inspection: Inspection) -> None:
    narrow, wide = lines_of(inspection, width=80), lines_of(inspection, width=400)
    assert "…" not in "".join(narrow)
    assert max(len(line.rstrip()) for line in narrow) <= 80
    tables = [line.rstrip() for line in wide if len(line.rstrip()) <= 80]
    assert set(tables) <= {line.rstrip() for line in narrow}
    assert len(tables) >= len(wide) - 3  # the three notes are longer

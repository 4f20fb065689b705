"""Inspected batches and their summary as plain tables, which the terminal and the page draw alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hrdet_cli.runs.anchor_advice import AnchorAdvice
from hrdet_cli.runs.inspect_batch.epoch_summary import EpochSummary
from hrdet_cli.runs.inspect_batch.pictured_batch import PicturedBatch
from hrdet_cli.runs.inspect_batch.scale_summary import LOW_QUANTILE, ScaleSummary
from hrdet_cli.runs.inspect_batch.summary import Summary

_MOST_CANVASES = 12
_NOTHING = "–"


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of texts; the first column names the row, the others are numbers unless told otherwise.

    Attributes:
        title: What it is about.
        headings: One for each column; none where a row is a name and a value.
        rows: Texts.
        note: What has to be said about it.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def batch_table(batch: PicturedBatch) -> TextTable:
    """A row for each picture of a batch."""
    headings = ("picture", "original", "scale", "placed", "boxes", "ignored", "changed")
    return TextTable(batch_title(batch), headings, tuple(_picture_row(p) for p in batch.pictures))


def batch_title(batch: PicturedBatch) -> str:
    """Which process gets it, its canvas, its share of useful pixels."""
    rank = f"rank {batch.world.rank}, " if batch.world is not None and batch.world.size > 1 else ""
    return f"{rank}canvas {batch.canvas}, {_percent(batch.useful_pixel_share)} useful pixels"


def summary_tables(summary: Summary) -> tuple[TextTable, ...]:
    """Batches, canvases, scales, boxes at each scale, anchors."""
    anchors = () if summary.anchors is None else (_anchors(summary.anchors),)
    return (
        _batches(summary.epoch),
        _canvases(summary.epoch),
        _scales(summary),
        _boxes(summary.scales),
        *anchors,
    )


def _picture_row(picture: dict[str, Any]) -> tuple[str, ...]:
    scale_x, scale_y = picture["scale_xy"]
    tile = picture["tile"]
    cut = f"tile at {tile['left']}, {tile['top']}" if tile else ""
    placed = (cut, picture["turned"], "cropped" if picture["cropped"] else "")
    changes = [*filter(None, placed), *picture["changes"]]
    return (
        picture["file"],
        picture["original"],
        f"{(scale_x * scale_y) ** 0.5:.2f}",
        picture["placed"],
        str(picture["num_boxes"]),
        str(picture["num_ignored"]),
        ", ".join(changes),
    )


def _batches(epoch: EpochSummary) -> TextTable:
    processes = f", on {epoch.num_processes} processes" if epoch.num_processes > 1 else ""
    num_targets = epoch.num_boxes + epoch.num_lost
    rows = [
        ("covers", f"{_covered_steps(epoch)} of epoch {epoch.epoch + 1}{processes}"),
        ("pictures", _pictures(epoch)),
        ("useful pixels", _percent(epoch.pixels.useful_share)),
        ("boxes", f"{epoch.num_boxes:,}{', before others are pasted' if epoch.pastes else ''}"),
        ("lost by crops", _part(epoch.num_lost, num_targets)),
        ("clipped by crops", _part(epoch.num_clipped, num_targets)),
    ]
    return TextTable("Batches", (), tuple(rows), "Counted from the annotations; no picture was read for it.")


def _covered_steps(epoch: EpochSummary) -> str:
    if epoch.num_steps < epoch.num_steps_in_epoch:
        return f"the first {epoch.num_steps:,} of {epoch.num_steps_in_epoch:,} steps"
    return "the only step" if epoch.num_steps == 1 else f"all {epoch.num_steps:,} steps"


def _pictures(epoch: EpochSummary) -> str:
    num_different = len(epoch.indices)
    repeated = f" ({num_different:,} different)" if num_different < epoch.num_pictures else ""
    return f"{epoch.num_pictures:,}{repeated}"


def _canvases(epoch: EpochSummary) -> TextTable:
    num_batches = epoch.pixels.num_items
    counts = list(epoch.batches_by_canvas.items())
    rows = [
        (str(canvas), f"{c.num_items:,}", _percent(c.num_items / num_batches), _percent(c.useful_share))
        for canvas, c in counts[:_MOST_CANVASES]
    ]
    others = counts[_MOST_CANVASES:]
    if others:
        number = sum(count.num_items for _, count in others)
        pixels = sum(count.num_pixels for _, count in others)
        useful = sum(count.num_useful for _, count in others)
        name = f"{len(others):,} more"
        rows.append((name, f"{number:,}", _percent(number / num_batches), _percent(useful / pixels)))
    headings = ("canvas", "batches", "share", "useful pixels")
    return TextTable(f"Canvases: {len(counts):,}", headings, tuple(rows))


def _scales(summary: Summary) -> TextTable:
    drawn = summary.epoch.pictures_by_scale
    num_drawn = summary.epoch.num_pictures
    loses = any(scale.num_lost or scale.num_clipped for scale in summary.scales)
    headings = ("(long, short)", "drawn", "useful pixels", "enlarged")
    rows = []
    for scale in summary.scales:
        count = drawn[scale.scale]
        row = [
            str(scale.scale),
            _percent(count.num_items / num_drawn),
            _percent(count.useful_share),
            _percent(scale.enlarged_share),
        ]
        if loses:
            num_targets = scale.num_boxes + scale.num_lost
            row += [_percent_of(scale.num_lost, num_targets), _percent_of(scale.num_clipped, num_targets)]
        rows.append(tuple(row))
    note = "enlarged: pictures that the scale makes larger than they are"
    if summary.is_range:
        note += "; a scale drawn between these counts for the nearest"
    return TextTable("Scales", headings + (("lost", "clipped") if loses else ()), tuple(rows), f"{note}.")


def _boxes(scales: Sequence[ScaleSummary]) -> TextTable:
    overlaps = next((list(s.anchor_recall) for s in scales if s.anchor_recall is not None), [])
    headings = (
        "(long, short)",
        "smallest",
        f"lowest {LOW_QUANTILE:.0%}",
        "median",
        *(f"IoU {overlap:g}" for overlap in overlaps),
    )
    rows = [
        (
            str(scale.scale),
            *(_pixels(side) for side in (scale.smallest_side, scale.low_side, scale.median_side)),
            *(_percent(None if scale.anchor_recall is None else scale.anchor_recall[o]) for o in overlaps),
        )
        for scale in scales
    ]
    note = (
        "Smallest, lowest and median are of the shorter sides of the boxes on the canvas: "
        f"{LOW_QUANTILE:.0%} of the boxes are below the second, half of them below the third."
    )
    if overlaps:
        note += (
            " IoU: the share of boxes that some anchor overlaps so much or more (anchors' recall), counting "
            "only anchors that training uses."
        )
    return TextTable("Boxes at each scale", headings, tuple(rows), note)


def _anchors(advice: AnchorAdvice) -> TextTable:
    """The detector's and better ones, with what chooses these."""
    choices = {
        "now": advice.present,
        "fitted": advice.fitted,
        "by level": advice.by_level,
        "denser": advice.denser,
    }
    rows = [
        (name, str(choice.shapes), _percent(choice.recall), f"{choice.mean_iou:.3f}")
        for name, choice in choices.items()
        if choice is not None
    ]
    note = (
        f"Fitted: as many, for the boxes at the scales of training: {advice.fitted.options}, or "
        "anchor_scale=auto. Mean IoU: of each box with the anchor that overlaps it most."
    )
    if advice.by_level is not None:
        note += (
            f" By level: as many, a scale for each level: {advice.by_level.options}, or "
            "anchor_scale=auto-by-level."
        )
    if advice.denser is not None:
        note += f" Denser: twice as many: {advice.denser.options}."
    headings = ("anchors", "at each position", f"IoU {advice.positive_iou:g}", "mean IoU")
    return TextTable("Anchors", headings, tuple(rows), note)


def _part(number: int, total: int) -> str:
    return f"{number:,} ({_percent_of(number, total)})" if number else "0"


def _percent_of(number: int, total: int) -> str:
    return _percent(number / total if total else None)


def _percent(share: float | None) -> str:
    return _NOTHING if share is None else f"{share:.1%}"


def _pixels(side: float | None) -> str:
    return _NOTHING if side is None else f"{side:.1f} px"

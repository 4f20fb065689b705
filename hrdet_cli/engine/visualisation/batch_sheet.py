"""A sheet that shows one training batch as the model gets it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from hrdet_cli.engine.data.batch import Batch, PictureRecord
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.visualisation.lettering import LabelWriter, Rectangle, font, shorten, wrap
from hrdet_cli.engine.visualisation.overlay import (
    LegendEntry,
    draw_box,
    draw_dashed_box,
    draw_legend,
    hatched,
)
from hrdet_cli.engine.visualisation.palette import INK, MUTED, PAPER, RULE, class_colour

_WIDTH, _TALLEST_TILE, _WANTED_HEIGHT = 1600, 900, 1200
_SMALLEST_WIDTH = 760
_SMALLEST_TILE = 280  # narrower ones leave no room for their captions
_MARGIN, _GAP = 28, 20
_LINE = 18
_LARGEST_ZOOM = 2.0


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where things go; all in pixels of the sheet."""

    num_columns: int
    zoom: float
    tile: Size

    @property
    def content_width(self) -> int:
        return self.num_columns * (self.tile.width + _GAP) - _GAP


def draw_batch_sheet(batch: Batch, class_names: Sequence[str]) -> Image.Image:
    """Draw every picture of a batch on its canvas, with its boxes, its padding and how it was placed.

    Padding is hatched; boxes have the colour and name of their class; ignored (crowd) regions are dashed.  A
    label that finds no free place is left out: the legend names the colours.

    Args:
        batch: A batch as training gets it, in host memory.
        class_names: Name of each label.

    Returns:
        An RGB picture at most 1600 pixels wide.
    """
    layout = _choose_layout(len(batch.records), batch.images.canvas)
    captions = [_caption(batch, index, layout.tile.width) for index in range(len(batch.records))]
    caption_height = _LINE * max(len(lines) for lines in captions) + 12
    width = max(layout.content_width, _SMALLEST_WIDTH - 2 * _MARGIN) + 2 * _MARGIN
    header_height = _draw_header(
        Image.new("RGB", (width, 1)), batch, class_names
    )  # off the sheet: to measure
    num_rows = -(-len(captions) // layout.num_columns)
    row_height = caption_height + layout.tile.height + _GAP
    sheet = Image.new("RGB", (width, header_height + num_rows * row_height - _GAP + _MARGIN), PAPER)
    _draw_header(sheet, batch, class_names)
    for index, lines in enumerate(captions):
        row, column = divmod(index, layout.num_columns)
        left = _MARGIN + column * (layout.tile.width + _GAP)
        top = header_height + row * row_height
        _draw_caption(sheet, lines, left=left, top=top)
        tile = _draw_tile(batch, index, class_names, layout)
        sheet.paste(tile, (left, top + caption_height - 6))
    return sheet


def _choose_layout(num_pictures: int, canvas: Size) -> _Layout:
    """The fewest columns, and so the largest tiles, of which a sheet is not too high."""
    layouts: list[_Layout] = []
    for num_rows in range(num_pictures, 0, -1):
        num_columns = -(-num_pictures // num_rows)
        column_width = (_WIDTH - 2 * _MARGIN + _GAP) // num_columns - _GAP
        if layouts and column_width < _SMALLEST_TILE:
            break
        zoom = min(column_width / canvas.width, _TALLEST_TILE / canvas.height, _LARGEST_ZOOM)
        tile = Size(max(1, int(canvas.height * zoom)), max(1, int(canvas.width * zoom)))
        layouts.append(_Layout(num_columns, zoom, tile))
        if num_rows * (tile.height + 2 * _LINE + _GAP) <= _WANTED_HEIGHT:
            break
    return layouts[-1]


def _draw_header(sheet: Image.Image, batch: Batch, class_names: Sequence[str]) -> int:
    """Title, share of useful pixels and legend; returns the height they take."""
    draw = ImageDraw.Draw(sheet)
    num_pictures, canvas = len(batch.records), batch.images.canvas
    noun = "picture" if num_pictures == 1 else "pictures"
    draw.text(
        (_MARGIN, 40),
        f"{num_pictures} {noun} on a {_in_words(canvas)} canvas",
        INK,
        font(24, bold=True),
        "ls",
    )
    share = batch.useful_pixel_share
    text = f"{share:.1%} of the pixels are picture, {1 - share:.1%} are padding"
    draw.text((_MARGIN, 66), text, MUTED, font(14), "ls")
    present = sorted(set(batch.targets.labels[batch.targets.is_valid].tolist()))
    entries = [LegendEntry(class_names[label], "class", class_colour(label)) for label in present]
    if any(len(record.ignored_boxes) for record in batch.records):
        entries.append(LegendEntry("ignored (crowd)", "dashed"))
    entries.append(LegendEntry("padding", "hatched"))
    return draw_legend(sheet, entries, left=_MARGIN, top=82, right=sheet.width - _MARGIN) + 16


def _caption(batch: Batch, index: int, width: int) -> list[str]:
    """File name and number of boxes; then how the picture was placed."""
    record = batch.records[index]
    num_boxes = int(batch.targets.is_valid[index].sum())
    count = f"{num_boxes} box" if num_boxes == 1 else f"{num_boxes} boxes"
    bold = font(13, bold=True)
    name = shorten(record.file_name, bold, width - font(13).getlength(f"  {count}"))
    return [f"{name}\t{count}", *wrap(_placing_in_words(record), font(12), width)]


def _placing_in_words(record: PictureRecord) -> list[str]:
    resized, crop = record.placement.resized, record.placement.crop
    scale_x, scale_y = record.scale_xy
    is_uniform = (
        abs(scale_x - scale_y) < 0.01 * scale_x
    )  # sizes are whole pixels: the factors hardly ever agree
    factor = f"×{scale_x:.2f}" if is_uniform else f"×{scale_x:.2f} ×{scale_y:.2f}"
    parts = [f"{_in_words(record.original)} → {_in_words(resized)} ({factor})"]
    if crop is not None and crop.size != resized:
        parts.append(f"crop {_in_words(crop.size)} at {crop.left}, {crop.top}")
    if record.placement.flipped:
        parts.append("flipped")
    return parts


def _draw_caption(sheet: Image.Image, lines: Sequence[str], *, left: int, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    name, count = lines[0].rsplit("\t", 1)
    bold = font(13, bold=True)
    draw.text((left, top + 13), name, INK, bold, "ls")
    draw.text((left + bold.getlength(name), top + 13), f"  {count}", MUTED, font(13), "ls")
    for number, line in enumerate(lines[1:], start=1):
        draw.text((left, top + 13 + number * _LINE), line, MUTED, font(12), "ls")


def _draw_tile(batch: Batch, index: int, class_names: Sequence[str], layout: _Layout) -> Image.Image:
    """One canvas: the picture, hatching where it has none, boxes, labels."""
    pixels = np.ascontiguousarray(batch.images.pixels[index].permute(1, 2, 0).numpy())
    height, width = (round(edge * layout.zoom) for edge in batch.images.sizes[index].tolist())
    picture = Image.fromarray(pixels[: batch.images.sizes[index, 0], : batch.images.sizes[index, 1]])
    tile = hatched(layout.tile.width, layout.tile.height)
    tile.paste(picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2), (0, 0))
    draw = ImageDraw.Draw(tile)
    draw.rectangle((0, 0, layout.tile.width - 1, layout.tile.height - 1), outline=RULE)
    draw.rectangle((-1, -1, width, height), outline=INK)  # just outside the picture's pixels
    is_valid = batch.targets.is_valid[index]
    boxes = _zoomed(batch.targets.boxes[index][is_valid].tolist(), layout.zoom)
    labels = batch.targets.labels[index][is_valid].tolist()
    ignored = _zoomed(batch.records[index].ignored_boxes.tolist(), layout.zoom)
    for box in ignored:
        draw_dashed_box(draw, box)
    for box, label in zip(boxes, labels, strict=True):
        draw_box(draw, box, class_colour(label))
    bounds = (0, 0, layout.tile.width, layout.tile.height)
    writer = LabelWriter(draw, bounds=bounds, boxes=[*ignored, *boxes], size=12)
    for box in ignored:
        writer.write("ignored", box=box, colour=INK, filled=False)
    for box, label in zip(boxes, labels, strict=True):
        writer.write(class_names[label], box=box, colour=class_colour(label))
    return tile


def _zoomed(boxes: list[list[float]], zoom: float) -> list[Rectangle]:
    return [(x1 * zoom, y1 * zoom, x2 * zoom, y2 * zoom) for x1, y1, x2, y2 in boxes]


def _in_words(size: Size) -> str:
    return f"{size.width}×{size.height}"

"""A sheet that shows one training batch as the model gets it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from hrdet_cli.engine.data.batch import Batch, PictureRecord
from hrdet_cli.engine.data.transforms import Placement
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.visualisation.canvas_tile import (
    draw_canvas_tile,
    factor_in_words,
    in_words,
    legend_entries,
    tile_size,
)
from hrdet_cli.engine.visualisation.lettering import font, shorten, wrap
from hrdet_cli.engine.visualisation.overlay import draw_legend
from hrdet_cli.engine.visualisation.palette import INK, MUTED, PAPER
from hrdet_cli.wording import counted

_WIDTH, _TALLEST_TILE, _WANTED_HEIGHT = 1600, 900, 1200
_SMALLEST_WIDTH = 760
_SMALLEST_TILE = 280  # narrower ones leave no room for their captions
_MARGIN, _GAP = 28, 20
_LINE = 18
_LARGEST_ZOOM = 2.0

_TURNS: Mapping[tuple[bool, int], str] = {
    (False, 0): "",
    (False, 1): "turned left",
    (False, 2): "turned by half",
    (False, 3): "turned right",
    (True, 0): "flipped",
    (True, 1): "flipped, turned left",
    (True, 2): "flipped upside down",
    (True, 3): "flipped, turned right",
}


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where things go; all in pixels of the sheet."""

    num_columns: int
    column_width: int
    zoom: float
    tile: Size

    @property
    def content_width(self) -> int:
        return self.num_columns * (self.column_width + _GAP) - _GAP


def draw_batch_sheet(batch: Batch, class_names: Sequence[str], *, whose: str = "") -> Image.Image:
    """Draw every picture of a batch on its canvas, with its boxes, its padding and how it was placed.

    Padding is hatched; boxes have the colour and name of their class; ignored (crowd) regions are dashed.  A
    label that finds no free place is left out: the legend names the colours.

    Args:
        batch: A batch as training gets it, in host memory.
        class_names: Name of each label.
        whose: Which process gets the batch, such as ``"rank 2 in a group of 4"``; empty where there is one.

    Returns:
        An RGB picture at most 1600 pixels wide.
    """
    layout = _choose_layout(len(batch.records), batch.images.canvas)
    captions = [_caption(batch, index, layout.column_width) for index in range(len(batch.records))]
    caption_height = _LINE * max(len(lines) for lines in captions) + 12
    width = max(layout.content_width, _SMALLEST_WIDTH - 2 * _MARGIN) + 2 * _MARGIN
    off_the_sheet = Image.new("RGB", (width, 1))
    header_height = _draw_header(off_the_sheet, batch, class_names, whose)  # to measure
    num_rows = -(-len(captions) // layout.num_columns)
    row_height = caption_height + layout.tile.height + _GAP
    sheet = Image.new("RGB", (width, header_height + num_rows * row_height - _GAP + _MARGIN), PAPER)
    _draw_header(sheet, batch, class_names, whose)
    for index, lines in enumerate(captions):
        row, column = divmod(index, layout.num_columns)
        left = _MARGIN + column * (layout.column_width + _GAP)
        top = header_height + row * row_height
        _draw_caption(sheet, lines, left=left, top=top)
        tile = draw_canvas_tile(batch, index, class_names, zoom=layout.zoom)
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
        tile = tile_size(canvas, zoom)
        captioned_width = min(column_width, max(tile.width, _SMALLEST_TILE))
        layouts.append(_Layout(num_columns, captioned_width, zoom, tile))
        if num_rows * (layouts[-1].tile.height + 2 * _LINE + _GAP) <= _WANTED_HEIGHT:
            break
    return layouts[-1]


def _draw_header(sheet: Image.Image, batch: Batch, class_names: Sequence[str], whose: str) -> int:
    """Title, share of useful pixels and legend; returns the height they take."""
    draw = ImageDraw.Draw(sheet)
    num_pictures, canvas = len(batch.records), batch.images.canvas
    title = f"{counted(num_pictures, 'picture')} on a {in_words(canvas)} canvas"
    draw.text((_MARGIN, 40), title, INK, font(24, bold=True), "ls")
    if whose:
        right_of_title = _MARGIN + font(24, bold=True).getlength(title) + 16
        draw.text((right_of_title, 40), whose, MUTED, font(18), "ls")
    share = batch.useful_pixel_share
    text = f"{share:.1%} of the pixels are picture, {1 - share:.1%} are padding"
    draw.text((_MARGIN, 66), text, MUTED, font(14), "ls")
    entries = legend_entries(batch, class_names)
    return draw_legend(sheet, entries, left=_MARGIN, top=82, right=sheet.width - _MARGIN) + 16


def turn_in_words(placement: Placement) -> str:
    """What its flip and its quarter turns come to; nothing without them."""
    return _TURNS[placement.flipped, placement.quarter_turns]


def _caption(batch: Batch, index: int, width: int) -> list[str]:
    """File name, number of boxes and share of the canvas; then how the picture was placed."""
    record = batch.records[index]
    num_boxes = int(batch.targets.is_valid[index].sum())
    share = record.placement.placed.num_pixels / batch.images.canvas.num_pixels
    count = f"{counted(num_boxes, 'box', 'boxes')} · fills {share:.0%}"
    bold = font(13, bold=True)
    name = shorten(record.file_name, bold, width - font(13).getlength(f"  {count}"))
    return [f"{name}\t{count}", *wrap(_placing_in_words(record), font(12), width)]


def _placing_in_words(record: PictureRecord) -> list[str]:
    resized, crop = record.placement.resized, record.placement.crop
    parts = [f"{in_words(record.original)} → {in_words(resized)} ({factor_in_words(record)})"]
    if record.window is not None:
        parts.insert(0, f"tile at {record.window.left}, {record.window.top}")
    if crop is not None and crop.size != resized:
        parts.append(f"crop {in_words(crop.size)} at {crop.left}, {crop.top}")
    turned = turn_in_words(record.placement)
    return [*parts, *([turned] if turned else []), *record.changes]


def _draw_caption(sheet: Image.Image, lines: Sequence[str], *, left: int, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    name, count = lines[0].rsplit("\t", 1)
    bold = font(13, bold=True)
    draw.text((left, top + 13), name, INK, bold, "ls")
    draw.text((left + bold.getlength(name), top + 13), f"  {count}", MUTED, font(13), "ls")
    for number, line in enumerate(lines[1:], start=1):
        draw.text((left, top + 13 + number * _LINE), line, MUTED, font(12), "ls")

"""A sheet that shows the same pictures at several scales, side by side and true to their relative size."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.geometry import Scale
from hrdet_cli.engine.visualisation.canvas_tile import (
    draw_canvas_tile,
    factor_in_words,
    in_words,
    legend_entries,
    tile_size,
)
from hrdet_cli.engine.visualisation.lettering import font, shorten, wrap
from hrdet_cli.engine.visualisation.overlay import LegendEntry, draw_legend
from hrdet_cli.engine.visualisation.palette import INK, MUTED, PAPER

_WIDTH, _WANTED_HEIGHT = 1600, 1700
_SMALLEST_WIDTH = 760
_COLUMN_WIDTHS = (
    160,
    120,
    80,
)  # narrower tiles leave no room for their captions: the widest that fits is taken
_MARGIN, _GAP, _GROUP_GAP = 28, 12, 36
_LINE, _NAME_HEIGHT, _SPACE_BELOW = 17, 26, 24
_LARGEST_ZOOM = 2.0
_LEAST_SHARE_OF_ZOOM = 0.85  # for a sheet that is less high


@dataclass(frozen=True, slots=True, eq=False)
class PicturesAtScale:
    """A few pictures at one scale, on the canvas that the padding policy gives their batch there.

    Attributes:
        scale: The scale.
        batch: The pictures, in the same order at every scale.
    """

    scale: Scale
    batch: Batch


@dataclass(frozen=True, slots=True)
class _Layout:
    """Pictures go in rows of groups, a group is one picture at every scale; all in pixels of the sheet."""

    groups_in_row: int
    zoom: float
    column_widths: tuple[int, ...]
    tile_height: int

    @property
    def group_width(self) -> int:
        return sum(self.column_widths) + (len(self.column_widths) - 1) * _GAP


def draw_scale_sheet(
    pictures: Sequence[PicturesAtScale], class_names: Sequence[str], *, note: str = ""
) -> Image.Image:
    """Draw each picture at every scale, on its canvas, with its boxes.

    All tiles have one zoom, so that what looks larger is larger to the model.

    Args:
        pictures: The same pictures at one scale after the other.
        class_names: Name of each label.
        note: A sentence below the title.

    Returns:
        An RGB picture at most 1600 pixels wide.
    """
    num_pictures = len(pictures[0].batch)
    layout = _choose_layout(pictures)
    captions = [
        [
            _caption(at_scale, index, width)
            for at_scale, width in zip(pictures, layout.column_widths, strict=True)
        ]
        for index in range(num_pictures)
    ]
    caption_height = _LINE * max(len(lines) for group in captions for lines in group)
    group_height = _NAME_HEIGHT + caption_height + layout.tile_height + _SPACE_BELOW
    content_width = layout.groups_in_row * (layout.group_width + _GROUP_GAP) - _GROUP_GAP
    width = max(content_width + 2 * _MARGIN, _SMALLEST_WIDTH)
    header_height = _draw_header(Image.new("RGB", (width, 1)), pictures, class_names, note)  # to measure
    num_rows = -(-num_pictures // layout.groups_in_row)
    sheet = Image.new("RGB", (width, header_height + num_rows * group_height + _MARGIN - _SPACE_BELOW), PAPER)
    _draw_header(sheet, pictures, class_names, note)
    for index in range(num_pictures):
        row, column = divmod(index, layout.groups_in_row)
        left = _MARGIN + column * (layout.group_width + _GROUP_GAP)
        top = header_height + row * group_height
        _draw_name(sheet, pictures[0].batch, index, left=left, top=top, width=layout.group_width)
        for at_scale, column_width, lines in zip(
            pictures, layout.column_widths, captions[index], strict=True
        ):
            _draw_lines(sheet, lines, left=left, top=top + _NAME_HEIGHT)
            tile = draw_canvas_tile(at_scale.batch, index, class_names, zoom=layout.zoom, letters=11)
            sheet.paste(tile, (left, top + _NAME_HEIGHT + caption_height))
            left += column_width + _GAP
    return sheet


def _choose_layout(pictures: Sequence[PicturesAtScale]) -> _Layout:
    """As many pictures in a row as fit without making the tiles much smaller than they could be."""
    canvases = [at_scale.batch.images.canvas for at_scale in pictures]
    num_pictures = len(pictures[0].batch)
    sum_of_widths, largest_height = sum(c.width for c in canvases), max(c.height for c in canvases)
    layouts = []
    for groups_in_row in range(1, num_pictures + 1):
        num_rows = -(-num_pictures // groups_in_row)
        gaps = groups_in_row * (len(canvases) - 1) * _GAP + (groups_in_row - 1) * _GROUP_GAP
        room = _WIDTH - 2 * _MARGIN - gaps
        height = _WANTED_HEIGHT / num_rows - _NAME_HEIGHT - 2 * _LINE - _SPACE_BELOW
        zoom = min(room / (groups_in_row * sum_of_widths), height / largest_height, _LARGEST_ZOOM)
        tiles = [tile_size(canvas, zoom) for canvas in canvases]
        columns = _column_widths([tile.width for tile in tiles], room // groups_in_row)
        layouts.append(_Layout(groups_in_row, zoom, columns, max(tile.height for tile in tiles)))
    largest_zoom = max(layout.zoom for layout in layouts)
    return [layout for layout in layouts if layout.zoom >= _LEAST_SHARE_OF_ZOOM * largest_zoom][-1]


def _column_widths(tile_widths: Sequence[int], room: int) -> tuple[int, ...]:
    """Widths of the tiles, or wider ones for their captions where there is room."""
    for smallest in _COLUMN_WIDTHS:
        widths = tuple(max(width, smallest) for width in tile_widths)
        if sum(widths) <= room:
            return widths
    return tuple(tile_widths)


def _draw_header(
    sheet: Image.Image, pictures: Sequence[PicturesAtScale], class_names: Sequence[str], note: str
) -> int:
    """Title and legend; returns the height they take."""
    draw = ImageDraw.Draw(sheet)
    num_scales = len(pictures)
    title = "The same pictures at every scale" if num_scales > 1 else "Pictures at the one scale there is"
    draw.text((_MARGIN, 40), title, INK, font(24, bold=True), "ls")
    top = 66
    for line in wrap(
        [part for part in (_how_scales_look(), note) if part], font(14), sheet.width - 2 * _MARGIN
    ):
        draw.text((_MARGIN, top), line, MUTED, font(14), "ls")
        top += 20
    entries: dict[LegendEntry, None] = {}
    for at_scale in pictures:
        entries |= dict.fromkeys(legend_entries(at_scale.batch, class_names))
    ordered = sorted(entries, key=lambda entry: entry.mark != "class")  # a crop may show a class at one scale
    return draw_legend(sheet, ordered, left=_MARGIN, top=top - 4, right=sheet.width - _MARGIN) + 14


def _how_scales_look() -> str:
    return "All tiles have one zoom: what is larger here is larger to the model"


def _draw_name(sheet: Image.Image, batch: Batch, index: int, *, left: int, top: int, width: int) -> None:
    """File and original size of a picture, above all its tiles."""
    draw, record = ImageDraw.Draw(sheet), batch.records[index]
    bold, plain = font(13, bold=True), font(13)
    size = f"  {in_words(record.original)}"
    name = shorten(record.file_name, bold, max(width / 2, width - plain.getlength(size)))
    draw.text((left, top + 16), name, INK, bold, "ls")
    used = bold.getlength(name)
    draw.text((left + used, top + 16), shorten(size, plain, width - used), MUTED, plain, "ls")


def _caption(at_scale: PicturesAtScale, index: int, width: int) -> list[str]:
    """Scale and factor; then what the picture fills of its canvas."""
    batch, record = at_scale.batch, at_scale.batch.records[index]
    placed, canvas = record.placement.placed, batch.images.canvas
    parts = [f"{at_scale.scale} {factor_in_words(record)}"]
    if record.placement.crop is not None and record.placement.crop.size != record.placement.resized:
        parts.append(f"crop {in_words(placed)}")
    parts.append(f"fills {placed.num_pixels / canvas.num_pixels:.0%} of {in_words(canvas)}")
    return wrap(parts, font(12), width)


def _draw_lines(sheet: Image.Image, lines: Sequence[str], *, left: int, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text((left, top + 12 + number * _LINE), line, MUTED, font(12), "ls")

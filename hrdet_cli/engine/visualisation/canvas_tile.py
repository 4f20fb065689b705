"""One picture of a batch on its canvas: the tile that sheets are made of."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from hrdet_cli.engine.data.batch import Batch, PictureRecord
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.visualisation.label_overlay import lay_labels_over
from hrdet_cli.engine.visualisation.lettering import LabelWriter, Rectangle
from hrdet_cli.engine.visualisation.mask_overlay import lay_over, veil_in_box
from hrdet_cli.engine.visualisation.overlay import LegendEntry, draw_box, draw_dashed_box, hatched
from hrdet_cli.engine.visualisation.palette import INK, RULE, class_colour


def draw_canvas_tile(
    batch: Batch, index: int, class_names: Sequence[str], *, zoom: float, letters: int = 12
) -> Image.Image:
    """Draw one canvas: the picture, hatching where it has none, label map and masks if any, boxes, labels.

    Args:
        batch: A batch in host memory.
        index: Which of its pictures.
        class_names: Name of each label.
        zoom: Pixels of the tile for a pixel of the canvas.
        letters: Height of the labels' letters in pixels.

    Returns:
        An RGB picture of the canvas's size times ``zoom``.
    """
    size = tile_size(batch.images.canvas, zoom)
    pixels = np.ascontiguousarray(batch.images.pixels[index].permute(1, 2, 0).numpy())
    height, width = (max(1, round(edge * zoom)) for edge in batch.images.sizes[index].tolist())
    picture = Image.fromarray(pixels[: batch.images.sizes[index, 0], : batch.images.sizes[index, 1]])
    picture = picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2)
    is_valid = batch.targets.is_valid[index]
    boxes = _zoomed(batch.targets.boxes[index][is_valid].tolist(), zoom)
    labels = batch.targets.labels[index][is_valid].tolist()
    if (semantic := batch.targets.semantic) is not None:
        picture = lay_labels_over(picture, semantic[index].numpy(), zoom=zoom)
    if (masks := batch.targets.masks) is not None:
        frames = masks[index][is_valid].numpy()
        picture = lay_over(
            picture,
            [
                veil_in_box(frame, box, class_colour(label))
                for frame, box, label in zip(frames, boxes, labels, strict=True)
            ],
        )
    tile = hatched(size.width, size.height)
    tile.paste(picture, (0, 0))
    draw = ImageDraw.Draw(tile)
    draw.rectangle((0, 0, size.width - 1, size.height - 1), outline=RULE)
    draw.rectangle((0, 0, width, height), outline=INK)
    ignored = _zoomed(batch.records[index].ignored_boxes.tolist(), zoom)
    for box in ignored:
        draw_dashed_box(draw, box)
    for box, label in zip(boxes, labels, strict=True):
        draw_box(draw, box, class_colour(label))
    bounds = (0, 0, size.width, size.height)
    writer = LabelWriter(
        draw, bounds=bounds, boxes=[*ignored, *boxes], size=letters, num_picture_pixels=height * width
    )
    for box in ignored:
        writer.write("ignored", box=box, colour=INK, filled=False)
    for box, label in zip(boxes, labels, strict=True):
        writer.write(class_names[label], box=box, colour=class_colour(label))
    return tile


def tile_size(canvas: Size, zoom: float) -> Size:
    """Size of a canvas's tile in pixels of the sheet."""
    return Size(max(1, int(canvas.height * zoom)), max(1, int(canvas.width * zoom)))


def legend_entries(batch: Batch, class_names: Sequence[str]) -> list[LegendEntry]:
    """The marks that the tiles of a batch have, by class, and what they mean."""
    present = sorted(set(batch.targets.labels[batch.targets.is_valid].tolist()))
    entries = [LegendEntry(class_names[label], "class", class_colour(label)) for label in present]
    if any(len(record.ignored_boxes) for record in batch.records):
        entries.append(LegendEntry("ignored (crowd)", "dashed"))
    if batch.targets.semantic is not None:
        entries.append(LegendEntry("label map, a colour for each label", "patches"))
    entries.append(LegendEntry("padding", "hatched"))
    return entries


def in_words(size: Size) -> str:
    """A size as it is written on sheets."""
    return f"{size.width}×{size.height}"


def factor_in_words(record: PictureRecord) -> str:
    """How much larger a picture was made; both factors where they differ by more than rounding makes them."""
    scale_x, scale_y = record.scale_xy
    is_uniform = abs(scale_x - scale_y) < 0.01 * scale_x
    return f"×{scale_x:.2f}" if is_uniform else f"×{scale_x:.2f} ×{scale_y:.2f}"


def _zoomed(boxes: list[list[float]], zoom: float) -> list[Rectangle]:
    return [(x1 * zoom, y1 * zoom, x2 * zoom, y2 * zoom) for x1, y1, x2, y2 in boxes]

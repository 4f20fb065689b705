"""What our mask branch is to learn of annotated pictures, beside ``mmdetection_mask_targets.py``.

Both beside the polygons themselves too: a cell is inside where they cover half of it.

    python -m tests.parity.compare_mask_targets FOLDER ANNOTATIONS IMAGES
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrdet_cli.engine.data.augmentations import ResizeAugmentation
from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.mask_frames import fill_polygons
from hrdet_cli.engine.data.showings import Showing
from hrdet_cli.engine.data.transforms import Resizing, canvas_map
from hrdet_cli.engine.geometry import Scale
from hrdet_cli.engine.models.regions.mask_targets import mask_targets
from tests.parity.cases import MASK_TARGET_SCALES
from tests.parity.differences import nearest

_SIDES_PIXELS = (0, 32, 96, 10000)
"""COCO's small, medium and large objects, by the mean side of their boxes on the canvas."""
_POINTS = 16
"""In a cell, along each axis, at which polygons are asked whether they cover it."""


def main() -> None:
    """Print a table for each scale."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("folder", "annotations", "images"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    dump = torch.load(arguments.folder / "mask_targets.pt", weights_only=True)
    for scale, pictures in dump.items():
        dataset = open_dataset(arguments.annotations, arguments.images, Scale(*MASK_TARGET_SCALES[scale]))
        found = [regions for name, theirs in pictures.items() for regions in compare(dataset, name, theirs)]
        sys.stdout.write(f"\n{scale}, {len(pictures)} pictures; shares of cells that differ\n")
        show(np.array(found))


def show(found: NDArray[np.float64]) -> None:
    """Print the means of what ``compare`` gave of all regions, by the size of their objects."""
    columns = ["side", "regions", "ours and mmdetection's", "ours and polygons", "mmdetection's and polygons"]
    sys.stdout.write(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}\n")
    sides, shares = found[:, 0], found[:, 1:]
    for low, high in [(0, _SIDES_PIXELS[-1]), *pairwise(_SIDES_PIXELS)]:
        rows = (sides >= low) & (sides < high)
        means = " | ".join(f"{share:.2%}" for share in shares[rows].mean(axis=0))
        sys.stdout.write(f"| {low} .. {high} | {rows.sum()} | {means} |\n")


def open_dataset(annotations: Path, images: Path, scale: Scale) -> PictureDataset:
    """The pictures at one scale, with masks."""
    augmentation = ResizeAugmentation(
        scales=(scale,), mode="choice", flip_probability=0, resizing=Resizing(pixel_filter="bilinear")
    )
    return PictureDataset(
        annotations=load_coco(annotations, with_masks=True),
        images=open_images(images),
        augmentation=augmentation,
        seed=0,
        with_masks=True,
    )


def compare(
    dataset: PictureDataset, name: str, theirs: Mapping[str, Tensor]
) -> Iterator[tuple[float, float, float, float]]:
    """Of each region near an object with polygons: the mean side of the object's box, and shares of cells.

    Those shares differ between ours and mmdetection's, between ours and the polygons, and between
    mmdetection's and the polygons.
    """
    index = dataset.annotations.file_names.tolist().index(name)
    sample = dataset.sample(0, Showing(index))
    if sample.masks is None or not len(theirs["boxes"]):
        return
    distance, row_of = nearest(sample.boxes, theirs["boxes"])
    if distance.max() > 0.01:
        raise ValueError(f"{name}: boxes differ by {distance.max():.3f} pixels")
    rows = row_of[theirs["owners"]]
    boxes = sample.boxes[rows]
    num_cells = theirs["targets"].shape[-1]
    ours = mask_targets(theirs["regions"], boxes, sample.masks[rows], num_cells=num_cells)
    polygons = covered_by_polygons(dataset, index, rows, theirs["regions"], num_cells=num_cells)
    sides = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sqrt().tolist()
    for own, other, polygon, side in zip(ours, theirs["targets"], polygons, sides, strict=True):
        if polygon is not None:
            pairs = (own != other, own != polygon, other != polygon)
            first, second, third = (pair.double().mean().item() for pair in pairs)
            yield side, first, second, third


def covered_by_polygons(
    dataset: PictureDataset, index: int, rows: Tensor, regions: Tensor, *, num_cells: int
) -> Iterator[Tensor | None]:
    """For each region the cells that its object's polygons cover by half; None for an object of runs.

    Args:
        dataset: Has the picture.
        index: The picture.
        rows: ``(R,)``, the object of each region, among those of a sample.
        regions: ``(R, 4)`` in canvas pixels.
        num_cells: m.
    """
    original = dataset.annotations.size_of(index)
    factors, shifts = canvas_map(original, dataset.placement_of(0, Showing(index)))
    is_kept = np.ones(len(dataset.annotations.targets_of(index)[0]), dtype=bool)
    segmentations = dataset.annotations.segmentations_of(index, is_kept)
    num_points = num_cells * _POINTS
    for row, region in zip(rows.tolist(), regions.double().numpy(), strict=True):
        own = segmentations.take(np.array([row]))
        if not own.has_polygons[0]:
            yield None
            continue
        on_canvas = own.corners * factors + shifts
        corners = (on_canvas - region[:2]) / (region[2:] - region[:2]) * num_points
        points = fill_polygons(corners, own.corner_offsets, num_points).max(axis=0)
        cells = points.reshape(num_cells, _POINTS, num_cells, _POINTS).mean(axis=(1, 3))
        yield torch.from_numpy(cells >= 0.5)


if __name__ == "__main__":
    main()

"""What mmdetection's mask heads are to learn of annotated pictures.

python tests/parity/mmdetection_mask_targets.py FOLDER ANNOTATIONS IMAGES
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from mmdet.datasets import CocoDataset  # type: ignore[import-not-found]
from mmdet.structures.mask import mask_target  # type: ignore[import-not-found]
from mmdet.utils import register_all_modules  # type: ignore[import-not-found]
from mmengine.config import ConfigDict  # type: ignore[import-not-found]

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.parity.cases import MASK_TARGET_SCALES
from tests.parity.filling import move_boxes


def main() -> None:
    """Write ``mask_targets.pt``."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("folder", "annotations", "images"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    register_all_modules()
    dump = {
        scale: targets_of_file(arguments.annotations, arguments.images, edges)
        for scale, edges in MASK_TARGET_SCALES.items()
    }
    torch.save(dump, arguments.folder / "mask_targets.pt")


def targets_of_file(annotations: Path, images: Path, edges: tuple[int, int]) -> dict[str, Any]:
    """Of each picture, by its name: boxes, regions near them, and what each region is to learn."""
    categories = json.loads(annotations.read_text())["categories"]
    dataset = CocoDataset(
        ann_file=str(annotations),
        data_prefix={"img": str(images)},
        metainfo={"classes": tuple(category["name"] for category in categories)},
        pipeline=[
            {"type": "LoadImageFromFile"},
            {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True},
            {"type": "Resize", "scale": edges, "keep_ratio": True},
            {"type": "PackDetInputs"},
        ],
    )
    return {Path(packed["data_samples"].img_path).name: targets_of(packed) for packed in dataset}


def targets_of(packed: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Of one picture."""
    sample = packed["data_samples"]
    boxes = sample.gt_instances.bboxes.tensor
    regions, owners = (torch.from_numpy(array) for array in move_boxes(boxes.numpy(), *sample.img_shape))
    # The head clips what it is given, in place.
    targets = mask_target([regions.clone()], [owners], [sample.gt_instances.masks], ConfigDict(mask_size=28))
    return {"boxes": boxes, "regions": regions, "owners": owners, "targets": targets.bool()}


if __name__ == "__main__":
    main()

"""What mmdetection makes of picture files: resized pixels, boxes in the files' own pixels, COCO's numbers.

Runs in mmdetection's environment, OpenCV included:

    python tests/parity/mmdetection_chain.py FOLDER ANNOTATIONS IMAGES
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import mmcv  # type: ignore[import-not-found]
import numpy as np
import torch
from mmdet.evaluation.metrics import coco_metric  # type: ignore[import-not-found]
from mmdet.registry import TRANSFORMS  # type: ignore[import-not-found]
from mmengine.dataset import Compose  # type: ignore[import-not-found]

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.parity.cases import CHAIN_SCALES
from tests.parity.jittered_results import make_results
from tests.parity.mmdetection_models import build


def main() -> None:
    """Write ``chain.pt``."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("folder", "annotations", "images"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    content = json.loads(arguments.annotations.read_text())
    model = build("w18").eval()
    dump = {
        "metrics": score(arguments.annotations, content),
        "scales": {
            scale: {
                image["file_name"]: detect(model, arguments.images / image["file_name"], image["id"], edges)
                for image in content["images"][:num_pictures]
            }
            for scale, (edges, num_pictures) in CHAIN_SCALES.items()
        },
    }
    torch.save(dump, arguments.folder / "chain.pt")


@torch.no_grad()
def detect(model: Any, path: Path, image_id: int, edges: tuple[int, int]) -> dict[str, Any]:
    """One picture through the test pipeline of mmdetection's COCO configurations."""
    pipeline = Compose(
        [
            TRANSFORMS.build({"type": "LoadImageFromFile"}),
            TRANSFORMS.build({"type": "Resize", "scale": edges, "keep_ratio": True}),
            TRANSFORMS.build(
                {"type": "PackDetInputs", "meta_keys": ("img_id", "ori_shape", "img_shape", "scale_factor")}
            ),
        ]
    )
    packed = pipeline({"img_path": str(path), "img_id": image_id})
    (found,) = model.test_step({"inputs": [packed["inputs"]], "data_samples": [packed["data_samples"]]})
    instances = found.pred_instances
    return {
        "decoded": torch.from_numpy(mmcv.imread(str(path))).permute(2, 0, 1).flip(0).contiguous(),
        "pixels": packed["inputs"].flip(0).contiguous(),
        "boxes": instances.bboxes,
        "scores": instances.scores,
        "labels": instances.labels,
    }


class UnroundedEvaluation(coco_metric.COCOeval):  # type: ignore[misc]
    """Keeps COCO's twelve numbers, which the metric rounds to three digits."""

    numbers: ClassVar[list[float]] = []

    def summarize(self) -> None:
        """Keep them."""
        super().summarize()
        self.numbers[:] = self.stats.tolist()


def score(annotations: Path, content: dict[str, Any]) -> list[float]:
    """COCO's numbers of the jittered ground truth; like everyone's, for 1, 10 and 100 detections."""
    coco_metric.COCOeval = UnroundedEvaluation
    metric = coco_metric.CocoMetric(ann_file=str(annotations), proposal_nums=(1, 10, 100))
    names = [category["name"] for category in content["categories"]]
    metric.dataset_meta = {"classes": names}
    label_of = {category["id"]: label for label, category in enumerate(content["categories"])}
    results = make_results(annotations)
    for image in content["images"]:
        own = [result for result in results if result["image_id"] == image["id"]]
        boxes = np.array([result["bbox"] for result in own], dtype=np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        instances = {
            "bboxes": torch.from_numpy(boxes),
            "scores": torch.tensor([result["score"] for result in own]),
            "labels": torch.tensor([label_of[result["category_id"]] for result in own], dtype=torch.int64),
        }
        metric.process(
            {},
            [
                {
                    "img_id": image["id"],
                    "ori_shape": (image["height"], image["width"]),
                    "pred_instances": instances,
                }
            ],
        )
    metric.compute_metrics(metric.results)
    return UnroundedEvaluation.numbers


if __name__ == "__main__":
    main()

"""From picture files to pixels as OpenCV makes them for mmdetection, and from detections to its COCO numbers.

The numbers were taken from mmdetection 3.3.0's CocoMetric: the first line that ``compare_chain.py`` prints.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hrdet_cli.engine.data.augmentations import ResizeAugmentation
from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.data.decoding import decode_rgb
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.showings import Showing
from hrdet_cli.engine.data.transforms import Resizing
from hrdet_cli.engine.geometry import Scale
from tests.detection_tables import score_detections, table_of
from tests.parity.jittered_results import make_results

_PICO = Path(__file__).parents[2].parent / "shared" / "data" / "coco_pico"
_NUMBERS_OF_MMDETECTION = {
    "AP": 0.238203,
    "AP50": 0.671524,
    "AP75": 0.114614,
    "APs": 0.296670,
    "APm": 0.280562,
    "APl": 0.314448,
    "AR1": 0.188981,
    "AR10": 0.374299,
    "AR100": 0.394343,
    "ARs": 0.377076,
    "ARm": 0.406156,
    "ARl": 0.398611,
}

pytestmark = pytest.mark.skipif(not _PICO.exists(), reason=f"needs the pictures in {_PICO}")


def test_the_same_detections_have_the_coco_numbers_of_mmdetection() -> None:
    annotations = load_coco(_PICO / "instances_val.json", with_truth=True)
    results = make_results(_PICO / "instances_val.json")
    metrics = score_detections(annotations, table_of(annotations, results))
    assert metrics.numbers["box"] == pytest.approx(_NUMBERS_OF_MMDETECTION, abs=1e-6)


@pytest.mark.parametrize(("long", "short"), [(1333, 800), (500, 300)])
def test_pixels_are_those_of_opencv_to_the_bit(long: int, short: int) -> None:
    annotations = load_coco(_PICO / "instances_val.json")
    augmentation = ResizeAugmentation(
        scales=(Scale(long, short),),
        mode="choice",
        flip_probability=0,
        resizing=Resizing(pixel_filter="opencv"),
    )
    images = open_images(_PICO / "images")
    dataset = PictureDataset(annotations=annotations, images=images, augmentation=augmentation, seed=0)
    for index in range(4):
        name, size = str(annotations.file_names[index]), annotations.size_of(index)
        raw = images.read(name)
        decoded = np.asarray(cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR_RGB))
        ours = decode_rgb(raw, expected=size, name=name).permute(1, 2, 0)
        assert torch.equal(ours, torch.from_numpy(decoded))
        pixels = dataset.sample(0, Showing(index)).pixels
        factor = min(long / max(size.height, size.width), short / min(size.height, size.width))
        wanted = int(size.width * factor + 0.5), int(size.height * factor + 0.5)
        resized = cv2.resize(decoded, wanted, interpolation=cv2.INTER_LINEAR)
        assert torch.equal(pixels.permute(1, 2, 0), torch.from_numpy(resized))

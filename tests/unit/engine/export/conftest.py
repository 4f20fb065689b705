"""A small Mask R-CNN with random weights that finds a few dozen things in any picture, sure of some."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.export.check_pictures import draw_picture
from hrdet_cli.engine.export.detection_graph import PictureOnCanvas
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import ImageBatch
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec
from tests.two_stage import two_stage

SETTINGS = (
    "model.backbone.width=small",
    "model.weights=null",
    "model.neck.channels=32",
    "model.head.roi_head.hidden_features=64",
    "model.head.rpn.num_test_proposals=200",
    "model.head.mask={num_convs: 2, channels: 16}",
    "model.activation_checkpointing=true",
    "norm.kind=sync",
)


@pytest.fixture(scope="module")
def detector() -> Detector:
    """mmdetection's conventions, our synchronised norms, recomputed activations."""
    spec = load_spec(preset="mmdet3-hrnet-w18", settings=SETTINGS).spec
    torch.manual_seed(0)
    # Exporting takes time for each operator; a module of stage 2 has all that are in one, and two levels
    # have all that five have.
    short = replace(HRNET_CONFIGS["small"], num_blocks=1, num_modules=(1, 0, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hrdet_cli.engine.models.necks.levels.NUM_LEVELS", 2)
        patch.setattr("hrdet_cli.runs.build.detector.HRNET_CONFIGS", {"small": short})
        detector = build_detector(spec, num_classes=4, trains=False).eval()
    _spread_predictions(detector, batch_of(draw_picture(Size(256, 320))))
    return detector


def batch_of(picture: Tensor) -> ImageBatch:
    pixels, sizes = PictureOnCanvas()(picture)
    return ImageBatch(pixels, sizes, keys=torch.zeros(1, dtype=torch.int64))


@torch.no_grad()
def _spread_predictions(detector: Detector, images: ImageBatch) -> None:
    """Make layers that are initialised to say next to nothing as differences as trained ones."""

    def spread(layer: nn.Module, values: Tensor, *, wanted: float) -> None:
        layer.get_parameter("weight").mul_(wanted / values.std())

    pyramid = detector.pyramid(images)
    head = two_stage(detector)
    anchors = head.rpn(pyramid)
    spread(head.rpn.objectness, anchors.logits, wanted=3.0)
    spread(head.rpn.deltas, anchors.deltas, wanted=0.3)
    proposals = head.rpn.propose(head.rpn(pyramid), images.sizes)
    regions = head.roi_head(pyramid, proposals)
    differences = regions.logits - regions.logits.mean(dim=1, keepdim=True)
    spread(head.roi_head.classifier, differences, wanted=2.0)
    spread(head.roi_head.regressor, regions.deltas, wanted=1.0)
    if head.mask_head is not None:
        first = proposals.boxes[:, :20]
        logits = head.mask_head(pyramid, first, torch.zeros(first.shape[:2], dtype=torch.int64))
        spread(head.mask_head.logits, logits, wanted=2.5)

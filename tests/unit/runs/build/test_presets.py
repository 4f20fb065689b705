"""Every preset's detector can be built, and has as many parameters as such a detector has."""

from collections import defaultdict

import pytest
import torch
from torchvision.models import get_model_weights

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.runs.build.detector import build_detector, build_plain_detector
from hrdet_cli.specs.heads.fcos import FcosSpec
from hrdet_cli.specs.heads.retinanet import RetinaNetSpec
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.model import ModelSpec
from hrdet_cli.specs.presets import all_presets

MILLIONS_OF_PARAMETERS = {
    # Of 80 classes. mmdetection counts 44.4 M in Mask R-CNN with ResNet-50 and FPN. A mask branch has four
    # 3x3 convolutions of 256 channels, one of 2x2 and a 1x1 one: 4 * 590,080 + 262,400 + 20,560 = 2,643,280.
    "hrnet w18, faster_rcnn": 27.48,
    "hrnet w18, faster_rcnn, masks": 30.13,
    "hrnet w18, cascade_rcnn": 55.12,
    "hrnet w18, cascade_rcnn, masks": 63.05,
    "hrnet w32, faster_rcnn": 47.28,
    "hrnet w32, faster_rcnn, masks": 49.92,
    "hrnet w32, cascade_rcnn": 74.92,
    "hrnet w32, cascade_rcnn, masks": 82.85,
    "hrnet w40, faster_rcnn": 63.53,
    "hrnet w40, faster_rcnn, masks": 66.17,
    "hrnet w40, cascade_rcnn": 91.17,
    "hrnet w40, cascade_rcnn, masks": 99.10,
    "hrnet w48, faster_rcnn": 83.36,
    "hrnet w48, faster_rcnn, masks": 86.0,
    "hrnet w48, cascade_rcnn": 111.0,
    "hrnet w48, cascade_rcnn, masks": 118.93,
    # Four 3x3 convolutions before a single fully connected layer and another one in the RPN, 4 * 589,824
    # + 590,080 - 1,049,600 = 1,899,776 more, and norms of 256 channels.
    "hrnet w18, faster_rcnn, batch norms": 29.39,
    "hrnet w32, faster_rcnn, batch norms": 49.18,
    "hrnet w40, faster_rcnn, batch norms": 65.43,
    "hrnet w48, cascade_rcnn, masks, batch norms": 123.46,
    # Four 3x3 convolutions with group norms for classes and for boxes, 8 * (589,824 + 512), three outputs of
    # 80, 4 and 1 channels, 2,304 * 85 + 85, and five scales: 4,918,618 behind 12.58 M of backbone and neck.
    "hrnet w18, fcos, group norms": 17.5,
    "hrnet w18, fcos, batch norms": 17.5,
    "hrnet w32, fcos, group norms": 37.3,
    "hrnet w32, fcos, batch norms": 37.3,
    "hrnet w40, fcos, group norms": 53.54,
    "hrnet w48, fcos, group norms": 73.38,
    "resnet 50, fcos, group norms, P6 of P5": 32.3,
    "resnet 50, fcos, group norms, P6 of P5, biases": 32.3,
    "resnet 101, fcos, group norms, P6 of P5": 51.29,
    "resnet 50, retinanet": 37.97,
    "resnet 50, retinanet, P6 of P5": 33.84,
    "resnet 50, retinanet, group norms": 37.97,
    "resnet 101, retinanet": 56.96,
    # HTC's branches hand on features, 2 * 65,792, and its semantic one has 2,802,103 parameters.
    "hrnet w18, cascade_rcnn, masks, semantic": 65.99,
    "hrnet w32, cascade_rcnn, masks, semantic": 85.78,
    "hrnet w40, cascade_rcnn, masks, semantic": 102.03,
    "hrnet w48, cascade_rcnn, masks, semantic": 121.87,
    "resnet 50, cascade_rcnn, masks, semantic": 80.26,
    "resnet 101, cascade_rcnn, masks, semantic": 99.25,
    "hrnet w18, rpn": 13.18,
    "hrnet small, faster_rcnn": 2.31,
    "hrnet small, faster_rcnn, masks": 2.37,
    "resnet 50, rpn": 27.45,
    "resnet 50, faster_rcnn": 41.75,
    "resnet 50, faster_rcnn, masks": 44.4,
    "resnet 50, faster_rcnn, batch norms": 43.66,
    "resnet 50, faster_rcnn, masks, batch norms": 46.3,
    "resnet 50, cascade_rcnn": 69.39,
    "resnet 50, cascade_rcnn, masks": 77.32,
    "resnet 101, faster_rcnn": 60.75,
    "resnet 101, faster_rcnn, masks": 63.39,
    "resnet 101, cascade_rcnn": 88.39,
    "resnet 101, cascade_rcnn, masks": 96.32,
}


def architecture(model: ModelSpec) -> str:
    """What of a model decides its tensors, in the presets."""
    backbone = model.backbone.width if model.backbone.kind == "hrnet" else model.backbone.depth
    masks = "" if model.head.masks is None else ", masks"
    if model.head.label_maps is not None:
        masks += ", semantic"
    norm = model.head.norm if isinstance(model.head, RetinaNetSpec | FcosSpec) else model.neck.norm
    norms = "" if norm is None else f", {norm} norms"
    if model.neck.coarse_from == "neck":
        norms += ", P6 of P5"
    if isinstance(model.head, FcosSpec) and model.head.conv_bias:
        norms += ", biases"
    return f"{model.backbone.kind} {backbone}, {model.head.kind}{masks}{norms}"


def presets_by_architecture() -> dict[str, list[str]]:
    found = defaultdict(list)
    for name in all_presets():
        found[architecture(load_spec(preset=name).spec.model)].append(name)
    return dict(found)


PRESETS = presets_by_architecture()


def on_meta(model: ModelSpec) -> Detector:
    with torch.device("meta"):
        return build_plain_detector(model, num_classes=80)


def test_presets_have_these_architectures_and_no_others() -> None:
    assert set(PRESETS) == set(MILLIONS_OF_PARAMETERS)


@pytest.mark.parametrize("of", PRESETS)
def test_a_preset_has_the_parameters_of_its_architecture(of: str) -> None:
    detector = on_meta(load_spec(preset=PRESETS[of][0]).spec.model)
    millions = sum(parameter.numel() for parameter in detector.parameters()) / 1e6
    assert millions == pytest.approx(MILLIONS_OF_PARAMETERS[of], abs=0.006)


@pytest.mark.parametrize("of", [of for of in PRESETS if of.startswith(("hrnet w18", "resnet 50"))])
def test_all_presets_of_an_architecture_have_the_same_tensors(of: str) -> None:
    shapes = [
        {key: tensor.shape for key, tensor in on_meta(load_spec(preset=name).spec.model).state_dict().items()}
        for name in {str(load_spec(preset=name).spec.model.head): name for name in PRESETS[of]}.values()
    ]
    assert all(own == shapes[0] for own in shapes)


@pytest.mark.parametrize("name", [name for name in all_presets() if name.startswith("torchvision-")])
def test_torchvision_counts_as_many_parameters(name: str) -> None:
    spec = load_spec(preset=name).spec
    weights = str(spec.model.weights).removeprefix("torchvision:")
    with torch.device("meta"):
        detector = build_detector(spec, num_classes=90, trains=False)
    of_background = {"retinanet": 9 * (9 * 256 + 1), "fcos": 9 * 256 + 1, "faster_rcnn": 4 * (1024 + 1)}
    counted = sum(parameter.numel() for parameter in detector.parameters())
    counted += of_background[spec.model.head.kind]
    if spec.model.head.has_masks:
        counted += 256 + 1
    counted -= sum(".scales." in name for name, _ in detector.named_parameters())  # FCOS's, which are 1 there
    if spec.norm.kind == "frozen":  # which has no parameters there
        state = detector.state_dict()
        counted -= 2 * sum(state[key].numel() for key in state if key.endswith(".running_mean"))
    assert counted == next(iter(get_model_weights(weights))).meta["num_params"]

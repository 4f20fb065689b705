from pathlib import Path

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.training.checkpoint import save_checkpoint
from hrdet_cli.engine.weights.naming.mmdetection import to_mmdetection
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.runs.weights.inspection import inspect_weights
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import format_spec, load_spec
from tests.tiny_network import tiny_network


def small_spec() -> ExperimentSpec:
    settings = ["model.neck.channels=8", "model.head.roi_head.hidden_features=8"]
    return load_spec(preset="demo", settings=settings).spec


def tensors_of(spec: ExperimentSpec, num_classes: int = 3) -> dict[str, Tensor]:
    """Zeros: to draw random weights takes longer than to look at them."""
    with torch.device("meta"):
        detector = build_detector(spec, num_classes=num_classes, trains=False)
    return {name: torch.zeros_like(tensor, device="cpu") for name, tensor in detector.state_dict().items()}


def test_a_public_backbone_fits_its_likely_preset(tmp_path: Path) -> None:
    import timm

    with torch.device("meta"):
        network = timm.create_model("hrnet_w18")
    zeros = {name: torch.zeros_like(tensor, device="cpu") for name, tensor in network.state_dict().items()}
    torch.save(zeros, tmp_path / "hrnetv2_w18_imagenet_pretrained.pth")
    inspection = inspect_weights(str(tmp_path / "hrnetv2_w18_imagenet_pretrained.pth"), None)
    assert (inspection.head, inspection.backbone) == (None, "HRNetV2-W18")
    assert inspection.likely_preset == "hrnet-w18"
    assert inspection.num_parameters == sum(parameter.numel() for parameter in network.parameters())
    assert inspection.num_tensors_by_dtype == {"float32": 1631, "int64": 325}
    assert (inspection.num_classes, inspection.class_names, inspection.background) == (None, None, None)
    assert inspection.fit is not None
    assert inspection.fit.spec_name == "hrnet-w18"
    assert inspection.fit.report.fits
    assert len(inspection.fit.report.matched) == 1830
    assert len(inspection.fit.report.surplus) == 1956 - 1830


@pytest.mark.parametrize("surplus", [{}, {"roi_head.mask_head.conv_logits.bias": torch.ones(1)}])
def test_a_preset_that_does_not_fit_is_not_likely(surplus: dict[str, Tensor], tmp_path: Path) -> None:
    tensors = to_mmdetection(tensors_of(load_spec(preset="mmdet3-hrnet-w18").spec, 80))
    torch.save(tensors | surplus, tmp_path / "w.pth")
    inspection = inspect_weights(str(tmp_path / "w.pth"), None)
    assert inspection.likely_preset == (None if surplus else "mmdet3-hrnet-w18")
    assert inspection.fit is not None
    preset = "mmdet3-mask-hrnet-w18" if surplus else "mmdet3-hrnet-w18"
    assert (inspection.fit.spec_name, inspection.fit.report.fits) == (preset, not surplus)


def test_weights_are_compared_with_the_spec_that_is_asked_for(tmp_path: Path) -> None:
    spec = small_spec()
    torch.save({"state_dict": to_mmdetection(tensors_of(spec, 80))}, tmp_path / "w.pth")
    inspection = inspect_weights(str(tmp_path / "w.pth"), spec)
    assert inspection.fit is not None
    assert inspection.fit.report.fits
    assert inspection.num_classes == 80
    assert inspection.class_names is not None
    assert inspection.names_are_coco
    assert inspection.background == "last"
    assert inspection.backbone == "HRNetV2-SMALL"
    assert inspection.likely_preset is None


def test_a_checkpoint_of_ours_is_compared_with_its_own_spec(tmp_path: Path) -> None:
    spec = small_spec()
    entries = {
        "spec": format_spec(spec),
        "class_names": ["a", "b", "c"],
        "model": tensors_of(spec),
        "step": 3,
    }
    save_checkpoint(tmp_path / "best.pt", entries)
    inspection = inspect_weights(str(tmp_path / "best.pt"), None)
    assert inspection.entries == ("spec", "class_names", "model", "step")
    assert inspection.class_names == ("a", "b", "c")
    assert inspection.fit is not None
    assert (inspection.fit.spec_name, inspection.fit.report.fits) == ("demo", True)
    assert inspection.likely_preset is None


HEADS = {
    "Faster R-CNN": ("{kind: faster_rcnn}", "last"),
    "Mask R-CNN": ("{kind: faster_rcnn, mask: {channels: 8}}", "last"),
    "Cascade R-CNN": ("{kind: cascade_rcnn}", "last"),
    "Cascade Mask R-CNN": ("{kind: cascade_rcnn, mask: {channels: 8}}", "last"),
    "HTC": ("{kind: cascade_rcnn, mask: {channels: 8, flow: true}, semantic: {num_labels: 5}}", "last"),
    "RetinaNet": ("{kind: retinanet, channels: 8}", None),
    "FCOS": ("{kind: fcos, channels: 32}", None),
    "region proposal network": ("{kind: rpn}", None),
}


@pytest.mark.parametrize("name", HEADS)
def test_every_head_is_told_with_its_writer_its_classes_and_its_background(name: str, tmp_path: Path) -> None:
    head, background = HEADS[name]
    settings = ["model.neck.channels=8", f"model.head={head}", "data.train.label_maps=maps"]
    spec = load_spec(preset="demo", settings=settings).spec
    has_classes = name != "region proposal network"
    with tiny_network():
        torch.save(to_mmdetection(tensors_of(spec, 80 if has_classes else 1)), tmp_path / "w.pth")
        inspection = inspect_weights(str(tmp_path / "w.pth"), spec)
    assert (inspection.writer, inspection.head) == ("mmdetection 2 or 3", name)
    assert inspection.num_classes == (80 if has_classes else None)
    assert inspection.background == background
    assert inspection.fit is not None
    assert inspection.fit.report.fits

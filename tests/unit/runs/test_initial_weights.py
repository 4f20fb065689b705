from functools import cache
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.norm.convert import convert_norm
from hrdet_cli.engine.weights.checkpoint_format import CHECKPOINT_FORMAT
from hrdet_cli.engine.weights.naming.mmdetection import to_mmdetection
from hrdet_cli.errors import WeightsError
from hrdet_cli.runs.build.detector import build_detector, build_plain_detector
from hrdet_cli.runs.initial_weights import InitialWeights, load_initial_weights
from hrdet_cli.specs.heads.two_stage import FasterRcnnSpec
from hrdet_cli.specs.loading import format_spec, load_spec
from hrdet_cli.specs.model import ModelSpec
from tests.tiny_network import tiny_network

CLASSES = ("cell", "platelet", "virus")
State = dict[str, Tensor]


@cache
def small_model() -> ModelSpec:
    settings = ["model.neck.channels=8", "model.head.roi_head={hidden_features: 8, pool_sampling_ratio: 0}"]
    return load_spec(preset="demo", settings=settings).spec.model


def build(num_classes: int = 3) -> Detector:
    torch.manual_seed(0)
    return build_plain_detector(small_model(), num_classes=num_classes)


def with_weights(content: object, folder: Path, **settings: object) -> ModelSpec:
    path = folder / "weights.pth"
    torch.save(content, path)
    return small_model().model_copy(update={"weights": str(path), **settings})


def shifted(detector: Detector) -> State:
    return {key: tensor + 1 for key, tensor in detector.state_dict().items()}


def test_without_weights_nothing_changes() -> None:
    detector = build()
    assert load_initial_weights(detector, small_model(), class_names=CLASSES) == InitialWeights("random", ())


def test_a_backbone_is_described_by_what_it_is_and_what_was_left_over(tmp_path: Path) -> None:
    detector = build()
    backbone = {key: t for key, t in shifted(detector).items() if key.startswith("backbone.")}
    model = with_weights(backbone | {"backbone.classifier.weight": torch.ones(1)}, tmp_path)
    loaded = load_initial_weights(detector, model, class_names=CLASSES)
    assert loaded == InitialWeights(
        f"{model.weights} (HRNetV2-SMALL backbone: {len(backbone)} tensors, 1 left over)", ()
    )
    assert all(torch.equal(detector.state_dict()[key], tensor) for key, tensor in backbone.items())


def test_that_a_checkpoint_s_average_is_not_taken_is_said_with_how_to_take_it(tmp_path: Path) -> None:
    weights = shifted(build())
    content = {"format": CHECKPOINT_FORMAT, "class_names": list(CLASSES), "model": weights}
    model = with_weights(content | {"ema_model": weights}, tmp_path)
    assert load_initial_weights(build(), model, class_names=CLASSES).notices == (
        f"weights {model.weights}: the raw weights in it are taken, not their average. To start from that: "
        f"hrdet export {model.weights} --ema --to safetensors --out FILE, and give FILE",
    )
    assert not load_initial_weights(build(), with_weights(content, tmp_path), class_names=CLASSES).notices


def test_what_a_checkpoint_s_run_saw_otherwise_is_said(tmp_path: Path) -> None:
    settings = ["model.pixel_order=bgr", "model.neck.channels=8", "model.head.roi_head.hidden_features=8"]
    theirs = load_spec(preset="demo", settings=settings).spec
    content = {"format": CHECKPOINT_FORMAT, "spec": format_spec(theirs), "model": shifted(build())}
    model = with_weights(content, tmp_path)
    assert load_initial_weights(build(), model, class_names=CLASSES).notices == (
        f"weights {model.weights} were trained with model.head.roi_head.pool_sampling_ratio 1, not 0, "
        "model.pixel_order bgr, not rgb: results may be poor",
    )
    assert not load_initial_weights(
        build(), theirs.model.model_copy(update={"weights": model.weights}), class_names=CLASSES
    ).notices
    unreadable = with_weights(content | {"spec": "optimisation: of a later hrdet"}, tmp_path)
    assert not load_initial_weights(build(), unreadable, class_names=CLASSES).notices


def test_a_detector_for_other_classes_is_loaded_but_for_its_last_layers_and_that_is_said(
    tmp_path: Path,
) -> None:
    model = with_weights({"state_dict": to_mmdetection(shifted(build(80)))}, tmp_path)
    detector = build()
    before = {key: tensor.clone() for key, tensor in detector.state_dict().items()}
    loaded = load_initial_weights(detector, model, class_names=CLASSES)
    assert loaded.notices == (
        f"weights {model.weights} have 80 classes, the data 3: the last layers of the head start anew "
        "(roi_head.classifier.weight, roi_head.classifier.bias, roi_head.regressor.weight, "
        "roi_head.regressor.bias)",
    )
    same = {key for key, tensor in detector.state_dict().items() if torch.equal(tensor, before[key])}
    assert same == {key for key in before if key.startswith(("roi_head.classifier", "roi_head.regressor"))}


REMADE = {
    "{kind: faster_rcnn, mask: {channels: 8}}": {
        "roi_head.classifier",
        "roi_head.regressor",
        "mask_head.logits",
    },
    "{kind: cascade_rcnn, mask: {channels: 8}}": {
        *(f"roi_head.stages.{stage}.classifier" for stage in range(3)),
        *(f"mask_head.stages.{stage}.logits" for stage in range(3)),
    },
    "{kind: retinanet, channels: 8}": {"retina_head.class_logits"},
    "{kind: fcos, channels: 32}": {"fcos_head.class_logits"},
}


@pytest.mark.parametrize("head", REMADE)
def test_of_every_head_the_layers_whose_rows_are_classes_start_anew(head: str, tmp_path: Path) -> None:
    settings = ["model.neck.channels=8", f"model.head={head}", "model.strict_weights=true"]
    spec = load_spec(preset="demo", settings=settings).spec
    with tiny_network():
        detectors = [build_detector(spec, num_classes=number, trains=True) for number in (80, 3)]
    torch.save(to_mmdetection(shifted(detectors[0])), tmp_path / "w.pth")
    model = spec.model.model_copy(update={"weights": str(tmp_path / "w.pth")})
    before = {key: tensor.clone() for key, tensor in detectors[1].state_dict().items()}
    (notice,) = (
        n for n in load_initial_weights(detectors[1], model, class_names=CLASSES).notices if "anew" in n
    )
    same = {key for key, tensor in detectors[1].state_dict().items() if torch.equal(tensor, before[key])}
    assert {key.rpartition(".")[0] for key in same} == REMADE[head]
    assert all(key in notice for key in same)


@pytest.mark.parametrize(
    ("names", "is_told"),
    [(CLASSES, False), (("platelet", "cell", "virus"), True), (("cat", "dog", "virus"), True), (None, False)],
)
def test_as_many_classes_of_other_names_are_told(
    names: tuple[str, ...] | None, is_told: bool, tmp_path: Path
) -> None:
    document = {"state_dict": to_mmdetection(shifted(build())), "meta": {"CLASSES": names}}
    loaded = load_initial_weights(build(), with_weights(document, tmp_path), class_names=CLASSES)
    assert [("of other names or in another order" in notice) for notice in loaded.notices] == [True] * is_told


def test_the_place_of_the_background_follows_the_spec(tmp_path: Path) -> None:
    tensors = build().state_dict()
    tensors["roi_head.classifier.bias"] = torch.tensor([9.0, 1, 2, 3])
    detector = build()
    model = with_weights(to_mmdetection(tensors), tmp_path, weights_background="first")
    load_initial_weights(detector, model, class_names=CLASSES)
    assert detector.state_dict()["roi_head.classifier.bias"].tolist() == [1, 2, 3, 9]


def test_what_does_not_fit_is_an_error_or_told(tmp_path: Path) -> None:
    tensors = to_mmdetection(shifted(build()))
    del tensors["rpn_head.rpn_conv.bias"]
    tensors["mask_head.bias"] = torch.ones(2)
    misfits = [
        f"1 of {len(tensors)} tensors is missing: rpn.conv.bias",
        "1 tensor has no place in the model: mask_head.bias",
    ]
    with pytest.raises(WeightsError) as caught:
        load_initial_weights(build(), with_weights(tensors, tmp_path), class_names=CLASSES)
    assert str(caught.value).splitlines()[1:3] == misfits
    model = with_weights(tensors, tmp_path, strict_weights=False)
    loaded = load_initial_weights(build(), model, class_names=CLASSES)
    assert loaded.notices == tuple(f"model.strict_weights=false: {misfit}" for misfit in misfits)


def test_statistics_that_group_norm_has_no_place_for_are_told(tmp_path: Path) -> None:
    tensors = shifted(build())
    detector = build()
    convert_norm(detector, kind="group")
    loaded = load_initial_weights(detector, with_weights(tensors, tmp_path), class_names=CLASSES)
    num_statistics = sum("running_" in key for key in tensors)
    assert loaded.notices == (
        f"norm.kind=group: {num_statistics} running statistics of the weights are not used",
    )


@pytest.mark.parametrize(("kind", "keeps"), [("frozen", False), ("batch", True)])
def test_norms_that_would_keep_their_first_statistics_need_some(
    kind: Literal["frozen", "batch"], keeps: bool, tmp_path: Path
) -> None:
    model = load_spec(preset="demo", settings=["model.neck={channels: 8, norm: batch}"]).spec.model

    def build_with_norms_in_neck() -> Detector:
        detector = build_plain_detector(model, num_classes=3)
        convert_norm(detector, kind=kind, keep_statistics=keeps)
        return detector

    tensors = shifted(build_with_norms_in_neck())
    backbone = {key: tensor for key, tensor in tensors.items() if key.startswith("backbone.")}
    with_backbone = model.model_copy(update={"weights": with_weights(backbone, tmp_path).weights})
    with pytest.raises(WeightsError, match=r"for 6 norms .* neck.reduction_conv.norm, .* and 1 more"):
        load_initial_weights(build_with_norms_in_neck(), with_backbone, class_names=CLASSES)
    trained = build_plain_detector(model, num_classes=3)
    assert load_initial_weights(trained, with_backbone, class_names=CLASSES).notices == ()
    with_all = model.model_copy(update={"weights": with_weights(tensors, tmp_path).weights})
    assert load_initial_weights(build_with_norms_in_neck(), with_all, class_names=CLASSES).notices == ()


def test_a_detector_of_other_conventions_is_told(tmp_path: Path) -> None:
    head = small_model().head
    assert isinstance(head, FasterRcnnSpec)
    head = head.model_copy(update={"roi_head": head.roi_head.model_copy(update={"pool_sampling_ratio": 2})})
    model = with_weights(to_mmdetection(shifted(build())), tmp_path, head=head)
    (notice,) = load_initial_weights(build(), model, class_names=CLASSES).notices
    assert "which has model.head.roi_head.pool_sampling_ratio 0, not 2: results may be poor" in notice


def test_weights_that_cannot_be_read_need_not_be_there() -> None:
    model = load_spec(preset="demo", settings=["model.weights=nowhere.pth"]).spec.model
    with pytest.raises(WeightsError) as caught:
        load_initial_weights(build(), model, class_names=CLASSES)
    first, advice = str(caught.value).splitlines()
    assert first.startswith("weights nowhere.pth: there is no such file. Public files are")
    assert advice == "To train from random weights: --from-scratch"


def test_conventions_that_a_file_states_otherwise_are_told(tmp_path: Path) -> None:
    document = {
        "state_dict": to_mmdetection(shifted(build())),
        "meta": {"config": "img_norm_cfg = dict(std=[1.0, 1.0, 1.0], to_rgb=False)"},
    }
    (notice,) = load_initial_weights(build(), with_weights(document, tmp_path), class_names=CLASSES).notices
    assert "were trained with model.pixel_order bgr, not rgb" in notice

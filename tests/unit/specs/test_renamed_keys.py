"""Keys that had other names once."""

from pathlib import Path

import pytest

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.heads.two_stage import FasterRcnnSpec
from hrdet_cli.specs.known_keys import all_keys, all_sections
from hrdet_cli.specs.layers import Layer
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.merging import MergedLayers
from hrdet_cli.specs.renamed_keys import RENAMED_KEYS, renamed

OLD = {
    "model.rpn.anchor_scale": 6,
    "model.rpn.box_loss": "{kind: l1, beta: null}",
    "model.roi_head.soft_nms": "{}",
    "model.neck_channels": 48,
    "model.backbone.neck_interpolation": "nearest",
    "model.backbone.neck_pooling": "max",
    "optimisation.momentum": "0.5",
    "optimisation.drop_epochs": "[7]",
    "optimisation.drop_factor": "0.5",
}


def test_old_names_lead_to_keys_that_there_are_and_are_none_themselves() -> None:
    known = {*all_keys(), *all_sections()}
    assert set(RENAMED_KEYS.values()) <= known
    assert not known & set(RENAMED_KEYS)


@pytest.mark.parametrize("old", OLD)
def test_a_setting_by_its_old_name_is_that_by_its_new_one(old: str) -> None:
    key = next(f"{new}{old.removeprefix(name)}" for name, new in RENAMED_KEYS.items() if old.startswith(name))
    by_old, by_new = (load_spec(preset="hrnet-w18", settings=[f"{name}={OLD[old]}"]) for name in (old, key))
    assert by_old.spec == by_new.spec != load_spec(preset="hrnet-w18").spec
    assert set(by_old.sources) == set(by_new.sources)


@pytest.mark.parametrize(("was", "now"), [("true", "modules"), ("false", "off"), ("norms", "norms")])
def test_a_switch_that_became_words_is_read_as_words_from_any_layer(
    was: str, now: str, tmp_path: Path
) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(f"base: hrnet-w18\nname: mine\nmodel: {{activation_checkpointing: {was}}}\n")
    settings = [f"model.activation_checkpointing={was}"]
    for loaded in (load_spec(spec_file=file), load_spec(preset="hrnet-w18", settings=settings)):
        assert loaded.spec.model.activation_checkpointing == now


def test_a_file_of_old_names_is_read_below_settings_of_new_ones_and_above(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(
        "base: hrnet-w18\nname: mine\n"
        "model: {neck_channels: 64, rpn: {anchor_scale: 4, nms_iou: 0.6}, backbone: {neck_pooling: max}}\n"
    )
    model = load_spec(
        spec_file=file, settings=["model.head.rpn.nms_iou=0.5", "model.rpn.anchor_scale=3"]
    ).spec.model
    assert isinstance(model.head, FasterRcnnSpec)
    assert (model.head.rpn.anchor_scale, model.head.rpn.nms_iou) == (3, 0.5)
    assert (model.neck.channels, model.neck.pooling, model.backbone.kind) == (64, "max", "hrnet")


def test_values_are_moved_whole_and_others_stay() -> None:
    old = {
        "model": {"rpn": {"a": {}, "b": 1}, "backbone": {"neck_pooling": "max"}, "weights": None},
        "name": "x",
    }
    assert renamed(old, source="it") == {
        "model": {"head": {"rpn": {"a": {}, "b": 1}}, "neck": {"pooling": "max"}, "weights": None},
        "name": "x",
    }
    assert "rpn" in old["model"]
    for nothing_to_move in ({}, {"model": None}, {"model": {"backbone": 3}}, {3: {"rpn": 1}}):
        assert renamed(nothing_to_move, source="it") == nothing_to_move


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (
            {"rpn": {"nms_iou": 1, "anchor_scale": 2}, "head": {"rpn": {"nms_iou": 1}}},
            ["model.rpn.nms_iou is the older name of model.head.rpn.nms_iou,"],
        ),
        (
            {"neck_channels": 8, "rpn": {"nms_iou": 1}, "neck": {"channels": 8}, "head": None},
            ["model.rpn is the older name of model.head.rpn,", "model.neck_channels is the older name of"],
        ),
    ],
)
def test_a_key_by_both_names_is_an_error_that_says_so(model: dict[str, object], names: list[str]) -> None:
    with pytest.raises(SpecError) as raised:
        renamed({"model": model}, source="mine.yaml")
    assert len(raised.value.problems) == len(names)
    for problem, start in zip(raised.value.problems, names, strict=True):
        assert problem.startswith(f"mine.yaml: {start}")
        assert problem.endswith("which is there too; give one of them")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("model.rpn.nms_iuo=1", "model.head.rpn.nms_iuo: unknown key; did you mean model.head.rpn.nms_iou?"),
        ("model.neck_chanels=8", "model.neck_chanels: unknown key; did you mean model.neck.channels?"),
        (
            "model.backbone.neck_poling=max",
            "model.backbone.neck_poling: unknown key; did you mean model.neck.p",
        ),
        ("model.roi_head=3", "model.head.roi_head: must be a section"),
        ("model.neck_channels=-1", "model.neck.channels: must be a whole number above 0; got -1"),
    ],
)
def test_an_error_in_an_old_key_names_the_new_one(setting: str, told: str) -> None:
    with pytest.raises(SpecError) as raised:
        load_spec(preset="demo", settings=[setting])
    assert raised.value.problems[0].startswith(f"--set {setting}: {told}")


def test_a_head_that_says_no_kind_is_a_faster_rcnn() -> None:
    merged = MergedLayers()
    merged.add(Layer("first", {"model": {"weights": None, "head": {"rpn": {"nms_iou": 0.6}}}}))
    assert merged.values["model"]["head"] == {"kind": "faster_rcnn", "rpn": {"nms_iou": 0.6}}
    merged.add(Layer("second", {"model": {"head": {"kind": "faster_rcnn", "rpn": {"anchor_scale": 4}}}}))
    assert merged.values["model"]["head"]["rpn"] == {"nms_iou": 0.6, "anchor_scale": 4}
    merged.add(Layer("third", {"model": {"head": {"kind": "another", "nms_iou": 0.5}}}))
    assert merged.values["model"] == {"weights": None, "head": {"kind": "another", "nms_iou": 0.5}}
    merged.add(Layer("fourth", {"model": {"head": {"nms_iou": 0.4}}}))
    assert merged.values["model"]["head"] == {"kind": "another", "nms_iou": 0.4}

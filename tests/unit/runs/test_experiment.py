"""What the data of a command line make of a spec."""

from pathlib import Path

import pytest
from PIL import Image

from hrdet_cli.errors import SpecError
from hrdet_cli.runs.experiment import load_experiment
from hrdet_cli.specs.layers import setting_layers


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """Two data sets that name validation data, and one that does not."""
    for name, splits in (("one", ("train", "val")), ("two", ("train", "val")), ("three", ("train",))):
        for split in splits:
            (tmp_path / name / "images" / split).mkdir(parents=True)
            Image.new("RGB", (30, 20)).save(tmp_path / name / "images" / split / "0.png")
        lines = [f"{split}: images/{split}" for split in splits]
        (tmp_path / name / "data.yaml").write_text("\n".join([*lines, "names: [cell]", ""]))
    return tmp_path


def test_one_data_set_is_one_and_several_are_a_list_with_their_own_pictures(yolo: Path) -> None:
    coco = (str(yolo / "a.json"), str(yolo / "pictures"))
    one = load_experiment(preset="demo", spec_file=None, settings=[], train_data=[coco]).spec.data
    assert not isinstance(one.train, tuple)
    assert (str(one.train.annotations), str(one.train.images), one.demo, one.val) == (*coco, None, None)
    several = load_experiment(
        preset="demo",
        spec_file=None,
        settings=setting_layers(["data.shares=[2, 1]", "data.train.1.split=val"]),
        train_data=[coco, (str(yolo / "three"), "")],
    ).spec.data
    assert [(str(each.annotations), each.images, each.split) for each in several.training_sets] == [
        (coco[0], Path(coco[1]), None),
        (str(yolo / "three"), None, "val"),
    ]
    assert (several.shares, several.val) == ((2, 1), None)


def test_the_one_data_set_that_names_validation_data_is_evaluated_on(yolo: Path) -> None:
    one, two, three = ((str(yolo / name / "data.yaml"), "") for name in ("one", "two", "three"))
    loaded = load_experiment(preset="demo", spec_file=None, settings=[], train_data=[three, one])
    assert loaded.spec.data.val is not None
    assert str(loaded.spec.data.val.annotations) == one[0]
    with pytest.raises(SpecError) as caught:
        load_experiment(preset="demo", spec_file=None, settings=[], train_data=[one, two])
    assert caught.value.problems == [
        f"--train-data: {one[0]} and {two[0]} name validation data each; choose one of them with --val-data, "
        "or none with --set data.val=null"
    ]
    chosen = load_experiment(preset="demo", spec_file=None, settings=[], train_data=[one, two], val_data=two)
    assert chosen.spec.data.val is not None
    assert str(chosen.spec.data.val.annotations) == two[0]
    none = setting_layers(["data.val=null"])
    loaded = load_experiment(preset="demo", spec_file=None, settings=none, train_data=[one, two])
    assert loaded.spec.data.val is None

"""Training and evaluation on some classes are what they would be on a file that has no others."""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.errors import DataError, SpecError
from hrdet_cli.runs.dataset.classes import with_classes_alone
from hrdet_cli.specs.loading import load_spec

_NAMES = {30: "dog", 10: "cat", 20: "Cow", 5: "background"}


def _write(path: Path, *, ids: tuple[int, ...]) -> Path:
    """Four pictures with objects of all kinds and crowd regions; categories and annotations of ``ids``."""
    rng = np.random.default_rng(0)
    annotations = []
    for number, kind in enumerate(rng.choice([30, 10, 20], 40).tolist()):
        x, y = rng.integers(0, 60, 2).tolist()
        annotations.append(
            {
                "id": number,
                "image_id": int(rng.integers(0, 4)),
                "category_id": kind,
                "bbox": [x, y, 20, 0.5 if number == 3 else 10],
                "area": 100 + number,
                "iscrowd": int(number % 7 == 0),
                "segmentation": {
                    "size": [80, 90],
                    "counts": [90 * x + y, 5 + number, 7195 - number - 90 * x - y],
                }
                if number % 2
                else [[x, y, x + 20, y, x, y + 10]],
            }
        )
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "height": 80, "width": 90} for n in range(4)],
        "annotations": [one for one in annotations if one["category_id"] in ids],
        "categories": [{"id": number, "name": _NAMES[number]} for number in ids],
    }
    path.write_text(json.dumps(content))
    return path


def _assert_same(one: Any, other: Any, *, but: tuple[str, ...] = ()) -> None:
    for name in (field.name for field in fields(one) if field.name not in but):
        ours, theirs = getattr(one, name), getattr(other, name)
        if is_dataclass(ours):
            _assert_same(ours, theirs)
        elif isinstance(ours, np.ndarray):
            assert np.array_equal(ours, theirs), name
            assert ours.dtype == theirs.dtype, name
        else:
            assert ours == theirs, name


@pytest.mark.parametrize("ids", [(20, 30), (10,), (5, 10, 20, 30)])
def test_chosen_classes_are_a_file_of_these_alone(tmp_path: Path, ids: tuple[int, ...]) -> None:
    whole = load_coco(_write(tmp_path / "all.json", ids=tuple(_NAMES)), with_masks=True, with_truth=True)
    alone = load_coco(_write(tmp_path / "some.json", ids=ids), with_masks=True, with_truth=True)
    chosen = with_classes_alone(whole, [_NAMES[number] for number in ids])
    _assert_same(chosen, alone, but=("path", "fingerprint", "dropped_boxes"))
    assert 5 not in ids or list(chosen.spare_categories) == [0]


def test_unknown_classes_are_one_error_with_what_is_like_them(tmp_path: Path) -> None:
    whole = load_coco(_write(tmp_path / "all.json", ids=tuple(_NAMES)))
    with pytest.raises(DataError) as caught:
        with_classes_alone(whole, ["dogs", "cat", "cow", "zebra"])
    assert str(caught.value) == (
        f"{tmp_path / 'all.json'}: data.classes names categories that it lacks: 'dogs' (is it 'dog'?), "
        "'cow' (is it 'Cow'?), 'zebra'. It has 'dog', 'cat', 'Cow', 'background': name some of them, or all "
        "with data.classes=null"
    )


def test_classes_are_named_once_and_there_is_one() -> None:
    with pytest.raises(SpecError, match=r"data\.classes: names 'cat' more than once; name each once"):
        load_spec(preset="demo", settings=["data.classes=[cat, dog, cat]"])
    with pytest.raises(SpecError, match=r"data\.classes"):
        load_spec(preset="demo", settings=["data.classes=[]"])

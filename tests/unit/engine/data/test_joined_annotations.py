"""Several data sets joined are as one that was written with all their pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.joined_annotations import join_annotations
from hrdet_cli.engine.data.joined_images import JoinedImages
from hrdet_cli.errors import DataError

_OUTLINE = [[1, 1, 9, 1, 1, 9]]
_RUNS = {"size": [50, 60], "counts": [100, 7, 2893]}


def _load(path: Path, categories: dict[str, int], pictures: list[str]) -> CocoAnnotations:
    """Pictures by the classes of their objects, outlines and runs in turn; capitals are crowd regions."""
    annotations: list[dict[str, Any]] = []
    for image, letters in enumerate(pictures):
        for letter in letters:
            number = len(annotations)
            annotations.append(
                {
                    "id": number,
                    "image_id": image,
                    "category_id": categories[letter.lower()],
                    "bbox": [number, 2, 10 + number, 20],
                    "iscrowd": int(letter.isupper()),
                    "segmentation": _RUNS if number % 2 else _OUTLINE,
                }
            )
    images = [{"id": n, "file_name": f"{n}.png", "height": 50, "width": 60} for n in range(len(pictures))]
    names = [{"id": number, "name": name} for name, number in categories.items()]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": names}))
    return load_coco(path, with_masks=True)


def test_joined_sets_have_all_pictures_and_the_classes_of_the_first_by_name(tmp_path: Path) -> None:
    one = _load(tmp_path / "one.json", {"a": 4, "b": 2}, ["ab", "", "Bb"])
    two = _load(tmp_path / "two.json", {"b": 1, "c": 2, "a": 3}, ["bca", "C"])
    joined = join_annotations([one, two], ["1:x/", "2:y/"])
    assert joined.class_names == ("a", "b", "c")
    assert joined.category_ids == (4, 2, 5)
    assert joined.file_names.tolist() == ["1:x/0.png", "1:x/1.png", "1:x/2.png", "2:y/0.png", "2:y/1.png"]
    assert len(set(joined.image_ids.tolist())) == len(joined) == 5
    assert joined.set_numbers is not None
    assert joined.set_numbers.tolist() == [0, 0, 0, 1, 1]
    assert joined.title == f"{tmp_path / 'one.json'} and 1 more data set"
    assert joined.fingerprint not in (one.fingerprint, two.fingerprint)
    for start, single in ((0, one), (3, two)):
        for index in range(len(single)):
            assert joined.size_of(start + index) == single.size_of(index)
            for ours, theirs in (
                (joined.targets_of(start + index), single.targets_of(index)),
                (joined.crowd_of(start + index), single.crowd_of(index)),
            ):
                assert np.array_equal(ours[0], theirs[0])
                assert [joined.class_names[k] for k in ours[1]] == [single.class_names[k] for k in theirs[1]]
            every = np.ones(single.num_boxes[index], dtype=np.bool_)
            taken = joined.segmentations_of(start + index, every)
            own = single.segmentations_of(index, every)
            for name in ("corners", "corner_offsets", "polygon_offsets", "runs", "run_offsets"):
                assert np.array_equal(getattr(taken, name), getattr(own, name))


def test_pictures_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes(folder.encode())
    (tmp_path / "b" / "2.PNG").write_bytes(b"two")
    images = JoinedImages([(f"{n}:x/", open_images(tmp_path / n)) for n in ("a", "b")])
    found = images.find(["a:x/1.png", "b:x/1.png", "b:x/./2.PNG", "a:x/9.png"])
    assert found.missing == ["a:x/9.png"]
    assert [images.read(f"{folder}:x/1.png") for folder in "ab"] == [b"a", b"b"]
    assert images.read("b:x/./2.PNG") == b"two"
    assert "is not in" in images.why_missing("a:x/9.png")
    with pytest.raises(DataError, match=r"picture 9\.png is not in"):
        images.read("a:x/9.png")

"""Pictures that several data sets have are told by where they are and by what is in them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from hrdet_cli.engine.data.checking.annotations import check_annotations, read_json
from hrdet_cli.engine.data.checking.problems import ProblemLog
from hrdet_cli.runs.check_data.compared_parts import Gist, JoinedWith, TrainedOn


def _gist(folder: Path, *names: str, digests: Mapping[int, bytes]) -> Gist:
    content = {
        "images": [{"id": n, "file_name": name, "height": 9, "width": 9} for n, name in enumerate(names)],
        "annotations": [],
        "categories": [{"id": 1, "name": "cat"}],
    }
    folder.mkdir(exist_ok=True)
    (folder / "all.json").write_text(json.dumps(content))
    log = ProblemLog(num_described=None)
    return Gist.of(check_annotations(read_json(folder / "all.json"), log), folder, digests)


@pytest.mark.parametrize(
    ("compare", "words"),
    [
        (TrainedOn, "2 of its pictures are training pictures too{}: its scores will flatter"),
        (
            lambda sets: JoinedWith(sets, None, is_last=True),
            "2 of its pictures are in training data before it too{}: training shows them for each",
        ),
    ],
)
def test_a_picture_is_the_same_by_its_path_or_by_its_content(
    tmp_path: Path, compare: Callable[[list[Gist]], TrainedOn | JoinedWith], words: str
) -> None:
    first = _gist(tmp_path / "one", "a.jpg", "b.jpg", digests={0: b"A", 1: b"B"})
    (tmp_path / "link").symlink_to(tmp_path / "one")
    second = _gist(tmp_path / "link", "./b.jpg", digests={})
    third = _gist(tmp_path / "two", "copy.jpg", "b.jpg", "again.jpg", digests={0: b"A", 1: b"C", 2: b"A"})

    def notes_on(gist: Gist, *others: Gist) -> list[str]:
        log = ProblemLog(num_described=None)
        compare([*others]).compare("all.json", gist, log)
        return [problem.what for problem in log.notes]

    assert notes_on(third, first) == [words.format(", such as copy.jpg, which is a.jpg there")]
    assert notes_on(third, second) == []
    (note,) = notes_on(second, third, first)
    assert "1 of its pictures is " in note
    assert ", such as ./b.jpg, which is b.jpg there: " in note


def test_classes_that_no_training_data_have_are_told_of_the_last(tmp_path: Path) -> None:
    gist = _gist(tmp_path / "one", "a.jpg", digests={})

    def errors(*classes: str, is_last: bool) -> list[str]:
        log = ProblemLog(num_described=None)
        JoinedWith([], classes, is_last=is_last).compare("all.json", gist, log)
        return [problem.what for problem in log.described()]

    assert errors("cat", is_last=True) == errors("dog", is_last=False) == []
    (what,) = errors("cat", "dog", is_last=True)
    assert what.startswith("data.classes names what no training data have: 'dog'; ")

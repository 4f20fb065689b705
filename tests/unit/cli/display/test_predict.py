import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from hrdet_cli.cli.display.predict import print_prediction
from hrdet_cli.engine.evaluation.picture_detections import PictureDetections
from hrdet_cli.engine.geometry import Size
from hrdet_cli.runs.predict.document import PredictedPicture
from hrdet_cli.runs.predict.prediction import Prediction

CLASSES = ("person", "traffic light", "dog")


def predicted(name: str) -> PredictedPicture:
    detections = PictureDetections(
        1, torch.zeros(3, 4), torch.tensor([0.99, 0.8, 0.7]), torch.tensor([0, 1, 2])
    )
    return PredictedPicture(name, Size(1080, 1920), detections, f"drawn/{name}")


def printed(*names: str, width: int, num_others: int = 0) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    prediction = Prediction(
        out=Path("out"),
        class_names=CLASSES,
        pictures=tuple(map(predicted, names)),
        failed=(),
        num_not_done=0,
        skipped={".txt": num_others} if num_others else {},
        document={},
        notices=(),
    )
    print_prediction(prediction, console)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_long_name_loses_its_middle_where_the_terminal_is_narrow() -> None:
    name = "holidays/2019/lake/afternoon/IMG_20190812_170312_1.jpg"
    heading, first, second, *_ = printed(name, width=80)
    assert heading.split() == ["picture", "size", "found", "best"]
    shown, size, found, *best = first.split()
    assert shown == "holidays/2019/lake/...90812_170312_1.jpg", "half of the width"
    assert (size, found) == ("1920x1080", "3")
    assert [*best, *second.split()][:4] == ["person", "0.99,", "traffic", "light"], "folded between words"
    assert printed(name, width=160)[1].split()[0] == name


def test_a_name_with_room_for_it_is_whole() -> None:
    name = "a-picture-of-thirty-letters.jpg"
    assert printed(name, width=120)[1].split()[0] == name


@pytest.mark.parametrize(("number", "said"), [(1, "skipped 1 file: 1 .txt"), (2, "skipped 2 files: 2 .txt")])
def test_other_files_are_counted(number: int, said: str) -> None:
    assert f"3 found in 1 picture; {said}" in printed("1.jpg", width=80, num_others=number)

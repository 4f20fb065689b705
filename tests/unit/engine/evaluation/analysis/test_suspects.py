"""What makes an annotation suspect, and what does not."""

from dataclasses import replace

import pytest

from hrdet_cli.engine.data.federated import Federated, pairs_of
from hrdet_cli.engine.evaluation.analysis.errors import find_errors
from hrdet_cli.engine.evaluation.analysis.matching import match
from hrdet_cli.engine.evaluation.analysis.suspects import Suspect, find_suspects
from hrdet_cli.engine.evaluation.back_ends import evaluate_with_hotcoco
from hrdet_cli.engine.evaluation.comparison import Comparison
from tests.comparisons import comparison_of

HERE, THERE = (0, 0, 100, 100), (500, 500, 100, 100)
BESIDE = (60, 0, 100, 100)  # overlaps HERE by 4000 / 16000


def suspects_of(comparison: Comparison, *, min_score: float = 0.5) -> list[Suspect]:
    matching = match(evaluate_with_hotcoco(comparison), comparison)
    suspects = find_suspects(comparison, matching, find_errors(comparison, matching), min_score=min_score)
    return [
        replace(suspect, strength=round(suspect.strength, 9), overlap=round(suspect.overlap, 9))
        for suspect in suspects
    ]


def test_a_confident_detection_where_nothing_is_annotated() -> None:
    found = [(0, 0, HERE, 0.9), (1, 1, THERE, 0.8), (1, 0, HERE, 0.3)]
    (suspect,) = suspects_of(comparison_of([(0, 0, HERE)], found))
    assert suspect == Suspect("box missing", 0.8, picture=1, found=1)


def test_detections_below_the_operating_point_are_not_listened_to() -> None:
    comparison = comparison_of([(0, 0, HERE)], [(1, 1, THERE, 0.8)])
    assert suspects_of(comparison, min_score=0.85) == []


def test_several_detections_at_one_place_lack_one_box() -> None:
    found = [(0, 1, (505, 500, 100, 100), 0.7), (0, 0, THERE, 0.9), (0, 0, HERE, 0.6)]
    missing = suspects_of(comparison_of([(0, 0, (800, 0, 50, 50))], found))
    assert [(suspect.kind, suspect.found) for suspect in missing] == [("box missing", 1), ("box missing", 2)]


def test_a_detection_in_a_crowd_region_of_another_class_lacks_no_box() -> None:
    comparison = comparison_of([(0, 1, HERE), (1, 0, HERE)], [(0, 0, (10, 10, 20, 20), 0.9)], crowd=[0])
    assert suspects_of(comparison) == []


def test_a_confident_detection_of_another_class() -> None:
    true = [(0, 0, HERE), (0, 0, THERE)]
    found = [(0, 1, HERE, 0.9), (0, 0, HERE, 0.2), (0, 1, THERE, 0.8), (0, 0, THERE, 0.85)]
    (suspect,) = suspects_of(comparison_of(true, found))
    assert suspect == Suspect("class", 0.7, picture=0, true=0, found=0, overlap=1.0)


def test_a_confident_detection_beside_a_box_that_nothing_else_finds() -> None:
    true = [(0, 0, HERE), (1, 0, HERE)]
    found = [(0, 0, BESIDE, 0.8), (1, 0, BESIDE, 0.9), (1, 0, HERE, 0.6)]
    (suspect,) = suspects_of(comparison_of(true, found))
    assert suspect == Suspect("place", 0.6, picture=0, true=0, found=0, overlap=0.25)


@pytest.mark.parametrize(("num_found", "is_suspect"), [(9, True), (7, False)])
def test_a_box_that_nothing_comes_near_though_others_like_it_are_found(
    num_found: int, is_suspect: bool
) -> None:
    true = [(number, 0, HERE) for number in range(10)]
    found = [(number, 0, HERE, 0.9) for number in range(num_found)]
    suspects = suspects_of(comparison_of(true, found, num_pictures=10))
    assert suspects == ([Suspect("nothing there", 0.9, picture=9, true=9)] if is_suspect else [])


@pytest.mark.parametrize(
    ("label", "is_federated", "is_suspect"), [(0, True, True), (1, False, True), (1, True, False)]
)
def test_two_boxes_at_one_place(label: int, is_federated: bool, is_suspect: bool) -> None:
    comparison = comparison_of([(0, 0, HERE), (0, label, (0, 0, 100, 99))], [])
    if is_federated:
        comparison = replace(
            comparison, limits=(300,), federated=Federated(pairs_of([]), pairs_of([]), ("f", "f"))
        )
    suspects = suspects_of(comparison)
    twice = Suspect("labelled twice", 0.99, picture=0, true=1, twin=0, overlap=0.99)
    assert suspects == ([twice] if is_suspect else [])


def test_the_most_suspect_comes_first_and_each_annotation_once() -> None:
    true = [(0, 0, HERE), (0, 0, (0, 0, 100, 99))]
    found = [(0, 1, (0, 0, 100, 99), 0.6), (1, 0, THERE, 0.7)]
    suspects = suspects_of(comparison_of(true, found))
    assert [suspect.kind for suspect in suspects] == ["labelled twice", "box missing"]

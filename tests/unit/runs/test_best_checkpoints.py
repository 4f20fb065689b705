from pathlib import Path

from hrdet_cli.engine.evaluation.comparison import Task
from hrdet_cli.runs.best_by import BestBy
from hrdet_cli.runs.best_checkpoints import BestCheckpoints
from hrdet_cli.runs.resume import saved_best_by
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.specs.loading import format_spec, load_spec

FOLDER = RunFolder(Path("runs/a"))


def numbers(*, box: float | None, mask: float | None) -> dict[Task, dict[str, float | None]]:
    return {"box": {"AP": box, "AP50": 0.9}, "mask": {"AP": mask}}


def begun_by(best_by: BestBy) -> BestCheckpoints:
    """The best of these three is the second by boxes, and the third by masks."""
    best = BestCheckpoints(best_by)
    evaluations = [(0.1, 0.2), (0.3, 0.25), (0.2, 0.4)]
    taken = [best.take_if_better(numbers(box=box, mask=mask), "raw") for box, mask in evaluations]
    assert taken == [True, True, best_by == "mask"]
    return best


def test_the_highest_number_that_decides_is_the_best() -> None:
    assert begun_by("box").chosen == {"raw": 0.3}
    assert begun_by("mask").chosen == {"raw": 0.4}


def test_the_lowest_loss_is_the_best() -> None:
    best = BestCheckpoints("loss")
    losses = [2.0, 1.0, None, 1.5, 0.5, 0.5]
    taken = [best.take_if_better(numbers(box=0.1, mask=None), "raw", loss=loss) for loss in losses]
    assert taken == [True, True, False, False, True, False]
    assert best.chosen == {"raw": 0.5}


def test_each_kind_of_weights_has_a_best_of_its_own_and_an_evaluation_without_objects_is_none() -> None:
    best = begun_by("box")
    assert not best.take_if_better(numbers(box=None, mask=0.9), "raw")
    assert best.take_if_better(numbers(box=0.0, mask=None), "ema")
    assert best.chosen == {"raw": 0.3, "ema": 0.0}


def test_once_another_number_decides_the_best_checkpoint_is_compared_by_its_own() -> None:
    saved, best = begun_by("box").state(), BestCheckpoints("mask")
    best.restore(saved, best_by="box")
    assert list(best.describe_change("box", FOLDER)) == [
        "best.pt was chosen by box AP (0.300), from now on mask AP decides: it has mask AP 0.250, and is "
        "replaced once an evaluation is better"
    ]
    assert best.chosen == {"raw": 0.25}
    # The third evaluation had 0.4, which no best checkpoint has.
    assert not best.take_if_better(numbers(box=0.9, mask=0.25), "raw")
    assert best.take_if_better(numbers(box=0.1, mask=0.26), "raw")
    assert best.chosen == {"raw": 0.26}


def test_nothing_is_said_where_the_same_number_decides_or_nothing_was_evaluated() -> None:
    assert list(begun_by("box").describe_change("box", FOLDER)) == []
    assert list(BestCheckpoints("mask").describe_change("box", FOLDER)) == []


def test_the_best_numbers_that_older_checkpoints_have_are_the_best_ones_of_what_decided_alone() -> None:
    older = {"best_box_ap": 0.3, "best_mask_ap": 0.4, "best_ema_box_ap": 0.5, "best_loss": 1.5}
    best = BestCheckpoints("mask")
    best.restore(older, best_by="box")
    assert list(best.describe_change("box", FOLDER)) == [
        f"{file} was chosen by box AP ({number}), from now on mask AP decides: its mask AP is not known, so "
        "the next evaluation replaces it"
        for file, number in (("best.pt", "0.300"), ("best-ema.pt", "0.500"))
    ]
    assert best.chosen == {}
    assert best.take_if_better(numbers(box=0.1, mask=0.1), "raw")


def test_a_checkpoint_or_its_spec_says_what_decided() -> None:
    def spec_of(*settings: str) -> str:
        return format_spec(load_spec(preset="demo", settings=[*settings]).spec)

    proposes = spec_of("model.head.kind=rpn")
    assert saved_best_by(begun_by("mask").state() | {"spec": proposes}) == "mask"
    assert saved_best_by({"spec": spec_of(), "best_box_ap": 0.3}) == "box"
    assert saved_best_by({"spec": proposes, "best_recall": 0.3}) == "recall"
    assert saved_best_by({"spec": proposes, "best_box_ap": 0.3}) == "box"  # before recall could decide
    assert saved_best_by({"spec": "no: spec"}) is None

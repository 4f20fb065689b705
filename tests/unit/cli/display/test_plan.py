"""What a plan says of how the weights will be moved."""

from io import StringIO

import pytest
from rich.console import Console

from hrdet_cli.cli.display.plan import print_plan
from hrdet_cli.runs.plan import ClassShowings, GroupRates, PartCounts, Plan
from hrdet_cli.specs.loading import load_spec

PART = PartCounts("a.json", 10, 10, 20, 0, {}, "")


def make_plan(
    *, groups: tuple[GroupRates, ...] = (), num_processes: int = 2, sources: dict[str, str] | None = None
) -> Plan:
    """A plan of 16 pictures a step."""
    return Plan(
        name="mine",
        class_names=("cat",),
        train=PART,
        val=PART,
        num_processes=num_processes,
        batch_size=16,
        finds_batch_size=False,
        steps_per_epoch=1,
        num_repeats_per_epoch=0,
        num_steps=8,
        class_showings=(
            ClassShowings("cat", 900, 910.2),
            ClassShowings("owl", 0, 0),
            ClassShowings("dog", 3, 11.6),
        ),
        weights=None,
        has_weights=False,
        learning_rate=0.01,
        learning_rate_rule="as set",
        warmup_steps=50,
        parameter_groups=groups,
        canvases=("320x256",),
        useful_pixel_share=0.5,
        sources=sources or {},
        notes=(),
    )


def rows_of(*settings: str, groups: tuple[GroupRates, ...] = (), num_processes: int = 2) -> dict[str, str]:
    """The rows of the plan, by their first words."""
    plan = make_plan(groups=groups, num_processes=num_processes)
    text = StringIO()
    print_plan(plan, load_spec(preset="demo", settings=[*settings]).spec, Console(file=text, width=400))
    lines = [line.split("  ", 1) for line in text.getvalue().splitlines() if "  " in line]
    return {name: value.strip() for name, value in lines}


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("{drop_epochs: [4, 6]}", "the rate is multiplied by 0.1 after epochs 4 and 6"),
        ("{drop_epochs: [4, 6, 7]}", "the rate is multiplied by 0.1 after epochs 4, 6 and 7"),
        ("{drop_epochs: [4]}", "the rate is multiplied by 0.1 after epoch 4"),
        ("{drop_epochs: []}", "the rate stays: there are no drops"),
        ("{kind: constant}", "the rate stays"),
        ("{kind: cosine, final_factor: 0.05}", "the rate falls along a cosine to 0.05 of it at the end"),
    ],
)
def test_the_schedule_in_words(schedule: str, words: str) -> None:
    settings = ["optimisation.schedule.drop_factor=0.1"] if "drop" in schedule else []
    assert rows_of(f"optimisation.schedule={schedule}", *settings)["schedule"] == words


def test_the_optimiser_and_its_decay() -> None:
    assert rows_of()["optimiser"] == "SGD, momentum 0.9, weight decay 0.0001"
    adamw = rows_of(
        "optimisation.optimiser={kind: adamw, betas: [0.9, 0.95]}", "optimisation.weight_decay=0.05"
    )
    assert adamw["optimiser"] == "AdamW, betas 0.9 and 0.95, decoupled weight decay 0.05"


def test_how_often_rare_classes_are_seen_where_pictures_are_sampled() -> None:
    rows = rows_of("data.sampling={kind: repeat-factor, threshold: 0.01}")
    assert rows["sampling"] == "repeat-factor, threshold 0.01: 16 pictures an epoch, drawn from 10"
    assert rows["rarest classes"] == (
        "dog 3 -> 12, cat 900 -> 910 (pictures that there are -> that an epoch shows)"
    )
    assert rows_of("data.sampling.kind=class-aware")["sampling"].startswith("class-aware: 16 pictures")
    assert "rarest classes" not in rows_of()


def test_a_backbone_that_slows_down_by_stage() -> None:
    backbone = GroupRates("backbone", 0.5, 0.005, 1.0, 0.05, 0.8)
    assert rows_of(groups=(backbone,))["parameters of backbone"] == (
        "learning rate 0.005 (x 0.5), weight decay 0.05 (x 1); x 0.8 in stage 4, and once more for each "
        "stage before it"
    )


def test_evaluations_and_what_ends_the_run() -> None:
    assert rows_of()["evaluation"] == "after every 4 epochs and the last, best by box AP"
    settings = ["every_num_epochs=1", "with_loss=true", "best_by=loss", "patience=5"]
    assert rows_of(*(f"evaluation.{setting}" for setting in settings))["evaluation"] == (
        "after each epoch, best by validation loss, with the validation loss; ends after 5 evaluations in "
        "a row without a better one"
    )


@pytest.mark.parametrize(
    ("norm", "num_seen"),
    [
        ("{kind: sync}", "4 pictures"),
        ("{kind: batch}", "2 pictures"),
        ("{kind: group}", None),
        ("{kind: batch, keep_statistics: true}", None),
    ],
)
def test_what_batch_norms_see_of_a_step_of_several_batches(norm: str, num_seen: str | None) -> None:
    settings = [f"norm={norm}", "optimisation.accumulate_steps=4", "model.weights=w.pth"]
    words = rows_of(*settings)["batches a step"]
    assert words.startswith("4 of 4 pictures, whose gradients are added up")
    told = f"; batch norms see {num_seen} at a time, not the step's 16: norm.keep_statistics=true and"
    assert (told in words) is (num_seen is not None)
    assert ("batch norms" in words) is (num_seen is not None)
    assert "batches a step" not in rows_of()


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (120, ["model.head.rpn.allowed_border_pixels  null   preset demo"]),
        (40, ["model.head.rpn.allowed_border_pixels", "  null  preset demo"]),
    ],
)
def test_each_value_stands_whole_beside_its_key_on_every_screen(width: int, lines: list[str]) -> None:
    text = StringIO()
    plan = make_plan(sources={"model.head.rpn.allowed_border_pixels": "preset demo"})
    print_plan(plan, load_spec(preset="demo").spec, Console(file=text, width=width))
    shown = [line.rstrip() for line in text.getvalue().splitlines()]
    assert [line for line in shown if "allowed_border" in line or "null" in line] == lines
    assert "…" not in text.getvalue()

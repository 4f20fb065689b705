"""The picture of a run's course."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from hrdet_cli.engine.visualisation import plot_text, training_curves
from hrdet_cli.engine.visualisation.palette import INK, Colour, class_colour
from hrdet_cli.engine.visualisation.training_curves import (
    EvaluatedEpoch,
    TrainingHistory,
    draw_training_curves,
)

LEFT, RIGHT = slice(75, 570), slice(870, 1205)  # columns of the panels
LOSS_TOP, LOSS_BOTTOM = 60, 420  # rows of the panel of losses


def make_history(num_steps: int, *, aps: tuple[float | None, ...] = ()) -> TrainingHistory:
    """The sum is 2, its one part falls from 1 to 0."""
    steps = np.arange(1, num_steps + 1, dtype=np.float64)
    return TrainingHistory(
        steps=steps,
        loss=np.full(num_steps, 2.0),
        losses={"rpn_box": 1 - steps / num_steps},
        learning_rates=np.full(num_steps, 0.01),
        gradient_norms=np.ones(num_steps),
        images_per_second=np.ones(num_steps),
        step_seconds=np.ones(num_steps),
        data_seconds=np.ones(num_steps),
        peak_memory_bytes=np.ones(num_steps),
        evaluations={
            "raw": [
                EvaluatedEpoch(epoch=n, step=n, numbers={"box": {"AP": ap}})
                for n, ap in enumerate(aps, start=1)
            ]
        },
    )


def heights(picture: Image.Image, colour: Colour, columns: slice) -> np.ndarray:
    """Mean row of a colour in each of the columns that have it, above the panel of the rate."""
    pixels = np.asarray(picture).astype(np.int64)[LOSS_TOP:LOSS_BOTTOM, columns]
    is_near: NDArray[np.bool_] = np.abs(pixels - np.array(colour)).max(axis=2) < 24
    has_colour = is_near.any(axis=0)
    rows = np.arange(LOSS_TOP, LOSS_BOTTOM)[:, None]
    means: np.ndarray = (rows * is_near).sum(axis=0)[has_colour] / is_near.sum(axis=0)[has_colour]
    return means


def test_losses_are_where_their_values_are() -> None:
    picture = draw_training_curves(make_history(1000), title="a")
    assert picture.size == (1400, 600)
    part = heights(picture, class_colour(0), LEFT)
    assert len(part) > 400
    pixels_of_one = (LOSS_BOTTOM - LOSS_TOP) / 2.2  # the panel ends a tenth above the highest value
    assert abs((part[-1] - part[0]) - pixels_of_one) < 0.12 * pixels_of_one
    assert (np.diff(part) > -0.6).all(), "it falls all the time"


def test_a_hundred_thousand_steps_look_like_a_thousand() -> None:
    few = np.asarray(draw_training_curves(make_history(1000), title="a"), dtype=int)
    many = np.asarray(draw_training_curves(make_history(100_000), title="a"), dtype=int)
    differ = (abs(few - many) > 64).any(axis=2)[LOSS_TOP:LOSS_BOTTOM, LEFT]
    assert differ.mean() < 0.02, "but for where the grid of the steps lies"


def test_average_precision_is_drawn_from_nought_to_one() -> None:
    picture = draw_training_curves(make_history(10, aps=(0.5, 0.5, 0.5)), title="a")
    line = heights(picture, INK, RIGHT)
    assert len(line) > 250
    assert abs(np.median(line) - 303) < 3, "half way between rows 60 and 546"


def record_axes(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    """The panels that are drawn from now on."""
    axes: list[Axes] = []
    original = Figure.add_axes

    def record(self: Figure, *args: Any, **options: Any) -> Axes:
        axes.append(original(self, *args, **options))
        return axes[-1]

    monkeypatch.setattr(Figure, "add_axes", record)
    return axes


def test_masks_have_a_line_and_a_best_epoch_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    original = plot_text.write

    def record(axes: Any, x: float, y: float, text: str, *args: Any, **options: Any) -> None:
        texts.append(text)
        original(axes, x, y, text, *args, **options)

    monkeypatch.setattr(training_curves, "write", record)
    epochs = [
        EvaluatedEpoch(
            epoch=n,
            step=n,
            numbers={"box": {"AP": box, "AP50": 0.5, "AP75": 0.2}, "mask": {"AP": mask, "AP50": 0.75}},
        )
        for n, (box, mask) in enumerate(((0.5, 0.25), (0.4, 0.35)), start=1)
    ]
    history = replace(make_history(10), evaluations={"raw": epochs})
    picture = draw_training_curves(history, title="a")
    line = heights(picture, class_colour(1), RIGHT)  # the mask's AP, third of the lines
    assert len(line) > 200
    assert abs(np.median(line) - (546 - 0.3 * 486)) < 8
    assert "box and mask AP on the validation data" in texts
    assert [text for text in texts if "AP" in text][1:] == [
        "box AP  0.400",
        "box AP50  0.500",
        "mask AP  0.350",
        "mask AP50  0.750",
        "best box AP 0.500,",
        "best mask AP 0.350,",
    ]
    assert [text for text in texts if text.startswith("epoch")] == ["epoch 1", "epoch 2"]


def test_validation_losses_lie_over_the_steps_of_their_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    epochs = [
        EvaluatedEpoch(epoch=1, step=500, numbers={}, loss=3.0),
        EvaluatedEpoch(epoch=2, step=1000, numbers={}, loss=None),
        EvaluatedEpoch(epoch=3, step=1500, numbers={}, loss=4.0),
    ]
    axes = record_axes(monkeypatch)
    draw_training_curves(replace(make_history(1500), evaluations={"raw": epochs, "ema": []}), title="a")
    lines = [np.asarray(line.get_xydata()).tolist() for line in axes[0].lines]
    assert [[500, 3.0], [1500, 4.0]] in lines, "not the one that is not finite"
    assert axes[0].get_ylim()[1] == pytest.approx(4.4), "all of it is seen"
    assert "validation  4.000" in [text.get_text() for text in axes[0].texts]


def test_runs_without_evaluations_or_with_one_step_are_drawn_too() -> None:
    for history in (make_history(1), make_history(3, aps=(None,))):
        assert draw_training_curves(history, title="$x$ " * 40).size == (1400, 600)

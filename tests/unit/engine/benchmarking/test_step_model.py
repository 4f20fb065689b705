"""What a step is modelled to take, by numbers that can be reckoned by hand."""

import pytest

from hrdet_cli.engine.benchmarking.epoch_layout import EpochLayout
from hrdet_cli.engine.benchmarking.rank_loads import RankLoad, rank_loads
from hrdet_cli.engine.benchmarking.step_model import Network, StepMessages, model_step
from hrdet_cli.engine.geometry import Size

SMALL, LARGE = Size(64, 64), Size(128, 64)
LAYOUT = EpochLayout(
    canvases=((SMALL, LARGE), (SMALL, SMALL)),
    num_useful_pixels=1,
    num_pictures=3,
    requests_by_canvas={},
    num_boxes=((4, 9), (2, 1)),
)
SECONDS = {SMALL: 0.2, LARGE: 0.4}
MESSAGES = StepMessages(num_small=100, small_bytes=1000, gradient_bytes=(20_000_000, 10_000_000))


def test_a_step_is_its_slowest_process_and_its_messages() -> None:
    step = model_step(LAYOUT, SECONDS, MESSAGES, Network("a", latency_seconds=1e-4, bytes_per_second=None))
    assert step.computing == pytest.approx(0.25)  # of 0.2, 0.4, 0.2 and 0.2
    assert step.imbalance == pytest.approx(0.05)  # 0.4 and 0.2 are the slowest of the steps
    assert step.messages == pytest.approx(0.01)
    assert step.gradients is None
    assert step.total == pytest.approx(0.31)
    assert step.efficiency == pytest.approx(0.25 / 0.31)


def test_gradients_hide_behind_the_backward_pass_but_for_the_last_bucket() -> None:
    fast = model_step(LAYOUT, SECONDS, MESSAGES, Network("a", latency_seconds=0.0, bytes_per_second=1e9))
    assert fast.gradients == pytest.approx(0.01)  # the last 10 MB
    slow = model_step(LAYOUT, SECONDS, MESSAGES, Network("a", latency_seconds=0.0, bytes_per_second=1e8))
    # 0.3 s of sending, of which 62 % of 0.4 s and of 0.2 s are hidden: 0.1 s, the last bucket's, and 0.176 s.
    assert slow.gradients == pytest.approx((0.1 + 0.176) / 2)


def test_every_process_knows_its_epoch() -> None:
    assert rank_loads(LAYOUT) == (
        RankLoad(
            rank=0,
            num_pixels=3 * 2 * 4096,
            num_boxes=6,
            most_boxes=4,
            largest_canvas="64x64",
            num_steps_slowest=0,
        ),
        RankLoad(
            rank=1,
            num_pixels=3 * (8192 + 4096),
            num_boxes=10,
            most_boxes=9,
            largest_canvas="64x128",
            num_steps_slowest=1,
        ),
    )

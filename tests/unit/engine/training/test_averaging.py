from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hrdet_cli.engine.training.averaging import WeightAverage

DECAY = 0.8


class Model(nn.Module):
    """A weight and a running statistic that the test sets, a counter, and a buffer that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(3, dtype=torch.float64))
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("constant", torch.full((2,), 0.1), persistent=False)


def values_of_steps(num_steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(num_steps):
        yield tuple(torch.randn(3, dtype=torch.float64, generator=generator) for _ in range(2))  # type: ignore[misc]


@torch.no_grad()
def take_steps(model: Model, average: WeightAverage, steps: list[tuple[Tensor, Tensor]]) -> None:
    for weight, mean in steps:
        model.weight.copy_(weight)
        model.get_buffer("mean").copy_(mean)
        average.update(model)


def test_the_average_is_the_first_step_and_then_moves_by_the_rest_of_the_decay() -> None:
    model, steps = Model(), list(values_of_steps(5))
    average = WeightAverage(model, decay=DECAY)

    take_steps(model, average, steps)

    # unrolled: 0.8^4 of the first step, 0.2 * 0.8^(5 - n) of the n-th
    shares = [DECAY**4, *((1 - DECAY) * DECAY ** (5 - n) for n in range(2, 6))]
    for name, index in (("weight", 0), ("mean", 1)):
        expected = sum(share * step[index] for share, step in zip(shares, steps, strict=True))
        torch.testing.assert_close(average.state_dict()["ema_model"][name], expected)
    assert torch.equal(average.model.get_buffer("constant"), model.get_buffer("constant"))


def test_the_averaged_model_has_tensors_of_its_own() -> None:
    model = Model()
    average = WeightAverage(model, decay=DECAY)

    take_steps(model, average, list(values_of_steps(2)))

    assert not torch.equal(average.model.get_parameter("weight"), model.weight)
    ours = {tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    theirs = {tensor.data_ptr() for tensor in (*average.model.parameters(), *average.model.buffers())}
    assert not ours & theirs


def test_its_state_has_the_plain_keys_of_the_model_and_how_many_steps_it_holds() -> None:
    model = Model()
    average = WeightAverage(model, decay=DECAY)
    take_steps(model, average, list(values_of_steps(3)))

    state = average.state_dict()

    assert state["ema_num_steps"] == 3
    assert list(state["ema_model"]) == list(model.state_dict())


def test_a_restored_average_goes_on_bit_for_bit_from_its_first_step_on() -> None:
    steps = list(values_of_steps(6))
    for num_before in range(6):
        through, stopped, resumed = (WeightAverage(Model(), decay=DECAY) for _ in range(3))
        take_steps(Model(), through, steps)
        take_steps(Model(), stopped, steps[:num_before])

        resumed.load_state_dict(stopped.state_dict())
        take_steps(Model(), resumed, steps[num_before:])

        expected, actual = through.state_dict(), resumed.state_dict()
        assert actual["ema_num_steps"] == expected["ema_num_steps"]
        assert all(torch.equal(actual["ema_model"][k], v) for k, v in expected["ema_model"].items())


def test_frozen_weights_keep_every_bit() -> None:
    model = Model()
    value = torch.tensor([0.1, -3e-8, 7e7], dtype=torch.float64)
    average = WeightAverage(model, decay=0.9993)
    take_steps(model, average, [(value, value)] * 50)
    assert torch.equal(average.model.get_parameter("weight"), value)


def test_counters_are_the_model_s_and_no_average() -> None:
    model = Model()
    average = WeightAverage(model, decay=DECAY)

    for count in (10, 20, 30):
        model.get_buffer("count").fill_(count)
        average.update(model)

    assert average.model.get_buffer("count").item() == 30

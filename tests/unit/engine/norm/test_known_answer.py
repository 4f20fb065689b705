"""In one process; tests/distributed/test_sync_norm.py has it find faults over several."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.distributed.world import World
from hrdet_cli.engine.norm import known_answer
from hrdet_cli.engine.norm.back_ends import NormBackEnd
from hrdet_cli.engine.norm.known_answer import known_answer_error

CPU = torch.device("cpu")


@pytest.mark.parametrize("back_end", ["coalesced", "per-layer", "equal-count", "torch"])
def test_one_process_gives_the_answer_and_draws_no_random_number(back_end: NormBackEnd) -> None:
    state = torch.get_rng_state()

    assert 0 < known_answer_error(back_end=back_end, device=CPU) < 1e-6
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("size", [2, 64])
def test_statistics_of_a_process_alone_are_far_from_those_of_many(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_answer, "current_world", lambda: World(1, size))

    assert known_answer_error(back_end="coalesced", device=CPU) > 0.1


def test_sizes_differ_between_neighbours() -> None:
    shapes = [known_answer._pictures(rank, 3).shape for rank in range(12)]

    assert all(a != b for a, b in pairwise(shapes))
    assert len(set(shapes)) == 12


def test_what_is_not_a_number_is_an_infinite_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(requests: list[tuple[Any, Tensor]]) -> list[Tensor]:
        return [norm(x) * torch.nan for norm, x in requests]

    monkeypatch.setattr(known_answer, "normalise_together", broken)

    assert known_answer_error(back_end="coalesced", device=CPU) == math.inf

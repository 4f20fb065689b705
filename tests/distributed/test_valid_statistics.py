"""Statistics over the pictures' pixels, over two processes whose canvases differ, against one process."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from hrdet_cli.engine.structures import Size
from tests.canvases import (
    CANVASES,
    HRNET,
    RESNET,
    batch_on,
    largest_difference,
    lively_detector,
    train_and_detect,
)
from tests.distributed.process_group import gloo_group, run_processes

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

NETWORKS = {"HRNet": HRNET, "ResNet": RESNET}
PICTURES_OF_RANKS = ((2,), (0, 1))
CANVASES_OF_RANKS = (  # the last rank's hold two pictures
    (CANVASES[0], CANVASES[0]),
    (Size(64, 128), CANVASES[1]),
    (CANVASES[2], CANVASES[1]),
)
DETECTIONS = ("boxes", "scores", "labels", "is_valid")
SETTINGS = ("norm.kind=sync", "norm.statistics=valid")


def train_on(
    canvases: tuple[Size, Size], rank: int, *, network: str, settings: tuple[str, ...]
) -> dict[str, Tensor]:
    """A step of two processes: losses and gradients are means over them, the rest is of each."""
    detector = lively_detector(NETWORKS[network], *settings)
    results = train_and_detect(detector, *batch_on(canvases[rank], pictures=PICTURES_OF_RANKS[rank]))
    buffers = dict(detector.named_buffers())
    for name, value in results.items():
        if name not in buffers and name not in DETECTIONS:
            dist.all_reduce(value)
            value /= 2
    return results


def work(rank: int, folder: str) -> None:
    """What each of two processes does."""
    torch.set_num_threads(1)
    with gloo_group(Path(folder, "store"), rank=rank, size=2):
        results = {
            "HRNet": [train_on(c, rank, network="HRNet", settings=SETTINGS) for c in CANVASES_OF_RANKS],
            "per-layer": [
                train_on(c, rank, network="HRNet", settings=(*SETTINGS, "norm.back_end=per-layer"))
                for c in CANVASES_OF_RANKS[1:2]
            ],
            "equal-count": [
                train_on(c, rank, network="HRNet", settings=(*SETTINGS, "norm.back_end=equal-count"))
                for c in CANVASES_OF_RANKS[:2]
            ],
            "ResNet": [
                train_on(c, rank, network="ResNet", settings=SETTINGS) for c in CANVASES_OF_RANKS[1:2]
            ],
        }
        torch.save(results, Path(folder, f"{rank}.pt"))


Outcome = dict[str, list[dict[str, Tensor]]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """Of each process."""
    folder = tmp_path_factory.mktemp("pair")
    run_processes(work, str(folder), size=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def one_process(network: str) -> dict[str, Tensor]:
    pictures = [number for numbers in PICTURES_OF_RANKS for number in numbers]
    detector = lively_detector(NETWORKS[network], *SETTINGS)
    return train_and_detect(detector, *batch_on(CANVASES[0], pictures=pictures))


def of_rank(rank: int, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """A whole batch's results with the detections of one process's pictures only."""
    rows = slice(0, 1) if rank == 0 else slice(1, 3)
    return {name: value[rows] if name in DETECTIONS else value for name, value in expected.items()}


@pytest.mark.parametrize("network", NETWORKS)
def test_two_processes_on_any_canvases_are_one_process(outcomes: list[Outcome], network: str) -> None:
    expected = one_process(network)
    for rank, outcome in enumerate(outcomes):
        for found in outcome[network]:
            assert largest_difference(found, of_rank(rank, expected)) < 1e-9


def test_messages_of_their_own_change_nothing(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        assert largest_difference(outcome["per-layer"][0], outcome["HRNet"][0]) < 1e-9


def test_the_wrong_rule_is_wrong_for_the_pictures_and_not_for_the_canvas(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        on_one, on_others = outcome["equal-count"]
        assert largest_difference(on_one, on_others) < 1e-9
        assert largest_difference(on_one, outcome["HRNet"][0]) > 1e-3

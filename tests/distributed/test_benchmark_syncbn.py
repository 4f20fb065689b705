"""The benchmark of SyncBN on two processes, and what happens when one of them fails."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from PIL import Image
from torch.multiprocessing.spawn import start_processes

from hrdet_cli.engine.benchmarking import processes, workload
from hrdet_cli.engine.benchmarking.processes import run_in_processes
from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS
from hrdet_cli.errors import LostProcessError
from tests.forked import ForkedHrdet, preloaded_context

Sections = dict[str, dict[str, Any]]


def start_by(method: str) -> Callable[..., Any]:
    """Starts processes that need not import torch anew; one test has some that do, as for a user."""

    def start(*args: Any, **settings: Any) -> Any:
        settings["start_method"] = method
        return start_processes(*args, **settings)  # type: ignore[no-untyped-call]  # torch gives no types

    return start


def fork_a_narrow_network() -> None:
    """In the command: a small HRNet with few channels and as many norms as ever, in forks of the command."""
    narrow = replace(HRNET_CONFIGS["small"], width=4, stem_channels=8, bottleneck_channels=4)
    patch = pytest.MonkeyPatch()
    patch.setattr(workload, "HRNET_CONFIGS", {"small": narrow})
    patch.setattr(processes, "start_processes", start_by("fork"))


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    preloaded_context()
    monkeypatch.setattr(processes, "start_processes", start_by("forkserver"))


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("benchmark") / "new" / "cosines.png"


@pytest.fixture(scope="module")
def sections(picture: Path) -> Sections:
    """The command's figures for the small HRNet, by back end, by the sizes of two processes' pictures."""
    options = ["--network", "hrnet-small", "--sizes", "96x64", "--sizes", "96x64,64x128", "--steps", "1"]
    command = ["benchmark-syncbn", *options, "--json", "--out", str(picture)]
    done = ForkedHrdet(*command, with_tiny_network=False, prepare=fork_a_narrow_network)
    stdout, stderr = done.communicate()
    assert done.wait() == 0, stderr
    document = json.loads(stdout)
    return {
        ",".join(section["pictures"]): {row["back_end"]: row for row in section["back_ends"]}
        for section in document["sections"]
    }


@pytest.mark.distributed
@pytest.mark.slow
def test_weighting_by_counts_is_exact_and_the_rule_of_2019_is_so_for_equal_sizes_only(
    sections: Sections,
) -> None:
    """Exact means: as one process that lays all pixels end to end, which shares no formula with ours."""
    equal, mixed = sections["96x64,96x64"], sections["96x64,64x128"]
    for row in (*equal.values(), mixed["coalesced"], mixed["per-layer"]):
        assert row["deviation"]["loss"] < 1e-12
        assert row["deviation"]["gradient"] < 1e-9
        assert row["lowest_cosine"] > 1 - 1e-9
    wrong = mixed["equal-count"]
    assert wrong["deviation"]["loss"] > 1e-4
    assert wrong["deviation"]["gradient"] > 0.5
    assert wrong["lowest_cosine"] < 0.7


@pytest.mark.distributed
@pytest.mark.slow
def test_messages_are_counted_as_they_are_sent(sections: Sections) -> None:
    """71 norms; run in lock-step, module by module, they are reached at 26 points.

    The stem has 2, stage 1 has 3, and each of three transitions 1.  Stages 2, 3 and 4 have 4 in two blocks,
    and as many more as there are halvings from their first to their last branch: 2 + 3 + 3 + 5 + 6 + 7.
    """
    for section in sections.values():
        for name, count in (("coalesced", 26), ("per-layer", 71), ("equal-count", 71)):
            row = section[name]
            assert row["forward"]["num_collectives"] == row["backward"]["num_collectives"] == count
        sent = [row["forward"]["num_bytes"] + row["backward"]["num_bytes"] for row in section.values()]
        assert len(set(sent)) == 1  # sharing saves messages, not bytes


@pytest.mark.distributed
@pytest.mark.slow
def test_a_picture_is_drawn_with_a_panel_for_each_choice_of_sizes(sections: Sections, picture: Path) -> None:
    with Image.open(picture) as drawn:
        assert drawn.size == (1400, 740)


def fail_on_second(device: torch.device) -> None:
    """One process fails while the other waits for it."""
    if dist.get_rank() == 1:
        raise ValueError("no such\nluck")
    dist.all_reduce(torch.zeros(1, device=device))


def killed_on_second(device: torch.device) -> None:
    if dist.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)


def sum_of_ranks(device: torch.device) -> float:
    total = torch.tensor(float(dist.get_rank() + 1), device=device)
    dist.all_reduce(total)
    return total.item()


@pytest.mark.distributed
def test_the_result_is_that_of_rank_0(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_in_processes(sum_of_ranks, num_processes=2, device_type="cpu") == 3
    assert capfd.readouterr().err == ""


@pytest.mark.distributed
@pytest.mark.usefixtures("forked")
def test_an_error_in_one_process_ends_all_and_is_told_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LostProcessError) as caught:
        run_in_processes(fail_on_second, num_processes=2, device_type="cpu")
    assert str(caught.value) == "process 1 of 2 failed: ValueError: no such luck"
    assert capfd.readouterr().err == ""


@pytest.mark.distributed
@pytest.mark.usefixtures("forked")
def test_a_killed_process_ends_the_others_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(LostProcessError, match="process 1 of 2 was ended by SIGKILL; if nobody did so"):
        run_in_processes(killed_on_second, num_processes=2, device_type="cpu")
    assert time.monotonic() - started < 100

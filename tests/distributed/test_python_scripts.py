"""A script that torchrun started in two processes trains and evaluates as one."""

import os
from pathlib import Path

import pytest

import hrdet_cli as hrdet
from tests.distributed.process_group import run_processes
from tests.free_ports import free_port
from tests.tiny_network import tiny_network

pytestmark = pytest.mark.distributed


def script(rank: int, folder: Path, port: int) -> None:
    """What each of the two does."""
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": "2",
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    steps: list[hrdet.StepReport] = []
    with tiny_network(), hrdet.process_group(device="cpu", timeout_seconds=60) as world:
        assert (world.rank, world.size) == (rank, 2)
        run = hrdet.train(
            "demo",
            settings={
                "data.demo": {"seed": 1, "num_train_images": 2, "num_val_images": 2},
                "data.root": folder / "data",
                "data.batch_size_per_process": 1,
                "data.num_workers": 0,
                "augmentation.scales_pixels": [[160, 128]],
                "padding.canvas_pixels": [160, 128],
                "optimisation.num_epochs": 1,
                "optimisation.schedule.drop_epochs": [],
                "evaluation.scale_pixels": [160, 128],
                "evaluation.every_num_epochs": 0,
                "run.num_pictured_batches": 0,
                "run.device": "cpu",
            },
            run_dir=folder / "run",
            on_event=lambda event: steps.append(event) if isinstance(event, hrdet.StepReport) else None,
        )
        assert isinstance(run, hrdet.RunFinished)
        assert {step.num_images for step in steps} == {2}  # one of each process
        evaluation = hrdet.evaluate(run.folder)
    (folder / f"rank-{rank}.txt").write_text(f"{steps[-1].loss!r} {evaluation.box.numbers!r}")


def test_two_processes_of_a_script_train_and_evaluate_together(tmp_path: Path) -> None:
    run_processes(script, tmp_path, free_port(), size=2)
    told = [(tmp_path / f"rank-{rank}.txt").read_text() for rank in range(2)]
    assert told[0] == told[1]
    assert (tmp_path / "run" / "eval-last" / "metrics.json").is_file()

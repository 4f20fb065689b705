"""Training steps of which nothing, backbone and neck, or all is compiled: the first, and later ones in turn.

Another call finds what this one compiles, unless ``TORCHINDUCTOR_CACHE_DIR`` names another folder.
"""

import argparse
import time
from statistics import median

import torch

from hrdet_cli.engine.geometry import Size
from tests.gpu_check.detectors import Scene, Step, hrdet_step

from .reporting import show_table

PARTS = ("off", "model", "step")


def main() -> None:
    """Show a table after each part that was compiled, with those before it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--canvas", nargs=2, type=int, default=(256, 320), help="height and width")
    parser.add_argument("--pictures", type=int, default=2, help="pictures in a step")
    parser.add_argument("--steps", type=int, default=15, help="steps of each that count")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    scene = Scene(
        preset=arguments.preset,
        canvas=Size(*arguments.canvas),
        precision=arguments.precision,
        device=torch.device(arguments.device),
    )
    steps: dict[str, Step] = {}
    first: dict[str, float] = {}
    for part in arguments.parts:
        started = time.perf_counter()
        steps[part] = hrdet_step(scene, arguments.pictures, f"run.compile={part}")
        steps[part]()
        first[part] = time.perf_counter() - started
        turns = [{part: seconds_of(step) for part, step in steps.items()} for _ in range(arguments.steps)]
        show_table(
            f"Training step of {scene.preset}, {scene.precision}, {arguments.pictures} pictures of "
            f"{scene.canvas}, {arguments.threads} threads: seconds until the first step is made, then "
            f"medians of {arguments.steps} steps in turn",
            ["run.compile", "first", "wall", "ratio", "processor", "ratio"],
            [[name, f"{first[name]:.1f}", *row_of(name, turns, arguments.parts[0])] for name in steps],
        )


def seconds_of(step: Step) -> tuple[float, float]:
    """Of a step: on the wall, and of the processor over all threads, which says more on a busy machine."""
    started, started_cpu = time.perf_counter(), time.process_time()
    step()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    return time.perf_counter() - started, time.process_time() - started_cpu


def row_of(name: str, turns: list[dict[str, tuple[float, float]]], reference: str) -> list[str]:
    """Both times and their ratios to those of another part."""
    cells = []
    for clock in range(2):
        cells.append(f"{median(turn[name][clock] for turn in turns):.3f}")
        cells.append(f"{median(turn[name][clock] / turn[reference][clock] for turn in turns):.3f}")
    return cells


if __name__ == "__main__":
    main()

"""Training steps of which nothing, backbone and neck, or all is compiled: the first, and later ones in turn.

Another call finds what this one compiles, unless ``TORCHINDUCTOR_CACHE_DIR`` names another folder.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.training.reports import peak_memory_bytes, reset_peak_memory
from tests.gpu_check.detectors import Scene, Step, hrdet_step

from .reporting import show_table

PARTS = ("off", "model", "step")


@dataclass(frozen=True)
class Cost:
    """Of a step.

    Attributes:
        seconds: On the wall.
        cpu_seconds: Of the processor over all threads, which says more on a busy machine.
        peak_bytes: On a GPU the most that is allocated beyond what was before; None on a CPU, which does not
            tell.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int | None


def main() -> None:
    """Show a table after each part that was compiled, with those before it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--canvas", nargs=2, type=int, default=(256, 320), help="height and width")
    parser.add_argument("--pictures", nargs="+", type=int, default=[2], help="in a step, one after the other")
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
    for num_pictures in arguments.pictures:
        compare_parts(scene, num_pictures, arguments.parts, num_steps=arguments.steps)


def compare_parts(scene: Scene, num_pictures: int, parts: Sequence[str], *, num_steps: int) -> None:
    """Show a table after each part, with those before it."""
    steps: dict[str, Step] = {}
    first: dict[str, float] = {}
    for part in parts:
        started = time.perf_counter()
        steps[part] = hrdet_step(scene, num_pictures, f"run.compile={part}")
        steps[part]()
        first[part] = time.perf_counter() - started
        turns = [
            {part: cost_of(step, scene.device) for part, step in steps.items()} for _ in range(num_steps)
        ]
        show_table(
            f"Training step of {scene.preset}, {scene.precision}, {num_pictures} pictures of "
            f"{scene.canvas}, {torch.get_num_threads()} threads: seconds until the first step is made, then "
            f"medians of {num_steps} steps in turn",
            ["run.compile", "first", "wall", "ratio", "processor", "ratio", "GiB"],
            [[name, f"{first[name]:.1f}", *row_of(name, turns, parts[0])] for name in steps],
        )


def cost_of(step: Step, device: torch.device) -> Cost:
    """Make one."""
    held = 0
    if device.type == "cuda":
        reset_peak_memory(device)
        held = torch.cuda.memory_allocated(device)
    started, started_cpu = time.perf_counter(), time.process_time()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
    return Cost(seconds, cpu_seconds, peak_memory_bytes(device) - held if device.type == "cuda" else None)


def row_of(name: str, turns: Sequence[Mapping[str, Cost]], reference: str) -> list[str]:
    """Both times and their ratios to those of another part, and the memory."""
    pairs = [(turn[name], turn[reference]) for turn in turns]
    peaks = [cost.peak_bytes for cost, _ in pairs if cost.peak_bytes is not None]
    return [
        f"{median(cost.seconds for cost, _ in pairs):.3f}",
        f"{median(cost.seconds / other.seconds for cost, other in pairs):.3f}",
        f"{median(cost.cpu_seconds for cost, _ in pairs):.3f}",
        f"{median(cost.cpu_seconds / other.cpu_seconds for cost, other in pairs):.3f}",
        f"{max(peaks) / 2**30:.1f}" if peaks else "",
    ]


if __name__ == "__main__":
    main()

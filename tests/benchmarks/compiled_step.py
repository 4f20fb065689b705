"""Training steps of which nothing, backbone and neck, or all is compiled: the first, and later ones in turn.

Another call finds what this one compiles, unless ``TORCHINDUCTOR_CACHE_DIR`` names another folder.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from statistics import median

import torch

from hrdet_cli.engine.geometry import Size
from tests.gpu_check.costs import Cost, cost_of
from tests.gpu_check.detectors import Scene, Step, hrdet_step

from .reporting import show_table

PARTS = ("off", "model", "step")


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
            [
                [
                    name,
                    f"{first[name]:.1f}",
                    *row_of(name, turns, parts[0]),
                    peak_of(name, turns, scene.device),
                ]
                for name in steps
            ],
        )


def row_of(name: str, turns: Sequence[Mapping[str, Cost]], reference: str) -> list[str]:
    """Both times and their ratios to those of another part."""
    pairs = [(turn[name], turn[reference]) for turn in turns]
    return [
        f"{median(cost.seconds for cost, _ in pairs):.3f}",
        f"{median(cost.seconds / other.seconds for cost, other in pairs):.3f}",
        f"{median(cost.cpu_seconds for cost, _ in pairs):.3f}",
        f"{median(cost.cpu_seconds / other.cpu_seconds for cost, other in pairs):.3f}",
    ]


def peak_of(name: str, turns: Sequence[Mapping[str, Cost]], device: torch.device) -> str:
    """GiB; nothing on a CPU, where what a process has had does not belong to one part."""
    if device.type == "cpu":
        return ""
    return f"{max(turn[name].peak_bytes for turn in turns) / 2**30:.1f}"


if __name__ == "__main__":
    main()

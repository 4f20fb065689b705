"""Time, memory and host waits of training steps on a GPU, beside torchvision's with the same trunk.

Detectors make their steps in turn, in one process. What no time is left for is named and left out. Memory is
the most that torch allocates in a step beyond what lies there before it: weights and momenta are left out,
which are the same for all.
"""

import argparse
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import torch

from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.training.rehearsal import is_out_of_memory, release_memory
from tests.benchmarks.reporting import show_table
from tests.gpu_check.costs import cost_of
from tests.gpu_check.detectors import PLAIN_NORM, Scene, Step, hrdet_step, torchvision_step
from tests.gpu_check.time_left import TimeLeft
from tests.host_waits import host_waits_are

PRESET, CANVAS = "hrnet-w18-mstrain-pad", Size(1024, 1600)
NUM_WARM_UP, NUM_STEPS = 2, 5
PRECISIONS = ("bfloat16", "float32")
VARIANTS: Mapping[str, tuple[str, ...]] = {"hrdet": (), "hrdet, plain norms": (PLAIN_NORM,)}
"""Settings of the detectors that are measured beside torchvision's."""
RIVAL = "torchvision"
_ROOT = Path(__file__).parents[2]


@dataclass
class Measured:
    """Of one detector.

    Attributes:
        seconds: Of each step.
        peak_bytes: Of each step.
        excess: Why it was not measured, if it was not.
    """

    seconds: list[float] = field(default_factory=list)
    peak_bytes: list[int] = field(default_factory=list)
    excess: str = ""


def measure_in_turn(
    builders: Mapping[str, Callable[[], Step]], device: torch.device, *, num_steps: int = NUM_STEPS
) -> dict[str, Measured]:
    """Seconds and memory of steps of several detectors; one that does not fit is left out."""
    found = {name: Measured() for name in builders}
    steps: dict[str, Step] = {}
    for name, build in builders.items():
        _try(found[name], partial(_warm_up, steps, name, build))
    for _ in range(num_steps):
        for name, step in list(steps.items()):
            if not _try(found[name], partial(_measure, found[name], step, device)):
                del steps[name]
    return found


def _warm_up(steps: dict[str, Step], name: str, build: Callable[[], Step]) -> None:
    step = build()
    for _ in range(NUM_WARM_UP):
        step()
    steps[name] = step


def _measure(measured: Measured, step: Step, device: torch.device) -> None:
    cost = cost_of(step, device)
    measured.seconds.append(cost.seconds)
    measured.peak_bytes.append(cost.peak_bytes)


def _try(measured: Measured, work: Callable[[], None]) -> bool:
    """Whether there was memory enough; whatever else happens is told, and measured no further."""
    try:
        work()
    except Exception as error:
        measured.excess = "does not fit" if is_out_of_memory(error) else _last_line(error)
    else:
        return True
    release_memory()
    return False


def _last_line(error: Exception) -> str:
    traceback.print_exception(error)
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def seconds_in_steps(found: Mapping[str, Measured]) -> float:
    """Of all detectors; of the first steps without what comes only once."""
    return sum(
        (NUM_WARM_UP + len(measured.seconds)) * median(measured.seconds)
        for measured in found.values()
        if measured.seconds
    )


def rows_of(title: str, found: Mapping[str, Measured]) -> list[list[str]]:
    """A row for each detector: seconds, its ratio to torchvision's, GiB and their ratio."""
    rival = found[RIVAL]
    rows = []
    for name, measured in found.items():
        if measured.excess or not measured.seconds:
            rows.append([f"{title}, {name}", measured.excess or "not measured", "", "", ""])
            continue
        gib = max(measured.peak_bytes) / 2**30
        rows.append(
            [
                f"{title}, {name}",
                f"{median(measured.seconds):.4f}",
                _ratio(measured.seconds, rival.seconds),
                f"{gib:.2f}",
                f"{max(measured.peak_bytes) / max(rival.peak_bytes):.2f}" if rival.peak_bytes else "",
            ]
        )
    return rows


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Median ratio of steps that were made in turn."""
    if len(ours) != len(theirs) or not ours:
        return ""
    return f"{median(a / b for a, b in zip(ours, theirs, strict=True)):.2f}"


def host_waits(step: Step, watching: Callable[[], AbstractContextManager[object]]) -> Counter[str]:
    """Where the host waited for the device in a step, and how often, by line of source.

    Args:
        step: Made once.
        watching: In which torch warns of each wait.
    """
    with warnings.catch_warnings(record=True) as caught, watching():
        warnings.simplefilter("always")
        step()
    places = Counter[str]()
    for warning in caught:
        if "synchronizing CUDA operation" in str(warning.message):
            path = Path(warning.filename)
            name = path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else Path(*path.parts[-3:])
            places[f"{name}:{warning.lineno}"] += 1
    return places


def main() -> None:
    """Print a table for each precision and number of pictures, and before them one of waits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--preset", default=PRESET)
    parser.add_argument("--canvas", nargs=2, type=int, default=(CANVAS.height, CANVAS.width))
    parser.add_argument("--pictures", nargs="+", type=int, default=(2, 4, 8, 16))
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS)
    parser.add_argument("--steps", type=int, default=NUM_STEPS)
    parser.add_argument("--seconds", type=float, help="no measurement begins that is likely to end later")
    arguments = parser.parse_args()
    device, canvas = torch.device(arguments.device), Size(*arguments.canvas)
    time_left, left_out = TimeLeft(arguments.seconds), []
    for precision in arguments.precisions:
        scene = Scene(preset=arguments.preset, canvas=canvas, precision=precision, device=device)
        if device.type == "cuda":
            show_table(f"Waits of the host in a step, {precision}", ["", "times"], _rows_of_waits(scene))
        for count in arguments.pictures:
            if not time_left.suffices_for(precision, count):
                left_out.append(f"{precision} with {count} pictures")
                continue
            started = time.perf_counter()
            builders: dict[str, Callable[[], Step]] = {
                name: partial(hrdet_step, scene, count, *settings) for name, settings in VARIANTS.items()
            }
            builders[RIVAL] = partial(torchvision_step, scene, count)
            found = measure_in_turn(builders, device, num_steps=arguments.steps)
            seconds = time.perf_counter() - started
            time_left.note(precision, count, seconds=seconds, in_steps=seconds_in_steps(found))
            show_table(
                f"Training step, {arguments.preset}, {precision}, {count} pictures of {canvas}, medians of "
                f"{arguments.steps} steps",
                ["", "seconds", "ratio", "GiB", "ratio"],
                rows_of(f"{precision}, {count} pictures", found),
            )
    if left_out:
        sys.stdout.write(f"\nNo time was left for {', '.join(left_out)}.\n")


def _rows_of_waits(scene: Scene) -> list[list[str]]:
    step = hrdet_step(scene, 2)
    for _ in range(NUM_WARM_UP):
        step()
    waits = host_waits(step, partial(host_waits_are, "warn"))
    return [[f"{scene.precision}, all", str(waits.total())], *([place, str(n)] for place, n in waits.items())]


if __name__ == "__main__":
    main()

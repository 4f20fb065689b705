"""Training steps on a CPU whose regions torchvision's kernels or products of matrices cut out, in turn."""

import argparse
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import pytest
import torch

from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.regions import align_by_level
from hrdet_cli.engine.torchvision_operators import roi_align, roi_align_backward

from .recomputation import build_step
from .reporting import show_table

PARTS = ("cut_regions", "spread_regions")
"""Forward and backward pass, by the names under which ``align_by_level`` knows them."""
WAYS: Mapping[str, tuple[Callable[..., Any], ...]] = {
    "torchvision": (roi_align, roi_align_backward),
    "matrices": tuple(getattr(align_by_level, part) for part in PARTS),
}


def main() -> None:
    """Print a row for each part, and for the whole step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset", nargs="?", default="hrnet-w18")
    parser.add_argument("--canvas", nargs=2, type=int, default=(640, 480), help="width and height")
    parser.add_argument("--pictures", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5, help="steps of each that count")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    width, height = arguments.canvas
    step = build_step("off", arguments.preset, arguments.pictures, Size(height, width))
    step()  # warm up
    rounds = [
        {way: time_step(step, kernels) for way, kernels in WAYS.items()} for _ in range(arguments.steps)
    ]
    rows = []
    for index, name in enumerate(("forward", "backward", "whole step")):
        theirs, ours = ([times[way][index] for times in rounds] for way in WAYS)
        ratio = median(own / other for own, other in zip(ours, theirs, strict=True))
        rows.append([name, f"{median(theirs):.2f}", f"{median(ours):.2f}", f"{ratio:.2f}"])
    show_table(
        f"RoIAlign in a training step, {arguments.preset}, {arguments.pictures} pictures of "
        f"{width}x{height}, float32, {arguments.threads} threads, CPU seconds, medians of "
        f"{arguments.steps} steps",
        ["", *WAYS, "ratio"],
        rows,
    )


def time_step(step: Callable[[], Any], kernels: tuple[Callable[..., Any], ...]) -> list[float]:
    """CPU seconds of either part and of the step."""
    spent = dict.fromkeys(PARTS, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        for part, kernel in zip(PARTS, kernels, strict=True):
            patch.setattr(align_by_level, part, _timed(kernel, part, spent))
        whole = step().cpu_seconds
    return [*spent.values(), whole]


def _timed(kernel: Callable[..., Any], part: str, spent: dict[str, float]) -> Callable[..., Any]:
    def run(*values: Any, **settings: Any) -> Any:
        started = time.process_time()
        result = kernel(*values, **settings)
        spent[part] += time.process_time() - started
        return result

    return run


if __name__ == "__main__":
    main()

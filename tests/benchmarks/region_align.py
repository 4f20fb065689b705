"""Training steps on a CPU whose regions torchvision's kernels or products of matrices cut out, in turn.

With ``--kernels`` either alone, in maps of few channels and of many.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Any

import pytest
import torch

from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.regions import align_by_level
from hrdet_cli.engine.models.regions.align_matrices import cut_regions, spread_regions
from hrdet_cli.engine.torchvision_operators import roi_align, roi_align_backward

from .recomputation import build_step
from .reporting import show_table

PARTS = ("cut_regions", "spread_regions")
"""Forward and backward pass, by the names under which ``align_by_level`` knows them."""
WAYS: Mapping[str, tuple[Callable[..., Any], ...]] = {
    "torchvision": (roi_align, roi_align_backward),
    "matrices": (cut_regions, spread_regions),
}


NUM_CHANNELS, RATIOS = (16, 32, 48, 64, 96, 128, 256), (0, 1, 2)
MAP, STRIDE, NUM_REGIONS, NUM_CELLS = Size(64, 80), 4, 200, 7


def main() -> None:
    """Print a row for each part, and for the whole step; or for each number of channels."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("preset", nargs="?", default="hrnet-w18")
    parser.add_argument("--canvas", nargs=2, type=int, default=(640, 480), help="width and height")
    parser.add_argument("--pictures", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5, help="steps of each that count")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kernels", action="store_true", help="measure the kernels alone")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.kernels:
        compare_kernels(num_rounds=arguments.steps)
        return
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


def compare_kernels(*, num_rounds: int) -> None:
    """Print how much of torchvision's time matrices take, forward and back, for each number of channels."""
    show_table(
        f"RoIAlign of {NUM_REGIONS} regions of 10 to 100 pixels in a map of {MAP.width}x{MAP.height}, "
        f"matrices / torchvision, CPU seconds, medians of {num_rounds}",
        ["channels", *(f"{part}, samples {ratio}" for part in ("forward", "back") for ratio in RATIOS)],
        [
            [str(num_channels), *(f"{ratio:.2f}" for ratio in _ratios(num_channels, num_rounds))]
            for num_channels in NUM_CHANNELS
        ],
    )


def _ratios(num_channels: int, num_rounds: int) -> Iterator[float]:
    torch.manual_seed(0)
    features = torch.randn(1, num_channels, MAP.height, MAP.width)
    features = features.contiguous(memory_format=torch.channels_last)
    middles = torch.rand(NUM_REGIONS, 2) * torch.tensor([MAP.width, MAP.height]) * STRIDE
    sides = 10 + 90 * torch.rand(NUM_REGIONS, 2)
    rois = torch.cat((torch.zeros(NUM_REGIONS, 1), middles - sides / 2, middles + sides / 2), dim=1)
    gradient = torch.randn(NUM_REGIONS, num_channels, NUM_CELLS, NUM_CELLS)
    inputs: tuple[tuple[Any, ...], ...] = ((features, rois), (gradient, rois, features.shape))
    for direction, values in enumerate(inputs):
        for ratio in RATIOS:
            settings = {"scale": 1 / STRIDE, "sampling_ratio": ratio, "aligned": True}
            if not direction:
                settings["num_cells"] = NUM_CELLS
            rounds = [
                [_cpu_seconds(kernels[direction], *values, **settings) for kernels in WAYS.values()]
                for _ in range(num_rounds)
            ]
            yield median(ours / theirs for theirs, ours in rounds)


def _cpu_seconds(kernel: Callable[..., Any], *values: Any, **settings: Any) -> float:
    started = time.process_time()
    kernel(*values, **settings)
    return time.process_time() - started


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

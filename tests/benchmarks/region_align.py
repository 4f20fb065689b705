"""RoIAlign on a CPU by torchvision's kernels and as a sparse matrix, in turn: in training steps, or alone.

With ``--kernels`` either alone, in maps of few channels and of many.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from types import ModuleType
from typing import Any

import torch

from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.regions import align_by_level, align_cpu
from hrdet_cli.engine.models.regions.region_align import in_fours

from .recomputation import build_step
from .reporting import show_table

WAYS: Mapping[str, ModuleType] = {"torchvision": align_by_level, "hrdet": align_cpu}
PARTS = ("pool_regions", "pool_regions_backward")
NUM_CHANNELS, RATIOS = (16, 48, 96, 256), (0, 1, 2)
MAP, STRIDE, NUM_REGIONS, NUM_CELLS = Size(64, 80), 4, 200, 7


def main() -> None:
    """Print a row for each part, and for the whole step; or for each number of channels."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("preset", nargs="?", help="whose training steps; default hrnet-w18")
    parser.add_argument("--canvas", nargs=2, type=int, default=(640, 480), help="width and height")
    parser.add_argument("--pictures", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5, help="steps of each that count")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kernels", action="store_true", help="measure the kernels alone")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.kernels:
        if arguments.preset is not None:
            parser.error("--kernels measures maps of its own and takes no preset")
        compare_kernels(num_rounds=arguments.steps)
        return
    preset, (width, height) = arguments.preset or "hrnet-w18", arguments.canvas
    step = build_step("off", preset, arguments.pictures, Size(height, width))
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
        f"RoIAlign in a training step, {preset}, {arguments.pictures} pictures of "
        f"{width}x{height}, float32, {arguments.threads} threads, CPU seconds, medians of "
        f"{arguments.steps} steps",
        ["", *WAYS, "ratio"],
        rows,
    )


def compare_kernels(*, num_rounds: int) -> None:
    """Print how much of torchvision's time ours take, forward and back, for each number of channels."""
    show_table(
        f"RoIAlign of {NUM_REGIONS} regions of 10 to 100 pixels in a map of {MAP.width}x{MAP.height}, "
        f"hrdet / torchvision, CPU seconds, medians of {num_rounds}",
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
    regions = torch.cat((middles - sides / 2, middles + sides / 2), dim=1)[None]
    gradient = torch.randn(NUM_REGIONS, num_channels, NUM_CELLS, NUM_CELLS)
    level_index = torch.zeros(NUM_REGIONS, dtype=torch.int32)
    inputs: Mapping[str, tuple[Any, ...]] = dict(
        zip(PARTS, (([features],), (gradient, [features.shape])), strict=True)
    )
    for part in PARTS:
        for ratio in RATIOS:
            values = (*inputs[part], regions, level_index, None, (STRIDE,), NUM_CELLS, ratio, True, 0)
            rounds = [
                [_cpu_seconds(getattr(kernels, part), *values) for kernels in WAYS.values()]
                for _ in range(num_rounds)
            ]
            yield median(ours / theirs for theirs, ours in rounds)


def _cpu_seconds(kernel: Callable[..., Any], *values: Any) -> float:
    started = time.process_time()
    kernel(*values)
    return time.process_time() - started


def time_step(step: Callable[[], Any], kernels: ModuleType) -> list[float]:
    """CPU seconds of either part and of the step."""
    spent = dict.fromkeys(PARTS, 0.0)

    def pool(*values: Any) -> Any:
        return _timed(kernels.pool_regions, PARTS[0], *values)

    def pool_backward(gradient: Any, sizes: Any, *values: Any) -> Any:
        return _timed(kernels.pool_regions_backward, PARTS[1], gradient, in_fours(sizes), *values)

    def _timed(kernel: Callable[..., Any], part: str, *values: Any) -> Any:
        started = time.process_time()
        result = kernel(*values)
        spent[part] += time.process_time() - started
        return result

    with torch.library._scoped_library("hrdet", "IMPL") as library:
        library.impl("align_regions", pool, "CPU", allow_override=True)
        library.impl("align_regions_backward", pool_backward, "CPU", allow_override=True)
        whole = step().cpu_seconds
    return [*spent.values(), whole]


if __name__ == "__main__":
    main()

"""Seconds of forward and backward pass over gloo processes with three ways to average the gradients.

In buckets while the backward pass goes on, in one message when it is over, and as torch's
DistributedDataParallel does; in turn, step by step, on the same pictures with the same weights. Norms are
those of `hrdet train`, SyncBN, for all three.
"""

import argparse
import copy
import time
from collections.abc import Callable
from functools import partial
from math import inf
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hrdet_cli.engine.benchmarking.processes import run_in_processes
from hrdet_cli.engine.data.noise import make_noise_batch
from hrdet_cli.engine.distributed.collectives import wait_for_all
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.training.gradients import BUCKET_BYTES, GradientAverager
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec

from .reporting import show_table

PRESET = "hrnet-w18-mstrain-pad"
CANVAS = Size(160, 160)
NUM_CLASSES = 80
NUM_BOXES = 4
SETTINGS = ("model.weights=null", "model.head.roi_head.num_samples=32")
"""Little to compute for the 110 MB of gradients that there are to send."""

Step = Callable[[], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=7, help="steps of each that count")
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 3])
    arguments = parser.parse_args()
    rows = []
    for num_processes in arguments.processes:
        rounds = run_in_processes(
            partial(time_rounds, arguments.steps), num_processes=num_processes, device_type="cpu"
        )
        buckets, one_message, ddp = zip(*rounds, strict=True)
        of_one, of_ddp = (
            median(ours / theirs for ours, theirs in zip(buckets, others, strict=True))
            for others in (one_message, ddp)
        )
        seconds = [f"{median(times):.2f}" for times in (buckets, one_message, ddp)]
        rows.append([str(num_processes), *seconds, f"{of_one:.2f}", f"{of_ddp:.2f}"])
    show_table(
        f"Forward and backward pass of {PRESET}, one picture of {CANVAS} a gloo process, gradients averaged, "
        f"medians of {arguments.steps}",
        ["processes", "buckets", "one message", "DDP", "of one message", "of DDP"],
        rows,
    )


def time_rounds(num_rounds: int, _: torch.device) -> list[tuple[float, ...]]:
    """What each process does: seconds of a step in buckets, with one message, and of DDP's; then again."""
    spec = load_spec(preset=PRESET, settings=SETTINGS).spec
    torch.manual_seed(0)
    detector = build_detector(spec, num_classes=NUM_CLASSES, trains=True).train()
    steps = [
        averaged_step(detector, bucket_bytes=BUCKET_BYTES),
        averaged_step(detector, bucket_bytes=inf),
        ddp_step(copy.deepcopy(detector)),
    ]
    for step in steps * 2:  # DDP makes its buckets anew after the first
        step()
    return [tuple(step() for step in steps) for _ in range(num_rounds)]


def averaged_step(detector: nn.Module, *, bucket_bytes: float) -> Step:
    averager = GradientAverager([*detector.parameters()], bucket_bytes=bucket_bytes)

    def back(loss: Tensor) -> None:
        with averager.averaged():
            torch.autograd.backward(loss)

    return timed_step(detector, back)


def ddp_step(detector: nn.Module) -> Step:
    model = DistributedDataParallel(detector, forward_sync_buffers=False, gradient_as_bucket_view=True)
    return timed_step(model, torch.autograd.backward)


def timed_step(model: nn.Module, back: Callable[[Tensor], None]) -> Step:
    """A step that says how long it took, from when all processes are ready."""
    batch = make_noise_batch(CANVAS, num_pictures=1, num_boxes=NUM_BOXES, num_classes=NUM_CLASSES)

    def step() -> float:
        model.zero_grad(set_to_none=True)
        wait_for_all(what="start of a step")
        started = time.perf_counter()
        losses: dict[str, Tensor] = model(batch.images, batch.targets)
        back(torch.stack([*losses.values()]).sum())
        return time.perf_counter() - started

    return step


if __name__ == "__main__":
    main()

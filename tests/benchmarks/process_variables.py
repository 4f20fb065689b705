"""A training step of a process as it is started, and of one with variables in its environment, in turn.

By default its OpenMP threads sleep there while they wait for each other, and spin otherwise. A thread that
spins answers at once and keeps its core from others. With ``--busy`` other processes want the cores, as on a
machine that is shared. Each kind of step has a process of its own, because libraries read their variables
once.

    python -m tests.benchmarks.process_variables --set GLIBC_TUNABLES=glibc.malloc.hugetlb=1
"""

import argparse
import multiprocessing
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from multiprocessing.connection import Connection
from statistics import median

import torch

from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec

from .reporting import show_table
from .step_time import Duration, Step, draw_batch, timed_step

_MACHINE = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "GLIBC_TUNABLES")
_PLAIN = "as it is"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", default="OMP_WAIT_POLICY=PASSIVE", metavar="NAME=VALUE", help="a variable")
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--size", nargs=2, type=int, default=(256, 320), help="height and width")
    parser.add_argument("--pictures", type=int, default=2, help="pictures in a step")
    parser.add_argument("--steps", type=int, default=10, help="steps of each that count")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", type=int, default=0, help="other processes that want a core each")
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    name, _, value = arguments.set.partition("=")
    kinds: Mapping[str, Mapping[str, str]] = {arguments.set: {name: value}, _PLAIN: {}}
    with ExitStack() as running:
        for _ in range(arguments.busy):
            _start(running, context.Process(target=_spin))
        steps = {name: _remote_step(running, variables, arguments) for name, variables in kinds.items()}
        rounds = [{name: step() for name, step in steps.items()} for _ in range(arguments.steps + 1)][1:]
    rows = [
        [
            name,
            *(f"{median(values[kind] for values in of_rounds):.2f}" for kind in kinds),
            f"{median(values[arguments.set] / values[_PLAIN] for values in of_rounds):.2f}",
        ]
        for name, of_rounds in (
            ("seconds", [{key: d.seconds for key, d in made.items()} for made in rounds]),
            ("CPU seconds", [{key: d.cpu_seconds for key, d in made.items()} for made in rounds]),
        )
    ]
    show_table(
        f"Training step, {arguments.preset}, {arguments.pictures} pictures of "
        f"{arguments.size[1]}x{arguments.size[0]}, {arguments.threads} threads, {arguments.busy} other "
        f"processes, medians of {arguments.steps} steps",
        ["", *kinds, "ratio"],
        rows,
    )


def _remote_step(
    running: ExitStack, variables: Mapping[str, str], arguments: argparse.Namespace
) -> Callable[[], Duration]:
    """A step in a process that was started with variables of the environment."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    before = {name: os.environ.pop(name) for name in _MACHINE if name in os.environ}
    os.environ.update(variables)
    _start(running, context.Process(target=_make_steps, args=(theirs, arguments)))
    for name in variables:
        del os.environ[name]
    os.environ.update(before)

    def step() -> Duration:
        ours.send(None)
        duration: Duration = ours.recv()
        return duration

    return step


def _start(running: ExitStack, process: "multiprocessing.context.SpawnProcess") -> None:
    process.start()
    running.callback(process.join)
    running.callback(process.terminate)


def _make_steps(connection: Connection, arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    step = _step(arguments.preset, *draw_batch(arguments.pictures), arguments.size)
    while True:
        connection.recv()
        connection.send(step())


def _step(preset: str, images: ImageBatch, targets: Targets, size: tuple[int, int]) -> Step:
    height, width = size
    small = ImageBatch(
        pixels=images.pixels[:, :, :height, :width].contiguous(),
        sizes=torch.tensor([[height, width]] * len(images.pixels)),
        keys=images.keys,
    )
    boxes = targets.boxes.clamp(max=min(size))
    detector = build_detector(load_spec(preset=preset).spec, num_classes=80, trains=True)
    return timed_step(
        detector, lambda: detector(small, Targets(boxes, labels=targets.labels, is_valid=targets.is_valid))
    )


def _spin() -> None:
    while True:
        pass


if __name__ == "__main__":
    main()

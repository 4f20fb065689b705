"""Seconds of hrdet's training step of Faster R-CNN R50-FPN against that of another checkout of hrdet.

Each has a process, which makes a step when it is told to: step by step in turn. The detector, pictures and
boxes are those of ``step_time``, as either checkout has it.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from .step_time import Duration, show_pairs

_STEPS = """
import sys, torch
from tests.benchmarks.step_time import draw_batch, hrdet_step
torch.set_num_threads(int(sys.argv[2]))
step = hrdet_step(*draw_batch(int(sys.argv[1])))
for _ in sys.stdin:
    duration = step()
    print(duration.seconds, duration.cpu_seconds, flush=True)
"""


class Checkout:
    """A process that makes steps with the code of a folder."""

    def __init__(self, folder: Path, *, num_pictures: int, num_threads: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _STEPS, str(num_pictures), str(num_threads)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def make_step(self) -> Duration:
        """Make one, and wait for it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        seconds, cpu_seconds = map(float, self._process.stdout.readline().split())
        return Duration(seconds, cpu_seconds)

    def end(self) -> None:
        """There are no more steps."""
        self._process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="folder of the other one")
    parser.add_argument("--pictures", type=int, default=1, help="pictures in a step")
    parser.add_argument("--steps", type=int, default=5, help="steps of each that count")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    ours, theirs = (
        Checkout(folder.resolve(), num_pictures=arguments.pictures, num_threads=arguments.threads)
        for folder in (Path(), arguments.checkout)
    )
    ours.make_step(), theirs.make_step()  # warm up
    pairs = [(ours.make_step(), theirs.make_step()) for _ in range(arguments.steps)]
    ours.end()
    theirs.end()
    show_pairs(pairs, ("this", "the other"), num_pictures=arguments.pictures, num_threads=arguments.threads)


if __name__ == "__main__":
    main()

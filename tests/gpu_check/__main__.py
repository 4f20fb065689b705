"""Tests, host waits, steps, data path and padding policies on this machine's GPU: ``make gpu-check``.

Writes one report, after each part what there is by then, in less than eight minutes. Compiled steps come last
and get what is left of these: compiling takes minutes.
"""

import argparse
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import torch

from tests.benchmarks.pictures import ANNOTATIONS, FOLDER, write_pictures
from tests.gpu_check.report import Outcome, Part, run_part, write_report
from tests.gpu_check.steps import CANVAS, PRESET

MOST_SECONDS = 475
SECONDS = {"tests": 110, "steps": 150, "feeding": 45, "padding": 55}
"""Of each part at most. Together they leave time for compiling."""
_STEPS_BEGIN_WITHIN = 0.8
"""Of their seconds: what then is not likely to end in the others is left out."""


def parts(python: str, data: Path) -> list[Part]:
    """What is done, the most important first.

    Args:
        python: The interpreter.
        data: Folder with pictures for the comparison of padding policies.
    """
    return [
        Part(
            title="Tests that need a GPU",
            command=[python, "-m", "pytest", "-q", "-m", "gpu", "tests/gpu"],
            seconds=SECONDS["tests"],
        ),
        Part(
            title="Waits of the host, and training steps beside torchvision's",
            command=[
                *(python, "-m", "tests.gpu_check.steps"),
                *("--seconds", f"{_STEPS_BEGIN_WITHIN * SECONDS['steps']:g}"),
            ],
            seconds=SECONDS["steps"],
        ),
        Part(
            title="The data path",
            command=[python, "-m", "tests.gpu_check.feeding"],
            seconds=SECONDS["feeding"],
        ),
        Part(
            title="Padding policies",
            command=[
                *(python, "-m", "hrdet_cli", "benchmark-pad", "--preset", PRESET, "--repetitions", "2"),
                *("--set", "model.weights=null", "--train-data", str(data / ANNOTATIONS), str(data / FOLDER)),
            ],
            seconds=SECONDS["padding"],
        ),
    ]


def compiled_steps(python: str, *, seconds: float) -> Part:
    """Steps of which nothing, all, or a part is compiled; shows what it has after each."""
    return Part(
        title="Compiled training steps",
        command=[
            *(python, "-m", "tests.benchmarks.compiled_step", "--device", "cuda", "--precision", "bfloat16"),
            *("--preset", PRESET, "--canvas", str(CANVAS.height), str(CANVAS.width)),
            *("--pictures", "4", "2", "8", "16", "--parts", "off", "step", "model"),
        ],
        seconds=seconds,
    )


def describe_gpu() -> str:
    """The GPU and what drives it, in a line."""
    properties = torch.cuda.get_device_properties(0)
    return (
        f"{date.today()}: {properties.name}, {properties.total_memory / 2**30:.0f} GiB, compute capability "
        f"{properties.major}.{properties.minor}; torch {torch.__version__}, CUDA {torch.version.cuda}, "
        f"cuDNN {torch.backends.cudnn.version()}"  # type: ignore[no-untyped-call]
    )


def main() -> int:
    """Run all parts; 1 if any failed, 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu-check/report.md"))
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.stderr.write("torch sees no GPU; `hrdet doctor` says why\n")
        return 2
    started = time.monotonic()
    outcomes: list[Outcome] = []

    def run(part: Part) -> None:
        outcomes.append(run_part(part))
        write_report(arguments.out, describe_gpu(), outcomes)
        sys.stdout.write(f"{part.title}: {outcomes[-1].failure or 'done'}\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory() as data:
        write_pictures(Path(data), count=64, height=480, width=640, num_boxes=8)
        for part in parts(sys.executable, Path(data)):
            run(part)
    run(compiled_steps(sys.executable, seconds=MOST_SECONDS - (time.monotonic() - started)))
    sys.stdout.write(f"{arguments.out}\n")
    return int(any(outcome.failure for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())

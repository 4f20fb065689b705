"""hrdet beside what another detector wrote down: the largest differences, stage by stage.

    python -m tests.parity.compare FOLDER [w18 mask-w18 torchvision ...] [--float64]

FOLDER has the files of ``mmdetection_dump.py`` and ``torchvision_dump.py``. A relative difference is the
largest absolute one over the largest value of the stage.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from tests.parity.cases import CASES, DETECTION_BATCHES, TRAINING_BATCHES
from tests.parity.compare_detection import compare_detection
from tests.parity.compare_training import compare_training
from tests.parity.differences import Difference
from tests.parity.filled_detector import build_filled


def main() -> None:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=list(CASES))
    parser.add_argument("--float64", action="store_true", help="compute hrdet's side in float64")
    arguments = parser.parse_args()
    for model in arguments.models:
        dump = torch.load(arguments.folder / f"{model}.pt", weights_only=True)
        detector = build_filled(model, dump["shapes"])
        if arguments.float64:
            detector = detector.double()
        sys.stdout.write(f"\n{model}\n| batch | stage | largest | relative | |\n|{' --- |' * 5}\n")
        for batch, stages in dump["detection"].items():
            show(batch, compare_detection(detector, DETECTION_BATCHES[batch], stages))
        for batch, stages in dump["training"].items():
            show(
                f"{batch}, training",
                compare_training(detector, TRAINING_BATCHES[batch], stages, dump["shapes"]),
            )


def show(batch: str, differences: Iterator[Difference]) -> None:
    """Print rows of the table."""
    for found in differences:
        row = (batch, found.stage, f"{found.absolute:.1e}", f"{found.relative:.1e}", found.note)
        sys.stdout.write(f"| {' | '.join(row)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

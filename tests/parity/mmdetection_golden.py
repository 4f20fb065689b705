"""Prints ``golden_numbers.py``: what mmdetection computes from arithmetic weights and pictures.

Runs in mmdetection's environment:

    python tests/parity/mmdetection_golden.py > tests/parity/golden_numbers.py
"""

import pprint
import sys
from pathlib import Path

from mmdet.models.task_modules.samplers import RandomSampler  # type: ignore[import-not-found]

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.parity.mmdetection_dump import dump_detection, dump_training
from tests.parity.mmdetection_models import build
from tests.parity.summary import GOLDEN_BATCH, spread, summarise

_HEADER = '''"""mmdetection 3.3.0's numbers, printed by ``mmdetection_golden.py``."""

from typing import Any

GOLDEN: dict[str, Any] ='''


def main() -> None:
    """Print a Python file."""
    RandomSampler.random_choice = lambda _self, gallery, num: spread(gallery, num)
    golden = {}
    for name in ("w18", "r50"):
        model = build(name)
        golden[name] = summarise(dump_detection(model, GOLDEN_BATCH), dump_training(model, GOLDEN_BATCH))
    sys.stdout.write(f"{_HEADER} {pprint.pformat(golden, width=108, sort_dicts=False)}\n")


if __name__ == "__main__":
    main()

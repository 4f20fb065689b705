"""Prints ``golden_numbers.py``: what mmdetection computes from arithmetic weights and pictures.

Runs in mmdetection's environment:

    python tests/parity/mmdetection_golden.py > tests/parity/golden_numbers.py
"""

import pprint
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead  # type: ignore[import-not-found]
from mmdet.models.task_modules.samplers import RandomSampler  # type: ignore[import-not-found]

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.parity.mmdetection_dump import dump_detection, dump_training
from tests.parity.mmdetection_models import build
from tests.parity.summary import GOLDEN_BATCH, spread, spread_target, summarise

_HEADER = '''"""mmdetection 3.3.0's numbers, printed by ``mmdetection_golden.py``."""

from typing import Any

GOLDEN: dict[str, Any] ='''


_CASES = ("w18", "r50", "mask-narrow", "cascade-mask-narrow", "htc-narrow", "retinanet-narrow", "fcos-narrow")


def mask_targets(_head: Any, sampling_results: Sequence[Any], **_: Any) -> torch.Tensor:
    """In place of what the ground truth would give: rounding decides there which cells are inside."""
    return spread_target((sum(len(picture.pos_inds) for picture in sampling_results), 28, 28))


def main() -> None:
    """Print a Python file."""
    RandomSampler.random_choice = lambda _self, gallery, num: spread(gallery, num)
    FCNMaskHead.get_targets = mask_targets
    golden = {}
    for name in _CASES:
        model = build(name)
        golden[name] = summarise(dump_detection(model, GOLDEN_BATCH), dump_training(model, GOLDEN_BATCH))
    sys.stdout.write(f"{_HEADER} {pprint.pformat(golden, width=108, sort_dicts=False)}\n")


if __name__ == "__main__":
    main()

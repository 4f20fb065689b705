from typing import get_args

import pytest
import torch
from torch import nn

from hrdet_cli.engine.norm.back_ends import NormBackEnd
from hrdet_cli.engine.norm.sync import SyncBatchNorm2d
from hrdet_cli.runs.build import build_plain_detector, normalise_detector
from hrdet_cli.specs.loading import load_spec


@pytest.mark.parametrize("back_end", [name for name in get_args(NormBackEnd) if name != "apex"])
def test_the_specs_back_end_reaches_every_norm(back_end: str) -> None:
    spec = load_spec(preset="demo", settings=["norm.kind=sync", f"norm.back_end={back_end}"]).spec
    with torch.device("meta"):
        detector = build_plain_detector(spec.model, num_classes=3)
    num_norms = sum(isinstance(module, nn.BatchNorm2d) for module in detector.modules())

    report = normalise_detector(detector, spec.norm)

    assert (report.back_end, report.num_converted, report.left_alone) == (back_end, num_norms, ())
    ours = {module.back_end for module in detector.modules() if isinstance(module, SyncBatchNorm2d)}
    assert ours == ({back_end} if back_end != "torch" else set())

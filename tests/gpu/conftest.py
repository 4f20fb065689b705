"""What all tests on a GPU have in common."""

from dataclasses import replace

import pytest
import torch

from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.runs.build import trainer
from hrdet_cli.runs.build.numerics import build_training_numerics
from hrdet_cli.specs.experiment import ExperimentSpec


@pytest.fixture(autouse=True)
def first_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    """CuDNN tries none: that takes seconds at each new shape, and nothing here asks how long a step takes."""

    def build(spec: ExperimentSpec, device: torch.device) -> Numerics:
        return replace(build_training_numerics(spec, device), tries_algorithms=False)

    monkeypatch.setattr(trainer, "build_training_numerics", build)

"""From spec to compiled steps, and what they need."""

import os
import shutil
import sysconfig
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from hrdet_cli.engine import triton_kernels
from hrdet_cli.engine.data.loader import TrainingLoader
from hrdet_cli.engine.data.steps import TrainingSteps
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.training.compiled_losses import compile_losses
from hrdet_cli.engine.training.step_gradients import Losses
from hrdet_cli.errors import SpecError
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.run import RunSpec
from hrdet_cli.wording import counted


def build_compiled_losses(run: RunSpec, detector: Detector, loader: TrainingLoader) -> Losses | None:
    """What computes a detector's losses of a loader's batches; None where nothing is compiled."""
    if run.compile == "off":
        return None
    return compile_losses(detector, run.compile, num_graphs=len(loader.steps.canvases))


def without_compiling(spec: ExperimentSpec) -> ExperimentSpec:
    """A spec for steps that are not repeated often enough for compiling them to pay."""
    return spec.model_copy(update={"run": spec.run.model_copy(update={"compile": "off"})})


def eagerly(run: RunSpec) -> AbstractContextManager[object]:
    """Inside, nothing is compiled, nor taken from what was."""
    return nullcontext() if run.compile == "off" else torch.compiler.set_stance("force_eager")


def require_compiler(run: RunSpec, device: torch.device) -> None:
    """Check that steps can be compiled for a device, if they are to be.

    Raises:
        SpecError: Something is missing on this machine.
    """
    reason = None if run.compile == "off" else _why_not(device)
    if reason is not None:
        raise SpecError(
            [f"run.compile: '{run.compile}' needs a compiler, but {reason}; or set run.compile=off"]
        )


def _why_not(device: torch.device) -> str | None:
    """Why nothing can be compiled for a device, and what to do; None where it can."""
    if device.type == "cuda":
        return triton_kernels.why_not()
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        return f"there is no {compiler}; apt-get install g++, or set CXX"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "Python's headers are missing; apt-get install python3-dev"
    return None


def compilation_notices(run: RunSpec, steps: TrainingSteps) -> tuple[str, ...]:
    """What the user should know before the first step is compiled."""
    if run.compile == "off":
        return ()
    graphs = counted(len(steps.canvases), "graph")
    return (
        f"run.compile={run.compile}: {graphs}, each compiled at the first step on its canvas, in minutes",
    )

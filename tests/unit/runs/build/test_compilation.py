import shutil
import sysconfig
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from hrdet_cli.engine import triton_kernels
from hrdet_cli.engine.data.loader import TrainingLoader
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.errors import SpecError
from hrdet_cli.runs.build import compilation
from hrdet_cli.runs.build.compilation import (
    build_compiled_losses,
    compilation_notices,
    eagerly,
    require_compiler,
    without_compiling,
)
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.run import RunSpec

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
LOADER = cast("TrainingLoader", SimpleNamespace(steps=SimpleNamespace(canvases=(Size(64, 96), Size(96, 64)))))
STEP = RunSpec(compile="step")


def test_there_are_as_many_graphs_as_canvases(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(compilation, "compile_losses", lambda *args, **kwargs: asked.append((args, kwargs)))
    detector = cast("Detector", object())
    assert build_compiled_losses(RunSpec(), detector, LOADER) is None
    assert not asked
    build_compiled_losses(STEP, detector, LOADER)
    assert asked == [((detector, "step"), {"num_graphs": 2})]


def test_the_user_is_told_how_many_graphs_are_to_be_waited_for() -> None:
    assert compilation_notices(RunSpec(), LOADER.steps) == ()
    (notice,) = compilation_notices(STEP, LOADER.steps)
    assert notice.startswith("run.compile=step: 2 graphs, each compiled at the first step on its canvas")


def test_a_machine_without_a_compiler_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", "c++-of-nobody")
    require_compiler(RunSpec(), CPU)
    with pytest.raises(
        SpecError, match=r"run\.compile: 'step' needs a compiler, but there is no c\+\+-of-nobody; apt"
    ):
        require_compiler(STEP, CPU)
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(SpecError, match="but Python's headers are missing; apt-get install python3-dev"):
        require_compiler(STEP, CPU)
    (tmp_path / "Python.h").touch()
    require_compiler(STEP, CPU)
    monkeypatch.setattr(triton_kernels, "why_not", lambda: "Triton is not installed; pip install triton")
    with pytest.raises(
        SpecError, match=r"but Triton is not installed; pip install triton; or set run\.compile=off"
    ):
        require_compiler(STEP, CUDA)


def test_steps_that_are_not_repeated_are_not_compiled() -> None:
    spec = load_spec(preset="demo", settings=["run.compile=step"]).spec
    trial = without_compiling(spec)
    assert (spec.run.compile, trial.run.compile) == ("step", "off")
    assert trial.run.model_dump(exclude={"compile"}) == spec.run.model_dump(exclude={"compile"})


def test_inside_eagerly_nothing_is_compiled() -> None:
    calls: list[object] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> Any:
        calls.append(graph)
        return graph.forward

    doubled = torch.compile(lambda values: values * 2, fullgraph=True, backend=backend)
    with eagerly(STEP):
        doubled(torch.ones(2))
    assert not calls
    with eagerly(RunSpec()):
        doubled(torch.ones(2))
    assert len(calls) == 1

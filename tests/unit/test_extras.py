"""Packages for some things only."""

import sys
import tomllib
from pathlib import Path

import pytest

from hrdet_cli.extras import EXTRAS, install_command

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_the_extras_are_those_of_the_project_file() -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    assert project["optional-dependencies"] == {name: list(wanted) for name, wanted in EXTRAS.items()}


def test_the_line_that_installs_them_is_for_this_python_and_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/my env/bin/python")
    assert install_command("timm") == "'/my env/bin/python' -m pip install 'timm>=1.0.20'"

"""``hrdet doctor`` as a user runs it."""

import json
import os
import re
import resource
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.forked import ForkedHrdet
from tests.integration.conftest import Hrdet, run_hrdet

LINES = (
    *("system", "hrdet", "python", "torch", "torchvision", "numpy", "pillow", "pycocotools", "pydantic"),
    *("apex", "decoders", "torch build", "gloo"),
    *("cores", "memory", "open files", "run folder", "started by"),
)
"""What every machine has a line for."""


def test_one_document_says_what_the_machine_is_and_what_to_do_where_it_is_not_ok(
    hrdet: Hrdet, tmp_path: Path
) -> None:
    outcome = hrdet("doctor", "--run-dir", tmp_path, "--json")
    findings = json.loads(outcome.stdout)["findings"]
    assert outcome.exit_code == any(finding["status"] == "problem" for finding in findings)
    names = [finding["name"] for finding in findings]
    assert tuple(name for name in names if name in LINES) == LINES
    assert all((finding["remedy"] is None) == (finding["status"] == "ok") for finding in findings)


def test_a_problem_ends_the_command_with_exit_code_1_after_the_whole_table(hrdet: Hrdet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        outcome = hrdet("doctor", "--master-addr", "127.0.0.1", "--master-port", port)
    assert outcome.exit_code == 1
    assert outcome.stderr == ""
    *_, last = outcome.stdout.splitlines()
    assert re.match(r"\d problems?\b", last)
    assert f"{port} cannot be used here" in outcome.stdout
    assert f"pid {os.getpid()} " in outcome.stdout


@pytest.mark.parametrize("columns", [80, 160])
def test_the_table_fits_the_terminal_and_keeps_every_word(
    hrdet: Hrdet, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr("hrdet_cli.cli.display.console.PIPE_WIDTH", columns)
    table = hrdet("doctor", "--master-addr", "no-such-host.invalid").stdout
    assert max(len(line.rstrip()) for line in table.splitlines()) <= columns
    words = " ".join(table.split())
    document = json.loads(hrdet("doctor", "--master-addr", "no-such-host.invalid", "--json").stdout)
    for finding in document["findings"]:
        if finding["remedy"] is not None:
            assert f"-> {finding['remedy']}" in words


def limit_files_and_look_in(folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
    sys.path.insert(0, str(folder))


def test_a_low_open_file_limit_and_another_apex_are_found_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "apex").mkdir()
    (tmp_path / "apex" / "__init__.py").write_text("import pyramid_of_no_existence\n")
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    prepare = partial(limit_files_and_look_in, tmp_path)
    process = ForkedHrdet("doctor", "--json", environment=environment, prepare=prepare)
    stdout, _ = process.communicate()
    findings = {finding["name"]: finding for finding in json.loads(stdout)["findings"]}
    assert process.returncode == 1
    assert findings["open files"]["status"] == "problem"
    assert findings["open files"]["value"] == "200 (hard limit 200)"
    assert findings["apex"]["status"] == "note"
    assert str(tmp_path / "apex") in findings["apex"]["remedy"]


SECONDS_OF_DOCTOR = """
import os, sys
def seconds(): return sum(os.times()[:4])  # of children, too
import torch
of_torch = seconds()
from hrdet_cli.cli.app import main
try: main()
except SystemExit: pass
print(of_torch, seconds() - of_torch, file=sys.stderr)
"""


def test_it_takes_less_than_a_second_of_processor_time_beside_importing_torch() -> None:
    command = [sys.executable, "-c", SECONDS_OF_DOCTOR, "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    of_torch, of_doctor = map(float, done.stderr.splitlines()[-1].split())
    assert "torch build" in done.stdout
    assert of_doctor < max(1.0, of_torch / 2)  # a second where importing torch takes two


def test_help_names_its_options() -> None:
    done = run_hrdet("doctor", "--help")
    assert done.returncode == 0
    for option in ("--master-addr", "--master-port", "--run-dir", "--json"):
        assert option in done.stdout

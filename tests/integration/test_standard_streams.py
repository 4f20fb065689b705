"""Commands whose terminal is closed, full or left by its reader."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked import ForkedHrdet
from tests.integration.conftest import ONE_EPOCH, tiny_options

MAIN = """
import faulthandler, sys
if sys.stderr is not None:
    faulthandler.enable()
from hrdet_cli.cli.app import main
main()
"""


def run_under(redirection: str, *argv: str, code: str = MAIN) -> subprocess.CompletedProcess[str]:
    """``python -c CODE ARGV REDIRECTION``, as a shell understands it; 0 is a pipe without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            [
                "sh",
                "-c",
                f'exec "$@" {redirection}',
                "sh",
                sys.executable,
                "-c",
                code,
                *argv,
            ],
            stdin=writer,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(writer)


@pytest.mark.parametrize("redirection", [">&0", ">&-", ">&- 2>&- <&-", ">&0 2>&0"])
def test_a_command_whose_reader_has_left_ends_without_a_word(redirection: str) -> None:
    done = run_under(redirection, "presets", "list")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("arguments", [("presets", "list"), ("presets", "list", "--json"), ("--help",)])
def test_a_result_that_cannot_be_written_is_one_error(arguments: tuple[str, ...]) -> None:
    done = run_under(">/dev/full", *arguments)
    assert done.returncode == 5
    assert done.stderr == (
        "error: standard output could not be written (No space left on device), so the result is not whole; "
        "print it to another place\n"
    )


def test_an_error_keeps_its_exit_code_where_nobody_can_read_it() -> None:
    for redirection in ("2>/dev/full", "2>&0", "2>&-", ">&- 2>&- <&-"):
        assert run_under(redirection, "train", "--preset", "nobodys").returncode == 2


OPENS_A_FILE = """
import os, subprocess, sys
from hrdet_cli.cli.standard_streams import lasting_streams
with lasting_streams():
    file = open(sys.argv[1], "w")
    child = [sys.executable, "-c", "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in (0, 2)])"]
    printed = subprocess.run(child, stdout=file, check=True)
    print("this is no part of the file")
    sys.stderr.write("nor is this")
    os.write(2, b"nor that")
"""


def test_closed_descriptors_are_not_given_to_files(tmp_path: Path) -> None:
    file = tmp_path / "file"
    done = run_under(">&- 2>&- <&-", str(file), code=OPENS_A_FILE)
    assert done.returncode == 0
    assert file.read_text() == "['/dev/null', '/dev/null']\n"


def run_of(folder: Path) -> list[str]:
    small = (
        "data.demo={seed: 1, num_train_images: 4, num_val_images: 2}",
        "augmentation.scales_pixels=[[64, 64]]",
        "padding.canvas_pixels=[64, 64]",
        "evaluation.scale_pixels=[64, 64]",
    )
    options = tiny_options(folder / "data", *small, *ONE_EPOCH)
    return ["train", *options, "--run-dir", str(folder / "run")]


def assert_finished(run: Path) -> None:
    assert (run / "checkpoints" / "last.pt").is_file()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["kind"] == "evaluation"


@pytest.mark.slow
def test_a_run_goes_on_with_a_terminal_that_is_full(tmp_path: Path) -> None:
    process = ForkedHrdet(*run_of(tmp_path), log=Path("/dev/full"))
    assert process.wait(120) == 0
    assert_finished(tmp_path / "run")


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on_without_its_terminal(tmp_path: Path) -> None:
    done = run_under(">&- 2>&- <&-", *run_of(tmp_path), "--processes-per-node", "2")
    assert done.returncode == 0, done.stderr
    assert_finished(tmp_path / "run")

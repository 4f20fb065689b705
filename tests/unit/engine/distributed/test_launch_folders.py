import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hrdet_cli.engine.distributed.launch_folders import made_launch_folder

HOLD = """
import time
from hrdet_cli.engine.distributed.launch_folders import made_launch_folder
with made_launch_folder() as path:
    (path / "orders.json").write_text("{}")
    print(path, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_a_folder_is_gone_after_its_launch(temporary: Path) -> None:
    with made_launch_folder() as path:
        (path / "torch").mkdir()
        assert list(temporary.iterdir()) == [path]
    assert list(temporary.iterdir()) == []


def test_a_killed_launchers_folder_is_removed_by_the_next_and_a_living_ones_is_not(temporary: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", HOLD], stdout=subprocess.PIPE, text=True
    ) as launcher:
        try:
            assert launcher.stdout is not None
            held = Path(launcher.stdout.readline().strip())
            with made_launch_folder() as path:
                assert set(temporary.iterdir()) == {held, path}
            os.kill(launcher.pid, signal.SIGKILL)
            launcher.wait()
            assert (held / "orders.json").is_file()
            with made_launch_folder() as path:
                assert list(temporary.iterdir()) == [path]
        finally:
            launcher.kill()


def test_what_only_looks_like_a_launch_stays(temporary: Path) -> None:
    (temporary / "hrdet-launch-file").touch()
    (temporary / "elsewhere").mkdir()
    (temporary / "hrdet-launch-link").symlink_to(temporary / "elsewhere")
    with made_launch_folder():
        pass
    assert {path.name for path in temporary.iterdir()} == {
        "hrdet-launch-file",
        "elsewhere",
        "hrdet-launch-link",
    }

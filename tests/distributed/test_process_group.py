"""What tests rely on when processes that they started fail."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed as dist

from tests.distributed.process_group import gloo_group


def test_a_group_is_left_when_the_work_in_it_fails(tmp_path: Path) -> None:
    def fail_inside() -> None:
        with gloo_group(tmp_path / "store", rank=0, size=1):
            assert dist.is_initialized()
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail_inside()
    assert not dist.is_initialized()


def test_a_process_that_aborts_leaves_its_stack() -> None:
    program = (
        "import os, resource\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "def fail(): os.abort()\n"
        "fail()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -6
    assert "Fatal Python error: Aborted" in done.stderr
    assert "line 3 in fail\n" in done.stderr

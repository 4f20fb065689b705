"""Looking whether paths lead somewhere leaves what is there as it is."""

import os
from pathlib import Path

from hrdet_cli.cli.given_paths import refuse_missing_detector
from hrdet_cli.specs.spec_text import read_spec_text


def test_a_spec_that_a_shell_writes_into_a_pipe_is_left_for_whoever_reads_it(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    weights.touch()
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as pipe:
        pipe.write("base: demo")
        pipe.close()
        spec_file = Path(f"/dev/fd/{reading}")  # as of hrdet eval --spec <(...)
        refuse_missing_detector(str(weights), spec_file=spec_file)
        assert read_spec_text(spec_file) == "base: demo"

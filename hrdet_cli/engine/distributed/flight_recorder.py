"""What NCCL's flight recorder has of the last exchanges, in a file for each rank.

Torch keeps the last collectives of a process group in a ring (2,000 of them, which are some steps; see
``torch/csrc/distributed/c10d/FlightRecorder.hpp``), writes them into a file when its own watchdog ends a
process, and has a tool that compares the files of all ranks: ``torchfrtrace``.  Here the files are written as
soon as a hang is noticed, which is before torch's watchdog would.
"""

import argparse
import logging
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hrdet_cli.wording import command

PREFIX = "nccl-trace-rank-"
NUM_ENTRIES = 2000
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class FlightRecorder:
    """The files of a run.

    Attributes:
        folder: Where they are.
        rank: This process.
        size: Number of processes.
    """

    folder: Path
    rank: int
    size: int

    @property
    def analysis_command(self) -> str:
        """What compares the files."""
        return command("torchfrtrace", "--prefix", PREFIX, self.folder)

    def prepare(self, environ: MutableMapping[str, str]) -> None:
        """Have torch record, and write its own files into the folder; what is set already stays.

        A file of an earlier launch is removed: it would be compared with those of this one.

        Args:
            environ: The environment variables; torch reads them when the group is made.
        """
        if not {"TORCH_FR_BUFFER_SIZE", "TORCH_NCCL_TRACE_BUFFER_SIZE"} & set(environ):
            environ["TORCH_FR_BUFFER_SIZE"] = str(NUM_ENTRIES)
        if not {"TORCH_FR_DUMP_TEMP_FILE", "TORCH_NCCL_DEBUG_INFO_TEMP_FILE"} & set(environ):
            environ["TORCH_FR_DUMP_TEMP_FILE"] = str(self.folder.absolute() / PREFIX)
        environ.setdefault("TORCH_NCCL_DUMP_ON_TIMEOUT", "1")
        self._file_of(self.rank).unlink(missing_ok=True)

    def write(self) -> None:
        """Write this rank's file.

        Raises:
            OSError: It cannot be written.
        """
        # Torch for CPUs alone does not have it, nor do the stubs.
        from torch._C._distributed_c10d import _dump_nccl_trace  # type: ignore[attr-defined]

        trace = _dump_nccl_trace(includeCollectives=True, includeStackTraces=False, onlyActive=False)
        file = self._file_of(self.rank)
        unfinished = file.with_name(f"unfinished-trace-{self.rank}")  # others take what is there for whole
        unfinished.write_bytes(trace)
        unfinished.replace(file)

    def analyse(self, *, wait_seconds: float) -> str | None:
        """What torch's analysis says of the files of all ranks.

        Args:
            wait_seconds: For the other ranks to write theirs.

        Returns:
            Its first finding in a line; None where it finds nothing, or files are missing, as they are on
            nodes without a common disk.
        """
        deadline = time.monotonic() + wait_seconds
        while not all(self._file_of(rank).is_file() for rank in range(self.size)):
            if time.monotonic() > deadline:
                return None
            time.sleep(_POLL_SECONDS)
        return analyse_traces(self.folder)

    def _file_of(self, rank: int) -> Path:
        return self.folder / f"{PREFIX}{rank}"


def analyse_traces(folder: Path) -> str | None:
    """The first finding of ``torchfrtrace`` in the files of a folder, in a line; None where it has none.

    Raises:
        Exception: Whatever torch's tool raises for files it cannot make anything of.
    """
    arguments = argparse.Namespace(
        trace_dir=str(folder),
        prefix=PREFIX,
        verbose=False,
        just_print_entries=False,
        allow_incomplete_ranks=False,
        mismatch_cap=1,
    )
    with _findings() as lines:
        from torch.distributed.flight_recorder.components.builder import build_db
        from torch.distributed.flight_recorder.components.loader import read_dir

        lines.clear()  # of what the tool says when it is imported
        details, version = read_dir(arguments)
        build_db(details, arguments, version)
    return " ".join(" ".join(lines).split()) or None


@contextmanager
def _findings() -> Iterator[list[str]]:
    """Collects what the tool would print, for which it adds a handler when it is imported."""
    logger = logging.getLogger("Flight Recorder")
    lines: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        lines.append(record.getMessage())
        return False  # and nobody handles it

    logger.addFilter(collect)
    try:
        yield lines
    finally:
        logger.removeFilter(collect)

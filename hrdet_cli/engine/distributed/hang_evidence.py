"""What a hang leaves behind: where each process was, and what NCCL's flight recorder has of its exchanges."""

from contextlib import suppress

from hrdet_cli.engine.distributed.flight_recorder import FlightRecorder
from hrdet_cli.engine.distributed.stacks import STACKS

_WAIT_SECONDS = 3.0
"""For the traces of other processes, which write them when they hear of the hang."""
_LONGEST_FINDING = 400


class HangEvidence:
    """Files of this process, and words for the message of a hang.

    Nothing here may keep a process from ending: what cannot be written or read is left out.

    Args:
        recorder: NCCL's; None where nothing is exchanged by NCCL, or there is no folder for its files.
    """

    def __init__(self, recorder: FlightRecorder | None) -> None:
        self._recorder = recorder

    def write(self) -> None:
        """Write this process's stacks, and its trace."""
        STACKS.write()
        if self._recorder is not None:
            with suppress(OSError, RuntimeError):
                self._recorder.write()

    def where(self) -> str:
        """The end of a message that says where the files of all processes are; empty where there are none."""
        places = []
        if STACKS.file is not None:
            places.append(f"the Python stacks of each rank are in {STACKS.file.parent}/rank-N.stacks")
        if self._recorder is not None:
            places.append(f"NCCL's traces are compared by: {self._recorder.analysis_command}")
        return "".join(f". {place[0].upper()}{place[1:]}" for place in places)

    def finding(self) -> str:
        """The end of a message that says what torch finds in the traces of all; empty for nothing."""
        if self._recorder is None:
            return ""
        try:
            found = self._recorder.analyse(wait_seconds=_WAIT_SECONDS)
        except Exception as error:  # whatever torch's tool does with a file that was cut off
            found = f"it fails ({type(error).__name__})"
        return f"\nTorch's analysis of the traces: {found:.{_LONGEST_FINDING}}" if found else ""

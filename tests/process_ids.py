"""Processes by their ids, as Linux tells of them."""

from pathlib import Path


def is_running(process_id: int) -> bool:
    """Whether there is such a process, and it is not dead already and only waited for."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"

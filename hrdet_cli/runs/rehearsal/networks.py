"""What is known of a network: measured by ``hrdet doctor``, or given in words."""

import json
import re
from pathlib import Path
from typing import Any

from hrdet_cli.engine.benchmarking.step_model import Network
from hrdet_cli.errors import SpecError

_GIVEN = re.compile(r"(?P<latency>\d+(?:\.\d+)?)us(?:,(?P<bandwidth>\d+(?:\.\d+)?)GB/s)?")


def parse_network(text: str) -> Network:
    """Of ``46us``, of ``46us,20GB/s``, or of a file that ``hrdet doctor --json`` wrote of a group.

    Raises:
        SpecError: It is none of them.
    """
    given = _GIVEN.fullmatch(text)
    if given is not None:
        bandwidth = given["bandwidth"]
        return Network(
            f"{text}, as given",
            float(given["latency"]) / 1e6,
            None if bandwidth is None else float(bandwidth) * 1e9,
        )
    path = Path(text)
    if not path.is_file():
        raise SpecError(
            [
                f"--network {text}: is neither a latency such as 46us, nor a latency and a bandwidth such as "
                "46us,20GB/s, nor a file that hrdet doctor --json wrote"
            ]
        )
    return _of_doctor(path)


def _of_doctor(path: Path) -> Network:
    try:
        timings = _collectives(json.loads(path.read_text(encoding="utf-8")))
        known = sorted((int(timing["num_bytes"]), float(timing["median_seconds"])) for timing in timings)
        (_, latency), *_, (num_bytes, seconds) = known
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpecError(
            [
                f"--network {path}: has no times of exchanges; write it with hrdet doctor --json "
                "--nodes N --master-addr A on all nodes"
            ]
        ) from error
    return Network(f"measured by hrdet doctor ({path.name})", latency, num_bytes / seconds)


def _collectives(document: Any) -> list[dict[str, Any]]:
    """Wherever the document has them."""
    if isinstance(document, dict):
        found = document.get("collectives")
        if isinstance(found, list):
            return found
        for value in document.values():
            if inner := _collectives(value):
                return inner
    return []

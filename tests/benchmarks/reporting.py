"""A table of what a benchmark measured, and the machine it was measured on."""

import os
import platform
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import torch


def show_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, notes: Sequence[str] = ()
) -> None:
    """Write an aligned table to stdout; the first column is text, the others are figures."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    aligned = [
        [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        for row in (header, ["-" * width for width in widths], *rows)
    ]
    table = ["  ".join(cells).rstrip() for cells in aligned]
    sys.stdout.write("\n".join(["", title, _machine(), "", *table, *notes, ""]))
    sys.stdout.flush()


def _machine() -> str:
    load, *_ = os.getloadavg()
    return (
        f"{date.today()}, {os.cpu_count()} cores of {_processor()}, {platform.system()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}, load {load:.1f}"
    )


def _processor() -> str:
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        described = []
    models = (line.partition(":")[2].strip() for line in described if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())

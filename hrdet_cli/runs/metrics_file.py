"""``metrics.jsonl``: a line for each step and each evaluation of a run."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

import msgspec
import numpy as np

from hrdet_cli.engine.visualisation.smoothing import Values
from hrdet_cli.engine.visualisation.training_curves import EvaluatedEpoch, TrainingHistory
from hrdet_cli.errors import OutputError
from hrdet_cli.runs.output_files import write_text
from hrdet_cli.wording import first_few


class MetricsFile:
    """The lines of a run, which stays open while they are added; a context manager that closes it.

    Args:
        path: The file; its folder must exist when the first line is added.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line; whoever reads the file sees it from now on.

        Raises:
            OutputError: The disk is full, or the folder went away.
        """
        text = json.dumps(line, allow_nan=False)
        try:
            if self._file is None:
                self._file = self._path.open("a", encoding="utf-8")
            self._file.write(f"{text}\n")
            self._file.flush()
        except OSError as error:
            raise self._cannot_be_written(error) from error

    def sync(self) -> None:
        """Have the disk hold all lines, as it must before a checkpoint that comes after them.

        Raises:
            OutputError: It cannot.
        """
        if self._file is None:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._cannot_be_written(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # every line was flushed, or its failure told
                file.close()

    def drop_after(self, *, step: int, epoch: int) -> str | None:
        """Forget the lines of steps and evaluations that came after the checkpoint a run goes on from.

        Args:
            step: Last step that counts.
            epoch: Last epoch whose evaluation counts.

        Returns:
            Which lines could not be read and were left out, in words; None where all could. A last line that
            was cut off as a run was killed is no loss.

        Raises:
            OutputError: The file cannot be read or written.
        """
        self.close()
        if not self._path.is_file():
            return None
        try:
            texts = self._path.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be read: {error.strerror}") from error
        kept, damaged = [], []
        for number, text in enumerate(texts[:-1], start=1):  # what follows the last line end was cut off
            line = _parse(text)
            if line is None:
                damaged.append(str(number))
            elif line["step"] <= step if line["kind"] == "step" else line["epoch"] <= epoch:
                kept.append(text)
        write_text(self._path, "".join(f"{text}\n" for text in kept))
        if not damaged:
            return None
        lines = f"line {damaged[0]} is" if len(damaged) == 1 else f"lines {first_few(damaged, 5)} are"
        return f"{self._path}: {lines} damaged and left out; all others are kept"

    def _cannot_be_written(self, error: OSError) -> OutputError:
        return OutputError(f"{self._path}: cannot be written: {error.strerror}")


class _Line(msgspec.Struct):
    """What curves need of a line, of either kind."""

    kind: str
    step: int
    epoch: int
    loss: float | None = None
    losses: dict[str, float | None] = {}
    learning_rate: float = 0.0
    gradient_norm: float | None = None
    images_per_second: float | None = None
    step_seconds: float | None = None
    data_seconds: float | None = None
    peak_memory_bytes: float | None = None
    weights: str = "raw"
    box: dict[str, float | None] = {}
    mask: dict[str, float | None] | None = None

    def numbers(self) -> dict[str, dict[str, float | None]]:
        """Of an evaluation, by task."""
        return {"box": self.box} | ({} if self.mask is None else {"mask": self.mask})


def read_history(path: Path) -> TrainingHistory | None:
    """What a run measured so far; None where no step is in the file. Damaged lines are left out.

    Raises:
        OutputError: The file cannot be read.
    """
    decoder = msgspec.json.Decoder(_Line)
    lines, num_damaged = [], 0
    try:
        with path.open("rb") as file:
            for text in file:
                try:
                    lines.append(decoder.decode(text))
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    num_damaged += text.endswith(b"\n")  # or a run is just writing it
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror}") from error
    steps = [line for line in lines if line.kind == "step"]
    if not steps:
        return None
    evaluations: dict[str, list[EvaluatedEpoch]] = {}
    for line in lines:
        if line.kind == "evaluation":
            evaluated = EvaluatedEpoch(
                epoch=line.epoch, step=line.step, numbers=line.numbers(), loss=line.loss, losses=line.losses
            )
            evaluations.setdefault(line.weights, []).append(evaluated)
    names = steps[-1].losses

    def of_steps(name: str) -> Values:
        return np.array([getattr(line, name) for line in steps], dtype=np.float64)

    return TrainingHistory(
        steps=of_steps("step"),
        loss=of_steps("loss"),
        losses={
            name: np.array([line.losses.get(name, 0.0) for line in steps], dtype=np.float64) for name in names
        },
        learning_rates=of_steps("learning_rate"),
        gradient_norms=of_steps("gradient_norm"),
        images_per_second=of_steps("images_per_second"),
        step_seconds=of_steps("step_seconds"),
        data_seconds=of_steps("data_seconds"),
        peak_memory_bytes=of_steps("peak_memory_bytes"),
        evaluations=evaluations,
        num_damaged_lines=num_damaged,
    )


def _parse(text: str) -> dict[str, Any] | None:
    """A line that a run wrote; None for any other."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or line.get("kind") not in ("step", "evaluation"):
        return None
    is_placed = type(line.get("step")) is int and type(line.get("epoch")) is int
    return line if is_placed else None

"""The folder a run leaves behind.

::

    runs/NAME/
    ├── spec.yaml          the resolved spec; `hrdet train --spec` runs it again
    ├── run.json           command, versions, git commit, data fingerprints, plan; one entry a launch
    ├── metrics.jsonl      a line per step and per evaluation
    ├── checkpoints/       last.pt, best.pt, epoch-004.pt, ...; best-ema.pt where an average is kept
    ├── pictures/          the first training batches
    ├── logs/              rank-0.log, rank-1.log, ...: of runs in several processes, on each one's node
    ├── evaluation/        of the last evaluated epoch: metrics.json, detections.json, pictures
    └── evaluation-ema/    the same of the average of the weights, where one is kept
"""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from hrdet_cli.errors import OutputError, WeightsError

SPEC_FILE = "spec.yaml"


def weights_of(source: str) -> str:
    """The checkpoint that a run folder stands for among sources of weights; all other sources as they are.

    Raises:
        WeightsError: A folder has no checkpoint.
    """
    is_folder = bool(source.strip()) and Path(source).is_dir()
    return str(RunFolder(Path(source)).checkpoint_to_use()) if is_folder else source


class RunFolder:
    """A run's files, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spec_file = path / SPEC_FILE
        self.record_file = path / "run.json"
        self.metrics_file = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"
        self.pictures = path / "pictures"
        self.evaluation = path / "evaluation"
        self.ema_evaluation = path / "evaluation-ema"
        self.logs = path / "logs"
        self.last_checkpoint = self.checkpoints / "last.pt"
        self.best_checkpoint = self.checkpoints / "best.pt"
        self.best_ema_checkpoint = self.checkpoints / "best-ema.pt"

    def epoch_checkpoint(self, epoch: int) -> Path:
        """Checkpoint kept after that many epochs."""
        return self.checkpoints / f"epoch-{epoch:03d}.pt"

    def checkpoint_to_use(self, *, use_ema: bool = False) -> Path:
        """The best checkpoint, or else the last.

        Args:
            use_ema: The best of the averaged weights, not of the raw ones.

        Raises:
            WeightsError: There is none.
        """
        best = self.best_ema_checkpoint if use_ema else self.best_checkpoint
        for candidate in (best, self.last_checkpoint):
            if candidate.is_file():
                return candidate
        raise WeightsError(f"{self.path}: is no run folder with checkpoints/{best.name} or last.pt")

    def bad_batch_file(self, rank: int) -> Path:
        """Where a process keeps a batch whose loss was not finite."""
        return self.path / ("non-finite-batch.pt" if rank == 0 else f"non-finite-batch-{rank}.pt")

    def checkpoints_newest_first(self) -> list[Path]:
        """All training checkpoints there are: the last, then by epoch; those of the best at the end."""
        kept = sorted(self.checkpoints.glob("epoch-*.pt"), key=_number_in_name, reverse=True)
        best = (self.best_checkpoint, self.best_ema_checkpoint)
        return [p for p in (self.last_checkpoint, *kept, *best) if p.is_file()]

    def refuse_if_foreign(self) -> None:
        """Fail where something is in the way that is no run; every process may ask, on its own node's disk.

        Raises:
            OutputError: It is.
        """
        if not self._is_free() and not self._holds_run():
            raise OutputError(f"{self.path}: exists and is no run folder; choose another --run-dir")

    def refuse_if_taken(self, *, overwrite: bool) -> None:
        """Fail before any work is done where a new run could not be made.

        Raises:
            OutputError: A run is there and ``overwrite`` is False, or something that is no run.
        """
        self.refuse_if_foreign()
        if not overwrite and not self._is_free():
            raise OutputError(
                f"{self.path}: already holds a run; continue it with --resume, "
                "replace it with --overwrite, or choose another --run-dir"
            )

    def _is_free(self) -> bool:
        """Whether nothing is there but logs, which other processes may have begun already."""
        try:
            return not self.path.exists() or (
                self.path.is_dir() and not set(self.path.iterdir()) - {self.logs}
            )
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be used as a run folder: {error.strerror}") from error

    def create(self, *, overwrite: bool) -> None:
        """Make the folder; of the run that is there, what a run writes is deleted and nothing else.

        Raises:
            OutputError: Something is in the way, or the folder cannot be made.
        """
        self.refuse_if_taken(overwrite=overwrite)
        try:
            bad_batches = self.path.glob("non-finite-batch*.pt")
            for file in (self.spec_file, self.record_file, self.metrics_file, *bad_batches):
                file.unlink(missing_ok=True)
            parts = (self.checkpoints, self.pictures, self.evaluation)
            evaluations = [found.parent for found in self.path.glob("eval-*/metrics.json")]
            for part in (*parts, self.ema_evaluation, *evaluations):
                if part.is_dir():
                    shutil.rmtree(part)
            for part in parts:
                part.mkdir(parents=True)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot make the run folder: {error.strerror}") from error

    def require(self) -> None:
        """There must be a run in the folder.

        Raises:
            OutputError: There is none.
        """
        if not self._holds_run():
            raise OutputError(
                f"{self.path}: is not a run folder (it lacks {SPEC_FILE} or run.json); check --run-dir"
            )

    def _holds_run(self) -> bool:
        return self.spec_file.is_file() and self.record_file.is_file()

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add a line to ``metrics.jsonl``.

        Raises:
            OutputError: The disk is full, or the folder went away.
        """
        try:
            with self.metrics_file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, allow_nan=False) + "\n")
        except OSError as error:
            raise OutputError(f"{self.metrics_file}: cannot be written: {error.strerror}") from error

    def drop_metrics_after(self, *, step: int, epoch: int) -> None:
        """Forget the lines of steps and evaluations that came after the checkpoint a run goes on from.

        Args:
            step: Last step that counts.
            epoch: Last epoch whose evaluation counts.
        """
        if not self.metrics_file.is_file():
            return
        kept = [
            line
            for line in self._metric_lines()
            if (line["step"] <= step if line["kind"] == "step" else line["epoch"] <= epoch)
        ]
        write_text(self.metrics_file, "".join(json.dumps(line) + "\n" for line in kept))

    def _metric_lines(self) -> list[dict[str, Any]]:
        lines = []
        for text in self.metrics_file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                break  # the last line was cut off by a crash; nothing complete follows it
            if not isinstance(line, dict) or not {"kind", "step", "epoch"} <= line.keys():
                raise OutputError(f"{self.metrics_file}: no run wrote the line {text:.60}; remove it")
            lines.append(line)
        return lines

    def add_launch(self, launch: Mapping[str, Any]) -> None:
        """Add an entry to ``run.json``: one for the start and one for each resume."""
        write_json(self.record_file, {"launches": [*self.launches(), launch]})

    def launches(self) -> list[dict[str, Any]]:
        """The entries of ``run.json``; none before the first was added.

        Raises:
            OutputError: The file is damaged.
        """
        if not self.record_file.is_file():
            return []
        try:
            launches: list[dict[str, Any]] = json.loads(self.record_file.read_text("utf-8"))["launches"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OutputError(
                f"{self.record_file}: is damaged ({error}); put back a copy or start a new run"
            ) from error
        if not isinstance(launches, list) or not all(isinstance(launch, dict) for launch in launches):
            raise OutputError(f"{self.record_file}: is damaged (no list of launches); put back a copy")
        return launches

    def was_begun_by(self, launch_id: str) -> bool:
        """Whether a launch wrote into the folder already."""
        return any(launch.get("launch_id") == launch_id for launch in self.launches())


def _number_in_name(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdigit() else -1


def write_json(path: Path, value: Any) -> None:
    """Write a document whole or not at all; makes the folder it goes into.

    Raises:
        OutputError: It cannot be written.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text whole or not at all; makes the folder it goes into.

    Bytes of a file's name that are no text, which Python keeps as lone surrogates, become question marks.

    Raises:
        OutputError: It cannot be written.
    """
    write_bytes(path, text.encode("utf-8", errors="replace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; makes the folder it goes into.

    Raises:
        OutputError: It cannot be written; nothing of it is left behind.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture as PNG or JPEG, as its name ends; makes the folder it goes into.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=90, subsampling=0)  # of JPEG, where colours of letters would blur
    except OSError as error:
        raise OutputError(f"{path}: cannot write the picture: {error.strerror or error}") from error


def make_folder(path: Path) -> Path:
    """Make a folder and its parents where they are missing; returns it.

    Raises:
        OutputError: It cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / ".writable").touch()
        (path / ".writable").unlink()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written to: {error.strerror}; choose another --out") from error
    return path

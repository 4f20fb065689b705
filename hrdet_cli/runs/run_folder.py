"""The folder a run leaves behind.

::

    runs/NAME/
    ├── spec.yaml          the resolved spec; `hrdet train --spec` runs it again
    ├── run.json           command, versions, git commit, data fingerprints, plan; one entry a launch.
    │                      Pictures that could not be read
    ├── metrics.jsonl      a line per step and per evaluation
    ├── checkpoints/       last.pt, best.pt, epoch-004.pt, ...; best-ema.pt where an average is kept
    ├── rehearsal.json     what `hrdet train --rehearse` planned before, where it did; and rehearsal.png
    ├── pictures/          the first training batches; curves.png, of losses, rate and AP
    ├── logs/              rank-0.log; of runs in several processes rank-1.log, ... too, on each one's node;
    │                      rank-0.stacks, nccl-trace-rank-0, ... after a hang
    ├── run.lock           while a process trains in it: which one
    ├── trackers/          what trackers keep here, a folder for each
    ├── evaluation/        of the last evaluated epoch: metrics.json, detections.json, pictures; of the best
    │                      one metrics-best.json
    ├── evaluation-ema/    the same of the average of the weights, where one is kept
    └── run.html           the run's page, once it was trained, or whenever `hrdet show` was asked for it
"""

import shutil
from contextlib import suppress
from pathlib import Path

from hrdet_cli.errors import OutputError, WeightsError
from hrdet_cli.runs.output_files import write_text
from hrdet_cli.runs.run_lock import LOCK_FILE
from hrdet_cli.runs.run_record import RunRecord

SPEC_FILE, RECORD_FILE = "spec.yaml", "run.json"
HUB_WEIGHTS = "model.safetensors"
"""What a folder for the Hugging Face hub has in place of checkpoints."""
METRICS, BEST_METRICS = "metrics.json", "metrics-best.json"
"""Of the last evaluation, and of the best."""


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
        self.record_file = path / RECORD_FILE
        self.metrics_file = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"
        self.pictures = path / "pictures"
        self.rehearsal_file = path / "rehearsal.json"
        self.rehearsal_picture = path / "rehearsal.png"
        self.curves_file = self.pictures / "curves.png"
        self.evaluation = path / "evaluation"
        self.ema_evaluation = path / "evaluation-ema"
        self.logs = path / "logs"
        self.trackers = path / "trackers"
        self.page_file = path / "run.html"
        self.last_checkpoint = self.checkpoints / "last.pt"
        self.best_checkpoint = self.checkpoints / "best.pt"
        self.best_ema_checkpoint = self.checkpoints / "best-ema.pt"
        self._replaced = path / "checkpoints-replaced"

    def epoch_checkpoint(self, epoch: int) -> Path:
        """Checkpoint kept after that many epochs."""
        return self.checkpoints / f"epoch-{epoch:03d}.pt"

    def checkpoint_to_use(self, *, use_ema: bool = False) -> Path:
        """The best checkpoint, or else the last; of a folder for the Hugging Face hub its weights.

        Args:
            use_ema: The best of the averaged weights, not of the raw ones.

        Raises:
            WeightsError: There is none.
        """
        candidates = self.places_of_weights(use_ema=use_ema)
        for candidate in candidates:
            if candidate.is_file():
                return candidate
        raise WeightsError(f"{self.path}: is no run folder with checkpoints/{candidates[0].name} or last.pt")

    def places_of_weights(self, *, use_ema: bool = False) -> tuple[Path, ...]:
        """Where the folder may have the weights it stands for, first what is taken first."""
        best = self.best_ema_checkpoint if use_ema else self.best_checkpoint
        return best, self.last_checkpoint, self.path / HUB_WEIGHTS

    def evaluation_of(self, weights: str) -> Path:
        """Where the last evaluation of a kind of weights goes, ``raw`` or ``ema``."""
        return self.evaluation if weights == "raw" else self.ema_evaluation

    def bad_batch_file(self, rank: int) -> Path:
        """Where a process keeps a batch whose loss was not finite."""
        return self.path / ("non-finite-batch.pt" if rank == 0 else f"non-finite-batch-{rank}.pt")

    def stacks_file(self, rank: int) -> Path:
        """Where a process writes its Python stacks when it is asked to, or hangs."""
        return self.logs / f"rank-{rank}.stacks"

    def checkpoints_newest_first(self) -> list[Path]:
        """All training checkpoints there are: the last, then by epoch; those of the best at the end."""
        best = (self.best_checkpoint, self.best_ema_checkpoint)
        return [p for p in (self.last_checkpoint, *self._epoch_checkpoints(), *best) if p.is_file()]

    def refuse_if_foreign(self) -> None:
        """Fail where something is in the way that is no run; every process may ask, on its own node's disk.

        Raises:
            OutputError: It is.
        """
        if not self._is_free() and not self.holds_run():
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

    def holds_run(self) -> bool:
        """Whether a run was begun here, be it that not even its first checkpoint was written.

        A user's own file called ``spec.yaml`` does not make a run of the folder it lies in.
        """
        written = [file.is_file() for file in (self.spec_file, self.record_file)]
        if all(written) or self.checkpoints_newest_first():
            return True
        return any(written) and self._has_only_own_parts()

    def require(self) -> None:
        """There must be a run in the folder.

        Raises:
            OutputError: There is none.
        """
        if not self.holds_run():
            raise OutputError(
                f"{self.path}: is not a run folder (it has neither {SPEC_FILE} and {RECORD_FILE} nor a "
                "checkpoint); check the path"
            )

    def create(self, *, overwrite: bool) -> None:
        """Make the folder; of the run that is there, what a run writes is deleted and nothing else.

        Killed at any moment, this leaves a folder that is free, or one that holds a run: the old spec and
        record stay until the new ones take their places.

        Raises:
            OutputError: Something is in the way, or the folder cannot be made.
        """
        self.refuse_if_taken(overwrite=overwrite)
        try:
            if self.checkpoints.is_dir():  # first and at once, or an older one would be gone on from
                _remove_folder(self._replaced)
                self.checkpoints.rename(self._replaced)
            for file in (self.metrics_file, self.page_file, *self.path.glob("non-finite-batch*.pt")):
                file.unlink(missing_ok=True)
            evaluations = [found.parent for found in self.path.glob("eval-*/metrics.json")]
            parts = (self._replaced, self.pictures, self.trackers, self.evaluation, self.ema_evaluation)
            for part in (*parts, *evaluations):
                _remove_folder(part)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot empty the run folder: {error.strerror}") from error
        self.make_parts()

    def make_parts(self) -> None:
        """Make what folders are missing in it, and remove what was left half written by a run that died.

        Raises:
            OutputError: They cannot be made.
        """
        try:
            for part in (self.checkpoints, self.pictures, self.evaluation):
                part.mkdir(parents=True, exist_ok=True)
            written = (self.path, self.pictures, self.evaluation, self.ema_evaluation)
            unfinished = (file for folder in written for file in folder.glob("*.tmp"))
            for left in (*unfinished, *self.checkpoints.glob("*.partial")):
                left.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot make the run folder: {error.strerror}") from error

    def read_spec(self) -> str:
        """The text of ``spec.yaml``; empty where it is missing or cannot be read."""
        try:
            return self.spec_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def write_spec(self, text: str) -> None:
        """Write ``spec.yaml``.

        Raises:
            OutputError: It cannot be written.
        """
        write_text(self.spec_file, text)

    def read_record(self) -> RunRecord | None:
        """What ``run.json`` holds; None where it is missing or damaged."""
        try:
            return RunRecord.parse(self.record_file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None

    def write_record(self, record: RunRecord) -> None:
        """Write ``run.json``.

        Raises:
            OutputError: It cannot be written.
        """
        write_text(self.record_file, record.text())

    def keep_newest_epochs(self, number: int) -> None:
        """Delete the checkpoints of epochs but for the newest so many."""
        for old in self._epoch_checkpoints()[number:]:
            with suppress(OSError):  # it costs room, no more
                old.unlink(missing_ok=True)

    def _epoch_checkpoints(self) -> list[Path]:
        return sorted(self.checkpoints.glob("epoch-*.pt"), key=_number_in_name, reverse=True)

    def _is_free(self) -> bool:
        """Whether nothing of a run is there; its folders and logs may be there already."""
        try:
            if not self.path.exists():
                return True
            return (
                self.path.is_dir()
                and self._has_only_own_parts()
                and not any(file.exists() for file in (self.spec_file, self.record_file))
                and not self.checkpoints_newest_first()
            )
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be used as a run folder: {error.strerror}") from error

    def _has_only_own_parts(self) -> bool:
        """Whether all that lies in the folder has a name that a run gives."""
        files = (self.spec_file, self.record_file, self.metrics_file, self.page_file)
        own = {file.name for file in (*files, self.rehearsal_file, self.rehearsal_picture)}
        folders = (self.checkpoints, self._replaced, self.pictures, self.trackers, self.logs)
        own |= {part.name for part in (*folders, self.evaluation, self.ema_evaluation)} | {LOCK_FILE}
        return all(entry.name.removesuffix(".tmp") in own for entry in self.path.iterdir())


def _remove_folder(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)


def _number_in_name(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdigit() else -1

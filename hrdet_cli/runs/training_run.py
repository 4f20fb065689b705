"""A training run's parts, and what it writes."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch

from hrdet_cli.engine.data.batch import PictureFault
from hrdet_cli.engine.data.loader import TrainingLoader
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.training.checkpoint_writer import CheckpointWriter
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.runs.best_by import NAME_OF_NUMBER, BestBy
from hrdet_cli.runs.best_checkpoints import BestCheckpoints
from hrdet_cli.runs.dataset.part import DatasetPart, TrainingData
from hrdet_cli.runs.events import CheckpointSaved, EvaluatedWeights
from hrdet_cli.runs.metrics_file import MetricsFile
from hrdet_cli.runs.origin import Origin
from hrdet_cli.runs.plan import Plan
from hrdet_cli.runs.recorder import Recorder
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.run_record import Ending, RunRecord
from hrdet_cli.runs.tracking.background import BackgroundTrackers
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import format_spec
from hrdet_cli.wording import counted


@dataclass(slots=True)
class TrainingRun:
    """A run's parts, and what its checkpoints carry beside the trainer's state.

    Attributes:
        record: What is, or will be, in ``run.json``.
        spec_text: The spec as YAML.
        num_closed_epochs: Epochs that were not only trained but also evaluated, where that was due, and kept.
        best: What the best checkpoints so far score.
        hosts: Name of each process's node, by rank.
        trackers: Those of the first process, once the run folder is there; of others none.
        num_evaluated_epochs_since_best: Evaluations in a row without a new best of any kind of weights.
    """

    spec: ExperimentSpec
    plan: Plan
    folder: RunFolder
    trainer: Trainer
    detector: Detector
    device: torch.device
    data: TrainingData
    loader: TrainingLoader
    stop_asked: Callable[[], bool]
    record: RunRecord
    metrics: MetricsFile
    best: BestCheckpoints
    hosts: tuple[str, ...]
    trackers: BackgroundTrackers = field(default_factory=lambda: BackgroundTrackers({}))
    writer: CheckpointWriter = field(default_factory=CheckpointWriter)
    num_closed_epochs: int = 0
    num_evaluated_epochs_since_best: int = 0
    _saved_at: float = field(default_factory=time.monotonic)
    _told: set[str] = field(default_factory=set)
    _num_told_damaged: int = 0
    _num_written_damaged: int = 0
    spec_text: str = field(init=False)

    def __post_init__(self) -> None:
        self.spec_text = format_spec(self.spec)

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run's files; the others only compute."""
        return current_world().rank == 0

    @property
    def evaluated_detectors(self) -> dict[EvaluatedWeights, Detector]:
        """The detector, and where an average of its weights is kept, the one with these."""
        detectors: dict[EvaluatedWeights, Detector] = {"raw": self.detector}
        if self.trainer.averaged_model is not None:
            detectors["ema"] = cast("Detector", self.trainer.averaged_model)
        return detectors

    def evaluation_origin(self, part: DatasetPart, weights: EvaluatedWeights) -> Origin:
        """What an evaluation on the validation part that is made now is made from."""
        annotations = part.annotations
        return Origin(
            weights=f"{self.folder.path}, {'raw weights' if weights == 'raw' else 'average of the weights'}",
            step=self.trainer.step,
            epoch=self.trainer.num_finished_epochs,
            annotations=annotations.path,
            split=annotations.split,
            images=part.located.images,
            fingerprint=annotations.fingerprint,
            num_pictures=len(annotations),
        )

    @property
    def is_out_of_patience(self) -> bool:
        """Whether the last evaluations, as many as the spec has patience for, found nothing better."""
        patience = self.spec.evaluation.patience
        return patience is not None and self.num_evaluated_epochs_since_best >= patience

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to train."""
        return self.trainer.is_finished or self.is_out_of_patience

    def count_evaluation(self, *, found_best: bool) -> None:
        """Take in that an epoch was evaluated, and whether any kind of weights was the best of its kind."""
        self.num_evaluated_epochs_since_best = 0 if found_best else self.num_evaluated_epochs_since_best + 1

    def describe_impatience(self) -> str:
        """How many evaluations found nothing better, in words."""
        evaluations = counted(self.num_evaluated_epochs_since_best, "evaluation")
        return f"{evaluations} in a row without a better {NAME_OF_NUMBER[self.best.best_by]}"

    def log(self, line: Mapping[str, Any]) -> None:
        """Have a line in the metrics file, and wherever else the run is on record."""
        if self.is_first:
            recorders: tuple[Recorder, ...] = (self.metrics, self.trackers)
            for recorder in recorders:
                recorder.append(line)

    def note_broken(self, pictures: Sequence[PictureFault]) -> list[PictureFault]:
        """Write pictures that cannot be read into the record; returns those that were not in it yet."""
        reason_by_name = {
            picture.file_name: picture.reason
            for picture in pictures
            if picture.file_name not in self.record.broken_pictures
        }
        if reason_by_name:
            self.record = self.record.with_broken_pictures(reason_by_name)
            if self.is_first:
                self.folder.write_record(self.record)
        return [PictureFault(name, reason) for name, reason in reason_by_name.items()]

    def note_damaged(self, pictures: Sequence[PictureFault]) -> None:
        """Add JPEGs with damaged pixels to the record, which is written with the next checkpoint."""
        reason_by_name = {
            picture.file_name: picture.reason
            for picture in pictures
            if picture.file_name not in self.record.damaged_pictures
        }
        if reason_by_name:
            self.record = self.record.with_damaged_pictures(reason_by_name)

    def note_ending(self, ending: Ending) -> None:
        """Have the record say how this launch ended.

        Raises:
            OutputError: It cannot be written.
        """
        self.record = self.record.with_ending(ending)
        if self.is_first:
            self.folder.write_record(self.record)

    def untold_damage(self) -> str | None:
        """How many training pictures are damaged, in words; None where that was said already."""
        num_damaged = len(self.record.damaged_pictures)
        if num_damaged == self._num_told_damaged:
            return None
        self._num_told_damaged = num_damaged
        name, reason = next(iter(self.record.damaged_pictures.items()))
        return (
            f"damaged JPEG data in {counted(num_damaged, 'training picture')} so far, trained on as far as "
            f"decoded; the first: {name} ({reason}). {self.folder.record_file.name} names all so far, "
            "hrdet check-data all there are"
        )

    def untold(self, notices: Iterable[str]) -> list[str]:
        """Those of an evaluation's notices that no evaluation before it had."""
        new = [notice for notice in notices if notice not in self._told]
        self._told.update(new)
        return new

    def save(self, *paths: Path) -> Iterator[CheckpointSaved]:
        """Write what training can go on from and evaluation can start from, under one or more names."""
        if self.is_first:
            self._write_new_damage()
            self.metrics.sync()
            self.writer.write(paths, self._state())
            self._note_slowest()
            self._saved_at = time.monotonic()
        for path in paths:
            yield CheckpointSaved(path, is_routine=path == self.folder.last_checkpoint)

    def save_when_due(self) -> None:
        """Inside an epoch, begin to write the last checkpoint when it has been long enough since one.

        Training goes on meanwhile.
        """
        minutes = self.spec.run.checkpoint_every_minutes
        if not self.is_first or not minutes or not self.trainer.step_in_epoch:
            return
        self.writer.check()
        if time.monotonic() - self._saved_at >= 60 * minutes:
            self._write_new_damage()
            self.metrics.sync()
            self.writer.begin(self.folder.last_checkpoint, self._state())
            self._saved_at = time.monotonic()

    def _write_new_damage(self) -> None:
        """Not with each new picture: where there are many, the record is long."""
        if len(self.record.damaged_pictures) != self._num_written_damaged:
            self._num_written_damaged = len(self.record.damaged_pictures)
            self.folder.write_record(self.record)

    def _note_slowest(self) -> None:
        """Have the record say what the slowest checkpoint took."""
        slowest = self.writer.slowest
        if slowest is None:
            return
        record = self.record.with_checkpoint(slowest.seconds, slowest.num_bytes)
        if record is not self.record:
            self.record = record
            self.folder.write_record(record)

    def _state(self) -> dict[str, Any]:
        return {
            **self.trainer.state_dict(),
            "spec": self.spec_text,
            "record": self.record.text(),
            "class_names": list(self.data.train.annotations.class_names),
            "category_ids": list(self.data.train.annotations.category_ids),
            "num_closed_epochs": self.num_closed_epochs,
            "num_evaluated_epochs_since_best": self.num_evaluated_epochs_since_best,
            **self.best.state(),
        }

    def restore(self, state: Mapping[str, Any], *, best_by: BestBy, keeps_best: bool = True) -> None:
        """Take up what `save` wrote beside the trainer's state.

        Args:
            state: A checkpoint.
            best_by: What decided which one is the best when it was saved. Where something else does now, no
                evaluation has been in vain yet.
            keeps_best: Whether the best so far are what others have to beat. With other validation data they
                are not, and the next ones are the best.
        """
        self.num_closed_epochs = state["num_closed_epochs"]
        if not keeps_best:
            return
        self.best.restore(state, best_by=best_by)
        if best_by == self.best.best_by:
            self.num_evaluated_epochs_since_best = state.get("num_evaluated_epochs_since_best", 0)

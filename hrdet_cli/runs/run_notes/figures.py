"""What notes are made from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.step_layout import StepLayout
from hrdet_cli.engine.data.steps import TrainingSteps
from hrdet_cli.engine.data.transforms import move_boxes
from hrdet_cli.engine.models.dense.anchor_fit import PlacedBoxes
from hrdet_cli.runs.run_notes.picture_places import names_by_place
from hrdet_cli.specs.experiment import ExperimentSpec

_MOST_PICTURES = 500
"""Whose boxes are placed: enough to tell shares of a fifth."""


@dataclass(frozen=True, eq=False)
class RunFigures:
    """A run's spec, its data, and what follows from them.

    Attributes:
        train: Annotations to train on.
        val: Annotations to evaluate on; None where there are none.
        train_roots: Where training pictures are, by what their names begin with, for each data set.
        val_root: Where validation pictures are; None where there are none.
        steps: Of the whole group.
        layouts: The first of them, as one process gets them.
        num_processes: Over all nodes.
        knows_batch_size: Whether the pictures of a step are known, and all that follows from them.
    """

    spec: ExperimentSpec
    train: CocoAnnotations
    val: CocoAnnotations | None
    train_roots: Mapping[str, Path]
    val_root: Path | None
    steps: TrainingSteps
    layouts: Sequence[StepLayout]
    num_processes: int
    knows_batch_size: bool

    @property
    def num_steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.spec.optimisation.num_epochs

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which the weights move; each may have several batches."""
        return self.spec.optimisation.num_steps_of(self.steps.num_steps)

    @property
    def pictures_a_step(self) -> int:
        """Over all processes and batches of a step."""
        return self.steps.batch_size * self.spec.optimisation.accumulate_steps

    @property
    def warmup_steps(self) -> int:
        """Steps over which the rate rises."""
        return self.spec.optimisation.warmup_steps_of(self.num_steps)

    @cached_property
    def trained_names_by_place(self) -> Mapping[str, Sequence[str]]:
        """Names of the pictures to train on by where the file is; several data sets may have one."""
        return names_by_place(self.train.file_names[self.steps.indices], self.train_roots)

    def placed_boxes(self) -> PlacedBoxes:
        """Target boxes of the first pictures, as they lie on their canvases."""
        placed = list(self._placed_pictures())
        if not placed:
            empty = np.zeros((0, 2), dtype=np.int64)
            return PlacedBoxes(np.zeros((0, 4)), empty, empty)
        boxes, pictures, canvases = (np.concatenate(parts) for parts in zip(*placed, strict=True))
        return PlacedBoxes(boxes, pictures, canvases)

    def _placed_pictures(self) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]]:
        num_left = _MOST_PICTURES
        for layout in self.layouts:
            canvas = (layout.canvas.height, layout.canvas.width)
            for index, placement in zip(layout.request.indices, layout.placements, strict=True):
                boxes, _ = self.train.targets_of(index)
                moved, stays = move_boxes(boxes, self.train.size_of(index), placement)
                count, size = int(stays.sum()), (placement.placed.height, placement.placed.width)
                yield (
                    moved[stays].astype(np.float64),
                    np.array([size] * count, dtype=np.int64).reshape(-1, 2),
                    np.array([canvas] * count, dtype=np.int64).reshape(-1, 2),
                )
                num_left -= 1
            if num_left <= 0:
                return

"""What a training run will do, counted before it starts. Does not import torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hrdet_cli.runs.run_notes.kinds import Note


@dataclass(frozen=True, slots=True)
class PartCounts:
    """What an annotation file holds.

    Attributes:
        num_used: Pictures that take part.
        dropped_boxes: Boxes that cannot be used, by reason.
        fingerprint: SHA-256 of the annotation file.
    """

    annotations: str
    num_pictures: int
    num_used: int
    num_boxes: int
    num_crowd_regions: int
    dropped_boxes: Mapping[str, int]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ClassShowings:
    """How often training sees a class.

    Attributes:
        num_pictures: Pictures of it that take part.
        per_epoch: How often an epoch shows a picture of it, on average.
    """

    name: str
    num_pictures: int
    per_epoch: float


@dataclass(frozen=True, slots=True)
class SetCounts:
    """One of several data sets to train on.

    Attributes:
        annotations: What names it.
        num_used: Pictures that take part.
        epoch_share: Share of the pictures of an epoch that are of it, on average.
    """

    annotations: str
    num_used: int
    epoch_share: float


@dataclass(frozen=True, slots=True)
class GroupRates:
    """Parameters that are not trained like the others; one in several groups gets the factors of all.

    Attributes:
        learning_rate: After warm-up, of a parameter that is in this group only.
        weight_decay: Likewise.
        stage_decay: Of the backbone, what multiplies the rate of stage 4 once and that of each stage before
            it once more; 1 for other groups.
    """

    name: str
    learning_rate_factor: float
    learning_rate: float
    weight_decay_factor: float
    weight_decay: float
    stage_decay: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A run in numbers.

    Attributes:
        batch_size: Pictures a step over all processes.
        finds_batch_size: They are still to be found on the GPU, and every number here that depends on them is
            that of one picture on each process.
        num_repeats_per_epoch: Pictures shown twice in an epoch to fill the last batch of each orientation.
        class_showings: How often each class is seen, in the order of the classes.
        weights: The file or name that training starts from; None for random weights.
        has_weights: Whether that file is there, or a name will be fetched.
        learning_rate: The rate after warm-up, before the first drop.
        learning_rate_rule: How it came about, in words.
        warmup_steps: Steps before the rate has its full value.
        parameter_groups: Those with factors other than 1.
        canvases: The canvases batches lie on, ``WIDTHxHEIGHT``, or the rule that gives them.
        useful_pixel_share: Share of the pixels of the first epoch's batches that belong to pictures, not to
            padding; of the first batches, where there are many.
        sources: The layer that set each value that is not a default.
        notes: What can ruin the run, and what to do.
        data_sets: Of several training data sets, each; none of a single one.
    """

    name: str
    class_names: tuple[str, ...]
    train: PartCounts
    val: PartCounts | None
    num_processes: int
    batch_size: int
    finds_batch_size: bool
    steps_per_epoch: int
    num_repeats_per_epoch: int
    num_steps: int
    class_showings: tuple[ClassShowings, ...]
    weights: str | None
    has_weights: bool
    learning_rate: float
    learning_rate_rule: str
    warmup_steps: int
    parameter_groups: tuple[GroupRates, ...]
    canvases: tuple[str, ...]
    useful_pixel_share: float
    sources: Mapping[str, str]
    notes: tuple[Note, ...]
    data_sets: tuple[SetCounts, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class LargestStep:
    """The step of a run that needs most memory, made once before the run and forgotten.

    Attributes:
        canvas: ``WIDTHxHEIGHT``, the largest that a batch can lie on.
        num_pictures: On each process.
        num_box_rows: Of each picture, filled or not: one picture of the data set needs so many.
        peak_memory_bytes: The most memory that a process used: of its GPU, or else resident.
        seconds: Of the slowest process; a first step takes longer than those that follow.
    """

    canvas: str
    num_pictures: int
    num_box_rows: int
    peak_memory_bytes: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return asdict(self)

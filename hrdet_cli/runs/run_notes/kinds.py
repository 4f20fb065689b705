"""All kinds of notes, in the order in which they are told."""

from collections.abc import Callable
from dataclasses import dataclass

from hrdet_cli.runs.run_notes import data, detector, schedule
from hrdet_cli.runs.run_notes.figures import RunFigures


@dataclass(frozen=True, slots=True)
class NoteKind:
    """Something that can ruin a run.

    Attributes:
        key: What it is called in JSON and in docs/specs.md.
        title: What it is, in a sentence.
        describe: What there is to say of a run, with the settings that cure it; None where there is nothing.
    """

    key: str
    title: str
    describe: Callable[[RunFigures], str | None]


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a run's figures show, and what to do."""

    key: str
    text: str


NOTE_KINDS = (
    NoteKind("validation-none", "There are no validation data.", data.describe_no_validation),
    NoteKind("rate-high", "AdamW has a rate that is usual for SGD.", schedule.describe_high_rate),
    NoteKind(
        "warmup-long", "The warm-up takes more than a quarter of the run.", schedule.describe_long_warmup
    ),
    NoteKind("drop-in-warmup", "The rate drops before it has risen.", schedule.describe_drop_in_warmup),
    NoteKind("drop-never", "The rate is to drop after the last epoch.", schedule.describe_lost_drops),
    NoteKind(
        "batch-large",
        "A step has more pictures than there are, or repeats many.",
        schedule.describe_large_batch,
    ),
    NoteKind("run-short", "The whole run has under 200 steps.", schedule.describe_short_run),
    NoteKind(
        "average-slow",
        "More than half of the average is the weights the run began with.",
        schedule.describe_slow_average,
    ),
    NoteKind(
        "norm-noisy", "Norms take their statistics from a single picture.", schedule.describe_noisy_norm
    ),
    NoteKind(
        "boxes-unmatched",
        "Over a fifth of the boxes can match no anchor, or no point.",
        detector.describe_unmatched_boxes,
    ),
    NoteKind(
        "threshold-high", "Detections are dropped before they are scored.", detector.describe_high_threshold
    ),
    NoteKind(
        "detections-capped", "Pictures have more boxes than detections are kept.", data.describe_detection_cap
    ),
    NoteKind("scales-unlike", "Evaluation has a scale that training does not.", data.describe_unlike_scales),
    NoteKind(
        "pictures-enlarged", "Pictures are enlarged more than 2.5 times.", data.describe_enlarged_pictures
    ),
    NoteKind("classes-untrained", "Classes have no box to train on.", data.describe_untrained_classes),
    NoteKind("sampling-idle", "No class is rare enough for sampling.", data.describe_idle_sampling),
    NoteKind("masks-missing", "Over a twentieth of the objects have no mask.", data.describe_missing_masks),
    NoteKind("pictures-shared", "Validation pictures are trained on.", data.describe_shared_pictures),
    NoteKind(
        "pictures-repeated",
        "Pictures are in several training data sets, or have several names in one.",
        data.describe_repeated_pictures,
    ),
    NoteKind("classes-mirrored", "A flip makes one class of another.", data.describe_mirrored_classes),
    NoteKind("pictures-empty", "Most training pictures have no box.", data.describe_empty_pictures),
)


def find_notes(run: RunFigures) -> tuple[Note, ...]:
    """All that there is to say of a run before it starts."""
    found = ((kind.key, kind.describe(run)) for kind in NOTE_KINDS)
    return tuple(Note(key, text) for key, text in found if text is not None)

"""``hrdet weights convert``: weights of other code become a checkpoint of hrdet."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hrdet_cli.engine.training.checkpoint import save_checkpoint
from hrdet_cli.errors import OutputError
from hrdet_cli.runs.output_files import refuse_unwritable_file
from hrdet_cli.runs.trained_detector.detector import UNKNOWN_IDS, build_trained_detector
from hrdet_cli.runs.trained_detector.reading import read_trained_detector
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import format_spec


@dataclass(frozen=True, slots=True)
class Conversion:
    """A checkpoint that was made.

    Attributes:
        num_tensors: Of the detector in it.
        notices: What the user should be told, a sentence each.
    """

    path: Path
    spec_name: str
    num_tensors: int
    class_names: tuple[str, ...]
    notices: tuple[str, ...]


def convert_weights(
    source: str,
    *,
    preset: str | None,
    spec_file: Path | None,
    settings: Sequence[str],
    classes: Path | None,
    out: Path,
) -> Conversion:
    """Make a checkpoint that evaluates, predicts, exports and fine-tunes like one of a run.

    Args:
        source: Weights of a whole detector, as `read_trained_detector` takes them.
        preset: What they are weights of; one of it and ``spec_file`` is needed.
        spec_file: The same by a file of one's own.
        settings: ``key=value`` texts on top.
        classes: Annotations in COCO's format that name the classes of weights that do not.
        out: The file to write; it must not exist.

    Raises:
        WeightsError: The weights cannot be read or do not fit.
        OutputError: The file is there already, or cannot be written.
        SpecError: Options do not go together.
        DataError: ``classes`` cannot be read.
    """
    refuse_unwritable_file(out, option="--out")
    if out.exists():
        raise OutputError(f"{out}: is there already; give --out another name")
    if not out.parent.is_dir():
        raise OutputError(f"{out}: the folder {out.parent} is not there; make it first")
    trained = read_trained_detector(
        source, preset=preset, spec_file=spec_file, use_ema=None, settings=settings, classes=classes
    )
    detector = build_trained_detector(trained, torch.device("cpu"))
    notices = list(trained.notices)
    if trained.category_ids is None:
        notices.append(UNKNOWN_IDS)
    state = detector.state_dict()
    save_checkpoint(
        out,
        {
            "spec": format_spec(_spec_of_checkpoint(trained.spec, out)),
            "class_names": list(trained.class_names),
            "category_ids": list(trained.ids_in_results),
            "model": dict(state),
        },
    )
    return Conversion(out, trained.spec.name, len(state), trained.class_names, tuple(notices))


def _spec_of_checkpoint(spec: ExperimentSpec, out: Path) -> ExperimentSpec:
    """What was said of the file that was read does not hold of the one that is written."""
    changes = {"weights": str(out), "strict_weights": True, "weights_background": "auto"}
    return spec.model_copy(update={"model": spec.model.model_copy(update=changes)})

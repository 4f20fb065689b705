"""The checkpoint a path means, and what an evaluation takes out of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hrdet_cli.engine.models.faster_rcnn import FasterRCNN
from hrdet_cli.errors import WeightsError
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.layers import Layer, setting_layers
from hrdet_cli.specs.loading import validate_layers
from hrdet_cli.specs.yaml_text import parse_yaml

MAX_REASON = 300


def find_checkpoint(source: Path) -> Path:
    """The checkpoint that a path means: a file itself, a run folder's best or else its last.

    Raises:
        WeightsError: There is none.
    """
    if source.is_file():
        return source
    folder = RunFolder(source)
    for candidate in (folder.best_checkpoint, folder.last_checkpoint):
        if candidate.is_file():
            return candidate
    raise WeightsError(
        f"{source}: is neither a checkpoint nor a run folder with checkpoints/best.pt or last.pt"
    )


def checkpoint_spec(
    checkpoint: Path, state: dict[str, Any], *, extra_layers: Sequence[Layer], settings: Sequence[str]
) -> ExperimentSpec:
    """The spec a checkpoint was trained with, changed by further layers.

    Raises:
        SpecError: A change is not valid.
    """
    base = Layer(str(checkpoint), parse_yaml(state["spec"], source=str(checkpoint)))
    return validate_layers([base, *extra_layers, *setting_layers(settings)]).spec


def require_keys(checkpoint: Path, state: dict[str, Any], keys: Sequence[str]) -> None:
    """A checkpoint must hold certain entries.

    Raises:
        WeightsError: One is missing.
    """
    missing = [key for key in keys if key not in state]
    if missing:
        raise WeightsError(
            f"{checkpoint}: lacks {', '.join(missing)}; it was not written by a training run of this hrdet"
        )


def load_detector_weights(detector: FasterRCNN, state: dict[str, Any], checkpoint: Path) -> None:
    """Fill a detector from a checkpoint, strictly.

    Raises:
        WeightsError: They do not fit each other.
    """
    try:
        detector.load_state_dict(state["model"])
    except (KeyError, RuntimeError) as error:
        raise WeightsError(
            f"{checkpoint}: its weights do not fit the detector that the spec describes: "
            f"{str(error)[:MAX_REASON]} ...; evaluate with the model and norm it was trained with"
        ) from error


def default_out(checkpoint: Path) -> Path:
    """Where results go unless told otherwise: ``RUN/eval-best`` for ``RUN/checkpoints/best.pt``."""
    folder = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
    return folder / f"eval-{checkpoint.stem}"

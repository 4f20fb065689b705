"""Where a trained detector is read from. Does not import torch."""

from pathlib import Path

from hrdet_cli.engine.weights.names import describe_unknown_scheme, is_weights_name
from hrdet_cli.errors import WeightsError
from hrdet_cli.file_kinds import why_no_file
from hrdet_cli.runs.run_folder import RunFolder


def find_weights(source: str, *, use_ema: bool = False) -> str:
    """The file that a source of a detector stands for: a run folder's checkpoint, or the source itself.

    Args:
        source: As of `read_trained_detector`.
        use_ema: Look for the averaged weights of a run.

    Raises:
        WeightsError: Nothing is there, or a folder has no checkpoint.
    """
    path = Path(source)
    if path.is_dir():
        return str(RunFolder(path).checkpoint_to_use(use_ema=use_ema))
    if not (path.exists() or is_weights_name(source)):
        raise WeightsError(f"{source}: {_why_no_weights(source)}")
    return source


def _why_no_weights(source: str) -> str:
    return describe_unknown_scheme(source) or (
        f"{why_no_file(Path(source))}; give a run folder, a checkpoint, weights of other code, or a name "
        "such as torchvision:fasterrcnn_resnet50_fpn"
    )

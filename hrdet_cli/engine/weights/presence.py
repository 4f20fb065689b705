"""Whether files of weights are there, and where to get those that are not. Does not import torch."""

from pathlib import Path

from hrdet_cli.engine.weights.names import describe_unknown_scheme
from hrdet_cli.engine.weights.published.table import how_to_get, published_as
from hrdet_cli.errors import WeightsError
from hrdet_cli.file_kinds import why_no_file

_ENDINGS = (".pt", ".pth", ".safetensors", ".bin", ".pkl")
_BACKBONES = (
    "Public files are hrnetv2_w18_imagenet_pretrained.pth and its siblings "
    "(https://github.com/HRNet/HRNet-Image-Classification) and resnet50-0676ba61.pth and its siblings "
    "(https://download.pytorch.org/models/)."
)
_DETECTORS = (
    "mmdetection's detectors are listed at "
    "https://github.com/open-mmlab/mmdetection/tree/main/configs/hrnet (and in the folders beside it)."
)


def refuse_absent_weights(source: str, path: Path) -> None:
    """There must be a file.

    Args:
        source: What was asked for, for messages.
        path: Where it is.

    Raises:
        WeightsError: There is none.
    """
    if path.is_dir():
        raise WeightsError(f"weights {source}: is a folder. Give a file of weights{_weights_in(path)}.")
    reason = why_no_file(path)
    if reason is not None and (path.exists() or path.is_symlink()):
        raise WeightsError(f"weights {source}: {reason}. Give a readable file.")
    if reason is not None:
        raise WeightsError(f"weights {source}: {_describe_absent(source)}")


def _describe_absent(source: str) -> str:
    """What is wrong with a path that leads nowhere, and where files of its name come from."""
    if (unknown := describe_unknown_scheme(source)) is not None:
        return unknown
    if (published := published_as(source)) is not None:
        return f"there is no such file. {how_to_get(published, source)}"
    is_detector = Path(source).name.startswith("faster_rcnn")
    return f"there is no such file. {_DETECTORS if is_detector else _BACKBONES}"


def _weights_in(folder: Path) -> str:
    """Files of weights in a folder, or in a run's folder of checkpoints, as an example."""
    files = sorted(
        file
        for inner in (folder / "checkpoints", folder)
        if inner.is_dir()
        for file in inner.iterdir()
        if file.suffix in _ENDINGS
    )
    return f", such as {files[0]}" if files else ""

"""What ``hrdet export`` writes, and where it cannot. Does not import torch."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from hrdet_cli.errors import DataError, OutputError, SpecError
from hrdet_cli.extras import install_command
from hrdet_cli.file_kinds import why_no_file
from hrdet_cli.runs.output_files import refuse_unwritable_file, refuse_unwritable_folder

Format = Literal["state-dict", "mmdetection", "safetensors", "onnx", "hub-folder"]

_PACKAGES: Mapping[Format, tuple[str, ...]] = {
    "safetensors": ("safetensors",),
    "hub-folder": ("safetensors",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
}
_EXTRA: Mapping[Format, str] = {
    "safetensors": "safetensors",
    "hub-folder": "safetensors",
    "onnx": "export",
}


def refuse_impossible(to: Format, out: Path, *, overwrite: bool, check_picture: Path | None) -> None:
    """Find out what will not work before any work is done.

    Args:
        to: The format.
        out: The file or folder to write.
        overwrite: Replace what is there.
        check_picture: Compare an ONNX model with the detector on this picture.

    Raises:
        SpecError: A package is missing, or options do not go together.
        OutputError: The file or folder is in the way or cannot be written.
        DataError: ``check_picture`` is not there.
    """
    missing = [package for package in _PACKAGES.get(to, ()) if find_spec(package) is None]
    if missing:
        install = install_command(_EXTRA[to])
        raise SpecError([f"--to {to}: needs the package {', '.join(missing)}; install it with: {install}"])
    if check_picture is not None and to != "onnx":
        raise SpecError([f"--check-picture: is for --to onnx alone; leave it away with --to {to}"])
    if check_picture is not None and (why := why_no_file(check_picture)) is not None:
        raise DataError(f"{check_picture}: {why}; give a picture that the detector finds something in")
    if to == "hub-folder":
        _refuse_taken_folder(out, overwrite=overwrite)
        refuse_unwritable_folder(out, option="--out")
        return
    refuse_unwritable_file(out, option="--out")
    if out.exists() and not overwrite:
        raise OutputError(f"{out}: is there already; give --out another name, or replace it with --overwrite")
    if not out.parent.is_dir():
        raise OutputError(f"{out}: the folder {out.parent} is not there; make it first")


def _refuse_taken_folder(out: Path, *, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; give --out the name of a folder")
    if out.is_dir() and not overwrite and any(out.iterdir()):
        raise OutputError(
            f"{out}: is there already and not empty; give --out another name, or replace its files "
            "with --overwrite"
        )

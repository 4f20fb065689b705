"""Paths that commands are given: whether they are there is looked at before torch is loaded."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hrdet_cli.errors import DataError
from hrdet_cli.file_kinds import why_no_file

if TYPE_CHECKING:
    from hrdet_cli.cli.options import DataPaths
    from hrdet_cli.specs.data import DataSpec, PartName


def refuse_missing_detector(
    source: str,
    *,
    use_ema: bool = False,
    spec_file: Path | None = None,
    classes: Path | None = None,
    val_data: "DataPaths | None" = None,
) -> None:
    """A trained detector, what describes it, and what it is to be scored on must be there.

    Raises:
        HrdetError: Something is not, as whoever reads it would say.
    """
    from hrdet_cli.runs.trained_detector.source import find_weights
    from hrdet_cli.specs.spec_text import read_spec_text

    find_weights(source, use_ema=use_ema)
    if spec_file is not None and not spec_file.is_fifo():  # a shell's <(...) can be read once
        read_spec_text(spec_file)
    refuse_missing_source(classes)
    if val_data is not None:
        annotations, images = val_data
        refuse_missing_source(Path(annotations), Path(images) if images else None)


def refuse_missing_source(annotations: Path | None, images: Path | None = None) -> None:
    """Annotations and pictures must be there where they are named.

    Raises:
        DataError: One is not.
    """
    from hrdet_cli.engine.data.images import refuse_missing_root
    from hrdet_cli.runs.annotation_sources import refuse_missing_annotations

    if annotations is not None:
        refuse_missing_annotations(annotations)
    if images is not None:
        refuse_missing_root(images)


def refuse_missing_data(data: "DataSpec", parts: "Sequence[PartName]") -> None:
    """The data of an experiment must be there, unless it draws them.

    Raises:
        DataError: They are not.
    """
    from hrdet_cli.runs.dataset.location import refuse_missing_sets

    if data.demo is None:
        refuse_missing_sets(data, parts)


def refuse_missing_file(path: Path, remedy: str) -> None:
    """A file must be there.

    Args:
        path: The file.
        remedy: What to do where it is not.

    Raises:
        DataError: It is not.
    """
    if (why := why_no_file(path)) is not None:
        raise DataError(f"{path}: {why}; {remedy}")

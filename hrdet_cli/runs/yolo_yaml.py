"""YOLO's ``data.yaml``: where the pictures of each part are, and what the classes are called.

Source: ``check_det_dataset`` in ``ultralytics/data/utils.py`` of ultralytics 8.3. There a relative ``path``
that is not in the current folder lies in the folder of data sets that ultralytics was told; here it lies
beside the file.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrdet_cli.engine.data.formats.yolo import YoloPart
from hrdet_cli.errors import DataError, SpecError
from hrdet_cli.file_kinds import why_no_file
from hrdet_cli.specs.yaml_text import parse_yaml, shown
from hrdet_cli.wording import first_few, shortened

SPLITS = ("train", "val", "test")
_SYNONYMS = {"validation": "val"}  # which ultralytics renames, with a warning


@dataclass(frozen=True, slots=True)
class YoloYaml:
    """A ``data.yaml``; see ``DataSet``.

    Attributes:
        path: The file.
        root: Where the paths of the parts start.
        class_names: By label.
        places_by_split: Paths of each part, as they are written.
    """

    path: Path
    root: Path
    class_names: tuple[str, ...]
    places_by_split: Mapping[str, Sequence[str]]

    @property
    def splits(self) -> Sequence[str]:
        """See ``DataSet``."""
        return tuple(self.places_by_split)

    def part(self, split: str | None) -> YoloPart:
        """See ``DataSet``; also where a folder or list of the part is not there."""
        if split is None or split not in self.places_by_split:
            raise DataError(f"{self.path}: has no part {split!r:.60}; there are: {', '.join(self.splits)}.")
        places: list[Path] = []
        remarks: list[str] = []
        for written in self.places_by_split[split]:
            place, remark = self._find(split, written)
            places.append(place)
            remarks += remark
        return YoloPart(self.path, split, tuple(places), self.class_names, tuple(remarks))

    def _find(self, split: str, written: str) -> tuple[Path, list[str]]:
        """Where a path leads, and what is said where that is not where it says."""
        place = Path(os.path.normpath(self.root / written))
        if _is_there(place):
            return place, []
        if "\\" in written:  # as Windows writes it
            return self._find(split, written.replace("\\", "/"))
        if written.startswith("../"):  # as Roboflow writes it, and ultralytics takes it
            beside = Path(os.path.normpath(self.root / written.removeprefix("../")))
            if _is_there(beside):
                return beside, [f"{split}: {written} is not there, {beside} was taken, as ultralytics does"]
        raise DataError(
            f"{self.path}: {split} is {shortened(written)}, but {shortened(str(place), 200)} "
            f"{why_no_file(place)}. Mend {split}, or path."
        )


def read_yolo_yaml(path: Path) -> YoloYaml:
    """Read a ``data.yaml``.

    Raises:
        DataError: It cannot be read, or lacks what it must say.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        values = parse_yaml(text, source=str(path), takes_numbers_as_keys=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not in UTF-8 (byte {error.start:,}). Save it as UTF-8.") from error
    except SpecError as error:
        raise DataError(str(error)) from error
    if not isinstance(values, dict) or not ({"names", *SPLITS} & values.keys()):
        keys = f"with the keys {first_few(list(values))}" if isinstance(values, dict) else "but no mapping"
        raise DataError(
            f"{path}: is YAML {keys}, not YOLO's data.yaml, which has names and train. (A spec is given with "
            "--spec.)"
        )
    if "kpt_shape" in values:
        raise DataError(
            f"{path}: has keypoints (kpt_shape), which are not read. Export it with boxes or polygons."
        )
    values = {_SYNONYMS.get(key, key): value for key, value in values.items()}
    return YoloYaml(path, _root_of(path, values), _names_of(path, values), _places_of(path, values))


def _is_there(path: Path) -> bool:
    """Whether something is there; no name that a file cannot have is."""
    try:
        return path.exists()
    except OSError:
        return False


def _root_of(path: Path, values: Mapping[Any, Any]) -> Path:
    """Where paths start: ``path``, or the file's folder."""
    folder = path.parent.absolute()
    written = values.get("path")
    if written in (None, ""):
        return folder
    if not isinstance(written, str):
        raise DataError(f"{path}: path is {shown(written)}; expected a folder")
    for spelt in (written, written.replace("\\", "/")):  # as Windows writes it
        for root in (folder / spelt, Path.cwd() / spelt):
            if _is_there(root) and root.is_dir():
                return Path(os.path.normpath(root))
    where = (
        written if Path(written).is_absolute() else f"{written}, from {folder} as from the current folder,"
    )
    raise DataError(
        f"{path}: path {where} is no folder. Mend it, or take it out if {path.name} lies where the data are."
    )


def _names_of(path: Path, values: Mapping[Any, Any]) -> tuple[str, ...]:
    """Names by label, from a list or from a mapping of labels to names."""
    names = values.get("names")
    if isinstance(names, dict):
        by_label = {int(key) if str(key).isdecimal() else key: name for key, name in names.items()}
        if set(by_label) != set(range(len(names))):
            raise DataError(
                f"{path}: names has the labels {first_few(list(names))}; expected each from 0 to "
                f"{len(names) - 1}"
            )
        names = [by_label[label] for label in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(
            f"{path}: names is {shown(names)}; expected the names of the classes, by label from 0"
        )
    if (wrong := [name for name in names if type(name) not in (str, int)]) != []:
        raise DataError(f"{path}: names has {shown(wrong[0])}; expected texts")
    if values.get("nc") not in (None, len(names)):
        raise DataError(f"{path}: nc is {shown(values['nc'])}, but names has {len(names)}")
    return tuple(map(str, names))


def _places_of(path: Path, values: Mapping[Any, Any]) -> dict[str, list[str]]:
    """Paths of the parts that there are."""
    found: dict[str, list[str]] = {}
    for split in SPLITS:
        written = values.get(split)
        if written in (None, "", []):
            continue
        places = written if isinstance(written, list) else [written]
        if not all(isinstance(place, str) for place in places):
            raise DataError(
                f"{path}: {split} is {shown(written)}; expected a folder, a text or a list of them"
            )
        found[split] = places
    if not found:
        raise DataError(f"{path}: names no pictures: train and val are missing")
    return found

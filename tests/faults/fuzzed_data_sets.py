"""Broken YOLO and VOC data sets: a file of a small one is damaged, or gets what such files have by mistake.

The oracle: check-data finds an error in what is refused and in nothing else, and all boxes are in pictures.
"""

import random
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from hrdet_cli.engine.data.checking.annotations import check_annotations
from hrdet_cli.engine.data.checking.masks import check_masks
from hrdet_cli.engine.data.checking.problems import ProblemLog
from hrdet_cli.engine.data.coco_reading import load_annotations
from hrdet_cli.errors import DataError
from hrdet_cli.runs.annotation_sources import find_source
from hrdet_cli.specs.data import DatasetSpec
from tests.faults.fuzz import Case
from tests.faults.mutation import damage

_YAML = "path: .\ntrain: images/train\nnc: 2\nnames:\n  0: cat\n  1: dog\n"
_LINES = "0 0.5 0.5 0.2 0.3\n1 0.1 0.1 0.5 0.1 0.5 0.6\n"
_XML = (
    "<annotation><filename>a.png</filename><size><width>60</width><height>40</height></size><object><name>dog"
    "</name><difficult>0</difficult><bndbox><xmin>5</xmin><ymin>6</ymin><xmax>20</xmax><ymax>30</ymax></bndbox>"
    "</object></annotation>"
)
_BY_MISTAKE = (
    *(b"", b"-", b"nan", b"1e999", b"\x00", b"\xff", b"0 ", b"\n", b"[", b"{", b": ", b"&a ", b"*a", b"../"),
    *(b'<!DOCTYPE a [<!ENTITY x "y">]>', b"&x;", b"<object>", b"</object>", b"<!--", b"9" * 400, b"1 2 3"),
    *("\u202e".encode(), b"\x1b[31m", b"kpt_shape: [1, 2]\n"),
)


class Fuzzed:
    """See ``fuzz.Kind``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        texts = {
            "yolo/data.yaml": _YAML,
            "yolo/labels/train/a.txt": _LINES,
            "voc/Annotations/a.xml": _XML,
            "voc/ImageSets/Main/train.txt": "a\n",
            "voc/classes.txt": "cat\ndog\n",
        }
        self._content: Mapping[str, bytes] = {name: text.encode() for name, text in texts.items()}
        for name in self._content:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        for name in ("yolo/images/train/a.png", "voc/JPEGImages/a.png"):
            (folder / name).parent.mkdir(parents=True)
            Image.new("RGB", (60, 40)).save(folder / name)

    def case(self, rng: random.Random) -> Case:
        """One file with one to three changes."""
        for name, raw in self._content.items():
            (self._folder / name).write_bytes(raw)
        broken = rng.choice(list(self._content))
        what, raw = [], self._content[broken]
        for _ in range(rng.choice((1, 1, 2, 3))):
            if rng.random() < 0.3 and raw:
                change, raw = damage(rng, raw)
            else:
                start, inserted = rng.randrange(len(raw) + 1), rng.choice(_BY_MISTAKE)
                raw = raw[:start] + inserted + raw[start + rng.choice((0, 0, 1, 5)) :]
                change = f"{inserted!r:.20} at {start}"
            what.append(change)
        (self._folder / broken).write_bytes(raw)
        place = self._folder / broken.partition("/")[0]
        return Case(f"{broken}: {'; '.join(what)}", [str(place)], lambda: _attempt(place))


def _attempt(place: Path) -> str | None:
    source = find_source(DatasetSpec(annotations=place), "train")
    log = ProblemLog(num_described=3)
    try:
        file = check_annotations(source.read_whole(log), log)
        check_masks(file.annotations, file.pictures.sizes, log, file=place.name, matter=False)
        has_errors = any(kind.is_error for kind in log.counts)
    except DataError:
        has_errors = True
    try:
        loaded = load_annotations(source, with_truth=True)
    except DataError as error:
        if not has_errors:
            raise AssertionError("check-data finds no error in what is refused") from error
        raise
    if has_errors:
        return "check-data finds an error"
    left, top, right, bottom = loaded.boxes.T
    height, width = loaded.sizes[0]
    is_inside = ((left >= 0) & (top >= 0) & (right <= width) & (bottom <= height)).all()
    return None if is_inside else f"boxes {loaded.boxes.tolist()} in {width}x{height}"

"""Broken ZIP archives of pictures.

The oracle: the bytes that a name gives are those that were put in under that name, or under one that means
the same; or an error says that they are not, as where two members have the name.
"""

import io
import random
import struct
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from hrdet_cli.engine.data.images import open_images
from hrdet_cli.errors import DataError
from tests.faults.fuzz import Case
from tests.faults.mutation import damage

_NAMES = ("0.jpg", "1.jpg", "2.jpg", "ä 3.jpg", "b/4.jpg")
_ODD_NAMES = ("../1.jpg", "/etc/passwd", "a\\1.jpg", "C:1.jpg", "x" * 3000, "\x01.jpg", "./1.jpg")
_ENTRY, _END = b"PK\x01\x02", b"PK\x05\x06"
_ENTRY_FIELDS = {  # of the central directory: place and struct code, as APPNOTE 4.3.12 has them
    "version": (6, "<H"),
    "flags": (8, "<H"),
    "method": (10, "<H"),
    "CRC": (16, "<I"),
    "stored size": (20, "<I"),
    "size": (24, "<I"),
    "length of the name": (28, "<H"),
    "length of the extra field": (30, "<H"),
    "disk": (34, "<H"),
    "attributes": (38, "<I"),
    "offset": (42, "<I"),
}
_END_FIELDS = {
    "disk": (4, "<H"),
    "entries": (10, "<H"),
    "directory size": (12, "<I"),
    "directory": (16, "<I"),
}
_LOCAL_FIELDS = {
    "flags": (6, "<H"),
    "length of the name": (26, "<H"),
    "length of the extra field": (28, "<H"),
}


class Fuzzed:
    """See ``fuzz.Kind``."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "pictures.zip"

    def case(self, rng: random.Random) -> Case:
        """An archive of five pictures with one thing wrong."""
        folder = rng.choice(("", "", "pictures/", "other/"))
        content = {name: rng.randbytes(rng.choice((1, 50, 300))) for name in _NAMES}
        what, written = self._write(rng, folder, content)
        raw = self._path.read_bytes()
        for _ in range(rng.choice((0, 1, 1, 2))):
            change, raw = _changed(rng, raw)
            what = f"{what}; {change}"
        self._path.write_bytes(raw)
        return Case(what, [str(self._path)], lambda: self._attempt(written))

    def _write(
        self, rng: random.Random, folder: str, content: dict[str, bytes]
    ) -> tuple[str, dict[str, bytes]]:
        what = rng.choice(("plain", "plain", "twice", "odd name", "folders", "method", "zip64", "comment"))
        with zipfile.ZipFile(self._path, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as made:
            for name, data in content.items():
                with made.open(zipfile.ZipInfo(folder + name), "w", force_zip64=what == "zip64") as member:
                    member.write(data)
            if what == "twice":
                content = {**content, "1.jpg": b"later"}
                with warnings.catch_warnings(action="ignore"):
                    made.writestr(folder + "1.jpg", b"later")
            elif what == "odd name":
                name = rng.choice(_ODD_NAMES)
                made.writestr(name, b"odd")
                if name == "./1.jpg" and folder:
                    content = {**content, "1.jpg": b"odd"}
            elif what == "folders":
                made.mkdir(f"{folder}1.jpg")
            elif what == "method":
                content = {**content, "5.jpg": b"5"}
                made.writestr(folder + "5.jpg", b"5", rng.choice((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
            elif what == "comment":
                made.comment = rng.choice((b"PK\x05\x06" * 30, b"PK\x01\x02", rng.randbytes(60)))
        return what, content

    def _attempt(self, written: dict[str, bytes]) -> str | None:
        images = open_images(self._path)
        missing = images.find(list(written)).missing
        refused: DataError | None = None
        for name, data in written.items():
            try:
                if (found := images.read(name)) != data:
                    return f"{name} has {found!r:.40}, {data!r:.40} was put in"
                if name in missing:
                    return f"{name} is read but said to be missing"
            except DataError as error:
                refused = error
        if refused is not None:
            raise refused
        return None


def _changed(rng: random.Random, raw: bytes) -> tuple[str, bytes]:
    kinds: dict[str, Callable[[], tuple[str, bytes]]] = {
        "entry": lambda: _set_field(rng, raw, _ENTRY, _ENTRY_FIELDS),
        "end": lambda: _set_field(rng, raw, _END, _END_FIELDS),
        "local": lambda: _set_field(rng, raw, b"PK\x03\x04", _LOCAL_FIELDS),
        "rename": lambda: _rename_in_directory(rng, raw),
        "junk before": lambda: ("junk before", rng.randbytes(50) + raw),
        "cut": lambda: ("cut", raw[: rng.randrange(len(raw) + 1)]),
        "bytes": lambda: damage(rng, raw),
        "bytes of the directory": lambda: _damage_directory(rng, raw),
    }
    return kinds[rng.choice(list(kinds))]()


def _positions(raw: bytes, signature: bytes) -> Sequence[int]:
    found, start = [], raw.find(signature)
    while start >= 0:
        found.append(start)
        start = raw.find(signature, start + 1)
    return found


def _set_field(
    rng: random.Random, raw: bytes, signature: bytes, fields: dict[str, tuple[int, str]]
) -> tuple[str, bytes]:
    name, (place, code) = rng.choice(list(fields.items()))
    positions = _positions(raw, signature)
    if not positions:
        return "nothing", raw
    position, changed = rng.choice(positions) + place, io.BytesIO(raw)
    most = 256 ** struct.calcsize(code) - 1
    value = rng.choice((0, 1, 8, 99, most, most // 2, rng.randrange(most), len(raw) & most))
    changed.seek(position)
    changed.write(struct.pack(code, value))
    return f"{name} = {value}", changed.getvalue()


def _rename_in_directory(rng: random.Random, raw: bytes) -> tuple[str, bytes]:
    """Give a member another's name in the directory, but not where it lies."""
    start = (_positions(raw, _ENTRY) or [len(raw)])[0]
    one, two = rng.sample((b"0.jpg", b"1.jpg", b"2.jpg"), 2)
    swapped = raw[start:].replace(one, b"*").replace(two, one).replace(b"*", two)
    return f"{one!r} and {two!r} exchanged in the directory", raw[:start] + swapped


def _damage_directory(rng: random.Random, raw: bytes) -> tuple[str, bytes]:
    start = (_positions(raw, _ENTRY) or [0])[0]
    what, changed = damage(rng, raw[start:])
    return f"{what} in the directory", raw[:start] + changed

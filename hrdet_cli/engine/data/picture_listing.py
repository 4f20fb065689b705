"""Which files of a folder or an archive are pictures, as far as their names tell."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from PIL import Image

from hrdet_cli.engine.data.folder_images import list_files
from hrdet_cli.engine.data.zip_images import list_members

_NOT_DECODED = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
"""Formats that Pillow only tells apart, or has another program run for."""
_READ_AS_OTHERS = (".mpo",)  # as JPEG


@dataclass(frozen=True, slots=True)
class PictureListing:
    """What lies at an image root.

    Attributes:
        names: Pictures, relative to the root, in alphabetical order.
        skipped: How many files are no pictures, by ending in small letters; some are ``hidden`` or ``without
            ending``.
        unreadable: Folders that could not be looked into.
    """

    names: list[str]
    skipped: Mapping[str, int]
    unreadable: list[str]


def list_pictures(root: Path) -> PictureListing:
    """List the pictures in a folder and its subfolders, or in an archive; opens none of them.

    Args:
        root: Folder or archive; links to folders count as subfolders, as `list_files` follows them.
    """
    unreadable: list[str] = []
    if root.is_dir():
        files = list(list_files(root, unreadable))
    else:
        files = [info.filename for info in list_members(root) if info.filename]
    names = sorted({name for name in files if looks_like_picture(name)})
    skipped = Counter(_kind_of_name(name) for name in files if not looks_like_picture(name))
    return PictureListing(names, dict(sorted(skipped.items())), unreadable)


def looks_like_picture(name: str) -> bool:
    """Whether a file's name is that of a picture; what macOS puts beside pictures is none."""
    return PurePosixPath(name).suffix.lower() in picture_endings() and not _is_extra_of_macos(name)


@lru_cache(maxsize=1)
def picture_endings() -> frozenset[str]:
    """Endings of all formats that Pillow decodes here, in small letters."""
    Image.init()
    readable = Image.OPEN.keys() - set(_NOT_DECODED)
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in readable}
    return frozenset(endings | set(_READ_AS_OTHERS))


def _is_extra_of_macos(name: str) -> bool:
    path = PurePosixPath(name)
    return path.name.startswith("._") or "__MACOSX" in path.parts


def _kind_of_name(name: str) -> str:
    path = PurePosixPath(name)
    if path.name.startswith(".") or _is_extra_of_macos(name):
        return "hidden"
    return path.suffix.lower() or "without ending"

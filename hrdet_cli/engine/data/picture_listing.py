"""Which files of a folder or an archive are pictures, as far as their names tell."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hrdet_cli.engine.data.zip_images import list_members

_PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class PictureListing:
    """What lies at an image root.

    Attributes:
        names: Pictures, relative to the root, in alphabetical order.
        num_others: How many files are no pictures.
        unreadable: Folders that could not be looked into.
    """

    names: list[str]
    num_others: int
    unreadable: list[str]


def list_pictures(root: Path) -> PictureListing:
    """List the pictures in a folder and its subfolders, or in an archive; opens none of them."""
    unreadable: list[str] = []
    if root.is_dir():
        walk = os.walk(root, onerror=lambda error: unreadable.append(str(error.filename)))
        files = [
            (Path(folder).relative_to(root) / file).as_posix() for folder, _, some in walk for file in some
        ]
    else:
        files = [info.filename for info in list_members(root) if info.filename]
    names = sorted({name for name in files if looks_like_picture(name)})
    num_others = sum(not looks_like_picture(name) for name in files)
    return PictureListing(names, num_others, unreadable)


def looks_like_picture(name: str) -> bool:
    """Whether a file's name is that of a picture; what macOS puts beside pictures is none."""
    path = PurePosixPath(name)
    is_extra_of_macos = path.name.startswith("._") or "__MACOSX" in path.parts
    return path.suffix.lower() in _PICTURE_ENDINGS and not is_extra_of_macos

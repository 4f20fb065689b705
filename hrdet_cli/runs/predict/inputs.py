"""The pictures that paths mean, what results call them, and where each is drawn."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hrdet_cli.engine.data.folder_images import FolderImages
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.picture_listing import PictureListing, list_pictures
from hrdet_cli.errors import DataError, OutputError
from hrdet_cli.file_kinds import why_no_file
from hrdet_cli.wording import counted, first_and_count

DETECTIONS = "detections.json"
DRAWN = "drawn"
"""What results are called: a file, and the folder of the drawn pictures beside it."""

_REMEDIES = {
    "convert them to JPEG or PNG first": frozenset(
        (".heic", ".heif", ".hif", ".avif", ".jxl", ".svg", ".pdf", ".eps", ".cr2", ".cr3", ".nef", ".dng")
    ),
    "take pictures out of them first": frozenset((".mp4", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")),
    "name them too, or unpack them": frozenset((".zip",)),
    "unpack them first": frozenset((".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")),
}
_LOSSLESS_ENDINGS = ("png", "bmp", "gif")
_MAX_PART_BYTES = 200  # file systems take 255; some are left for a number and an ending
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # a path has lost the second slash
_SEPARATORS = re.compile(r"[/\\]")
_ODD_CHARACTERS = re.compile(r'[\x00-\x1f\x7f<>:"|?*\ud800-\udfff]')  # the last for bytes that are no text


@dataclass(frozen=True, slots=True)
class PictureInput:
    """A picture to look at.

    Attributes:
        number: Counted from 1; its image id in the results.
        name: What results call it.
        images: Where it is.
        member: Its name there.
        drawn: Where it is drawn, relative to the folder of the drawn pictures.
    """

    number: int
    name: str
    images: ImageSource
    member: str
    drawn: PurePosixPath


@dataclass(frozen=True, slots=True)
class FoundInputs:
    """What the given paths hold.

    Attributes:
        pictures: Each once, in the order of the paths and by name within each.
        skipped: How many files in folders and archives are no pictures, as their names tell, by ending.
    """

    pictures: tuple[PictureInput, ...]
    skipped: Mapping[str, int]

    def notices(self) -> Iterator[str]:
        """What to do with pictures and the like that were skipped."""
        for remedy, endings in _REMEDIES.items():
            counts = {ending: self.skipped[ending] for ending in sorted(endings & self.skipped.keys())}
            if counts:
                yield f"skipped {describe_skipped(counts)}: {remedy}"


@dataclass(frozen=True, slots=True)
class _Place:
    """A picture before it is numbered."""

    name: str
    images: ImageSource
    member: str


def find_pictures(sources: Sequence[Path], *, drawn: Path) -> FoundInputs:
    """Look for pictures without opening any.

    Results call a picture of the only folder or archive by its path in there, so that this is their image
    root, and any other by its path as given: ``folder/sub/1.jpg``, ``archive.zip/1.jpg``.

    Args:
        sources: Pictures, whatever they are called; folders, which are searched with their subfolders; and
            ``.zip`` archives.
        drawn: Folder that pictures are drawn into; what lies in there is not looked at, nor what an earlier
            call has drawn into a folder beside its ``detections.json``.

    Raises:
        DataError: A path is none of these, an archive is damaged, or there is no picture.
        OutputError: A source lies in ``drawn``, where it could be drawn over.
    """
    places: dict[str, _Place] = {}
    skipped: Counter[str] = Counter()
    for source in sources:
        if source.resolve().is_relative_to(drawn.resolve()):
            raise OutputError(f"{source}: lies in {drawn}, where pictures are drawn; choose another --out")
        if source.is_file() and source.suffix.lower() != ".zip":
            place = _Place(str(source), FolderImages(source.parent), source.name)
            places.setdefault(place.name, place)
            continue
        images, listing = _open(source)
        skipped.update(listing.skipped)
        prefix = "" if len(sources) == 1 else f"{source}/"
        for name in listing.names:
            if source.is_file() or not _is_drawn(source, name, drawn):
                places.setdefault(prefix + name, _Place(prefix + name, images, name))
    if not places:
        others = f" ({describe_skipped(skipped)})" if skipped else ""
        raise DataError(
            f"{', '.join(map(str, sources))}: holds no picture that can be read here{others}; a file with an "
            "unusual ending is tried when it is named itself"
        )
    names = _drawn_names([place.member for place in places.values()])
    pictures = [
        PictureInput(number, place.name, place.images, place.member, name)
        for number, (place, name) in enumerate(zip(places.values(), names, strict=True), start=1)
    ]
    return FoundInputs(tuple(pictures), dict(sorted(skipped.items())))


def describe_skipped(skipped: Mapping[str, int]) -> str:
    """``3 files: 2 .heic, 1 .txt``, the most frequent first."""
    kinds = sorted(skipped.items(), key=lambda kind: -kind[1])
    counts = [f"{count:,} {kind}" for kind, count in kinds]
    return f"{counted(sum(skipped.values()), 'file')}: {first_and_count(counts)}"


def _is_drawn(root: Path, name: str, drawn: Path) -> bool:
    """Whether a picture in a folder is a drawn one, of this call or of an earlier one."""
    folders = (root / folder for folder in PurePosixPath(name).parents if folder.name == DRAWN)
    return (root / name).resolve().is_relative_to(drawn.resolve()) or any(
        folder.with_name(DETECTIONS).is_file() for folder in folders
    )


def refuse_missing_pictures(source: Path) -> None:
    """A picture, folder or archive must be there.

    Raises:
        DataError: It is not.
    """
    if not source.exists() and _ADDRESS.match(str(source)):
        raise DataError(f"{source}: is an address; fetch the pictures first, and give their files")
    if not source.exists():
        raise DataError(f"{source}: {why_no_file(source)}; name pictures, folders or .zip archives")


def _open(source: Path) -> tuple[ImageSource, PictureListing]:
    """A folder or an archive, and what it holds."""
    refuse_missing_pictures(source)
    images, listing = open_images(source), list_pictures(source)
    if listing.unreadable:
        raise DataError(
            f"{listing.unreadable[0]}: cannot be looked into; name other folders, or mend this one"
        )
    return images, listing


def _drawn_names(paths: Sequence[str]) -> Iterator[PurePosixPath]:
    """A name for each drawn picture: alike, but safe in any folder and different from all others.

    Names out of an archive may lead anywhere, so only their parts are used.  Names that differ in capitals,
    in the spelling of an accent or in an ending that is not kept are the same to some file system: the later
    ones get numbers.
    """
    wanted = [_safe_path(path) for path in paths]
    taken = {_folded(folder) for path in wanted for folder in path.parents}
    for path in wanted:
        name, number = path, 1
        while _folded(name) in taken:
            number += 1
            name = path.with_name(f"{path.stem}-{number}{path.suffix}")
        taken.add(_folded(name))
        yield name


def _safe_path(path: str) -> PurePosixPath:
    parts = [_ODD_CHARACTERS.sub("_", part).strip(" .") for part in _SEPARATORS.split(path)]
    *folders, name = [part for part in parts if part] or [""]
    stem, dot, ending = name.rpartition(".")
    suffix = ".png" if ending.lower() in _LOSSLESS_ENDINGS else ".jpg"
    return PurePosixPath(*map(_shortened, folders), _shortened(stem if dot else name or "picture") + suffix)


def _shortened(part: str) -> str:
    return part.encode()[:_MAX_PART_BYTES].decode("utf-8", "ignore")


def _folded(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()

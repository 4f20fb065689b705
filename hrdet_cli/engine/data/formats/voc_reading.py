"""From VOC's documents to entries of a COCO file."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePath

from hrdet_cli.engine.data.annotation_file import CategoryEntry, ImageEntry
from hrdet_cli.engine.data.checking.problems import (
    BROKEN_LABEL_FILE,
    UNKNOWN_CATEGORY,
    UNREADABLE_PICTURE,
)
from hrdet_cli.engine.data.formats.picture_headers import read_sizes
from hrdet_cli.engine.data.formats.reading import Fault, OutlinedEntry, Reading
from hrdet_cli.engine.data.formats.voc_xml import FaultyObject, VocObject, VocPicture
from hrdet_cli.engine.data.picture_listing import list_pictures
from hrdet_cli.engine.data.places import Place
from hrdet_cli.engine.geometry import Size
from hrdet_cli.wording import counted


def read_documents(
    parsed: Mapping[Place, VocPicture | str],
    class_names: Sequence[str],
    *,
    images: Path,
    class_place: Callable[[int], Place],
    remarks: Sequence[str],
    fingerprint: str,
) -> Reading:
    """Read the documents of one part.

    An object that is ``difficult`` becomes a crowd region: nobody learns it, and to find it or not is no
    fault. (VOC leaves a detection out of the score whose overlap with it is above the threshold; COCO one of
    which more than that share lies in it.)

    Args:
        parsed: What each says, or why it cannot be read.
        class_names: K names by label.
        images: Folder of the pictures.
        class_place: Where a class stands, by its label.
        remarks: What was decided before, a sentence each.
        fingerprint: Of the part.
    """
    faults: list[Fault] = []
    documents: dict[Place, VocPicture] = {}
    for place, document in parsed.items():
        if isinstance(document, str):
            faults.append(Fault(BROKEN_LABEL_FILE, place, document))
        else:
            documents[place] = document
    names = _picture_names(documents, images)
    sizes, num_measured = _sizes_of(documents, names, images, faults)
    label_by_name = {name: label for label, name in enumerate(class_names)}
    annotations: list[OutlinedEntry] = []
    places: list[Place] = []
    for image_id, place in enumerate(sizes, start=1):
        for each in documents[place].objects:
            item = Place(place.file, f"object {each.number}" + (f" ({each.name})" if each.name else ""))
            if isinstance(each, FaultyObject):
                faults.append(Fault(each.kind, item, each.what))
            elif each.name not in label_by_name:
                faults.append(
                    Fault(UNKNOWN_CATEGORY, item, f"{class_place(0).file} does not list {each.name!r:.60}")
                )
            else:
                places.append(item)
                annotations.append(_entry_of(each, len(places), image_id, label_by_name[each.name] + 1))
    picture_places = list(sizes)
    return Reading(
        images=[
            ImageEntry(image_id, names[place], size.height, size.width)
            for image_id, (place, size) in enumerate(sizes.items(), start=1)
        ],
        annotations=annotations,
        categories=[CategoryEntry(label + 1, name) for name, label in label_by_name.items()],
        places={
            "images": picture_places.__getitem__,
            "annotations": places.__getitem__,
            "categories": class_place,
        },
        faults=faults,
        notes=(*remarks, *_notes_of(annotations, num_measured)),
        fingerprint=fingerprint,
        unread=Counter(chain.from_iterable(documents[place].all_unread for place in sizes)),
    )


def _picture_names(documents: Mapping[Place, VocPicture], images: Path) -> dict[Place, str]:
    """The picture of each document: the one of its name, as VOC's own readers have it.

    Where several have the name, with other endings, ``filename`` says which.
    """
    found: dict[str, list[str]] = {}
    for name in list_pictures(images).names:
        found.setdefault(PurePath(name).stem, []).append(name)
    return {place: _picture_name(place, document, found) for place, document in documents.items()}


def _picture_name(place: Place, document: VocPicture, found: Mapping[str, Sequence[str]]) -> str:
    own_name = PurePath(place.file).stem
    pictures = found.get(own_name, [])
    if len(pictures) == 1:
        return pictures[0]
    return document.file_name or f"{own_name}.jpg"


def _sizes_of(
    documents: Mapping[Place, VocPicture], names: Mapping[Place, str], images: Path, faults: list[Fault]
) -> tuple[dict[Place, Size], int]:
    """Sizes of pictures, and how many of them no document says; those that have none are left out."""
    unsaid = [place for place, document in documents.items() if document.size is None]
    measured = dict(zip(unsaid, read_sizes([str(images / names[place]) for place in unsaid]), strict=True))
    sizes: dict[Place, Size] = {}
    for place, document in documents.items():
        size = document.size or measured[place]
        if isinstance(size, Size):
            sizes[place] = size
        else:
            what = f"has no size, and picture {names[place]} {size}"
            faults.append(Fault(UNREADABLE_PICTURE, place, what))
    return sizes, len(unsaid)


def _entry_of(each: VocObject, annotation_id: int, image_id: int, category_id: int) -> OutlinedEntry:
    return OutlinedEntry(
        id=annotation_id,
        image_id=image_id,
        category_id=category_id,
        bbox=each.box,
        iscrowd=int(each.is_difficult),
    )


def _notes_of(annotations: Sequence[OutlinedEntry], num_measured: int) -> Iterator[str]:
    num_difficult = sum(entry.iscrowd for entry in annotations)
    if num_difficult:
        yield f"{counted(num_difficult, 'difficult object')}: crowd regions, neither learnt nor scored"
    if num_measured:
        yield f"{counted(num_measured, 'document')} without a size: the picture's own was taken"

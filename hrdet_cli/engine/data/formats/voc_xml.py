"""Pascal VOC's annotation of one picture: an XML document with an ``object`` for each object.

Coordinates are the numbers of pixels, counted from 1, and both ends belong to the box: ``xmin`` 1 and
``xmax`` W are a box as wide as the picture (VOC 2007's development kit, section "Annotation"; detectron2's
``pascal_voc.py`` reads them so). In COCO's terms x is ``xmin - 1`` and the width ``xmax - xmin + 1``.
"""

import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from xml.etree import ElementTree

from hrdet_cli.engine.data.annotation_values import MAX_COORDINATE
from hrdet_cli.engine.data.checking.problems import BROKEN_ANNOTATION, ProblemKind
from hrdet_cli.engine.data.formats.reading import COORDINATE_DECIMALS
from hrdet_cli.engine.geometry import Size
from hrdet_cli.wording import is_showable, shortened

_READ_OF_DOCUMENTS = ("folder", "filename", "path", "size", "object")
_READ_OF_OBJECTS = ("name", "difficult", "bndbox")
_SAYS_NOTHING = ("", "0", "Unspecified")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True)
class VocObject:
    """An object.

    Attributes:
        number: Of its ``object`` element, from 1 on.
        name: Of its class.
        box: COCO's ``[x, y, width, height]`` in pixels.
        is_difficult: Whether it is neither to be found nor a fault if it is.
        unread: What else its element says, in words.
    """

    number: int
    name: str
    box: list[float]
    is_difficult: bool
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FaultyObject:
    """One that cannot be used.

    Attributes:
        name: Of its class; empty where it has none.
        unread: See ``VocObject``.
    """

    number: int
    name: str
    kind: ProblemKind
    what: str
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VocPicture:
    """What a document says.

    Attributes:
        file_name: As ``filename`` has it; empty where it does not say.
        size: None where it does not say, or says 0.
        unread: What else it says, in words; of objects, they say it.
    """

    file_name: str
    size: Size | None
    objects: tuple[VocObject | FaultyObject, ...]
    unread: tuple[str, ...] = ()

    @property
    def class_names(self) -> set[str]:
        """Of all its objects."""
        return {each.name for each in self.objects if each.name}

    @property
    def all_unread(self) -> Iterator[str]:
        """What it and its objects say besides, in words."""
        return chain(self.unread, *(each.unread for each in self.objects))


class _NoDoctype(ElementTree.TreeBuilder):
    """Builds documents without a DOCTYPE alone: it may define entities, which grow without bounds."""

    def doctype(self, name: str, _public: str | None, _system: str | None) -> None:
        """Called before anything in it is read."""
        raise ValueError(f"has a DOCTYPE ({shortened(name)}), which no annotation needs. Take it out")


def read_voc_xml(text: bytes) -> VocPicture:
    """The annotation of a picture.

    Raises:
        ValueError: It is not well-formed XML, has a DOCTYPE or another root; to go behind the file's name.
    """
    parser = ElementTree.XMLParser(target=_NoDoctype())  # noqa: S314 - what entities could do is refused
    try:
        parser.feed(text)
        root = parser.close()
    except (ElementTree.ParseError, LookupError) as error:  # the latter of unknown encodings
        raise ValueError(f"is not well-formed XML: {error}") from error
    if root.tag != "annotation":
        raise ValueError(f"is not VOC's XML: its root is <{shortened(str(root.tag))}>, not <annotation>")
    return VocPicture(
        file_name=_text(root, "filename"),
        size=_size_of(root),
        objects=tuple(_objects_of(root)),
        unread=_unread(root, _READ_OF_DOCUMENTS, "documents"),
    )


def _size_of(root: ElementTree.Element) -> Size | None:
    """What ``size`` says.

    Raises:
        ValueError: It is there and no size.
    """
    edges = [_text(root, f"size/{edge}") for edge in ("height", "width")]
    if all(edge in ("", "0") for edge in edges):
        return None
    if not all(edge.isascii() and edge.isdigit() and int(edge) for edge in edges):
        raise ValueError(f"size: height {edges[0]!r:.40}, width {edges[1]!r:.40}; expected whole numbers")
    return Size(*map(int, edges))


def _objects_of(root: ElementTree.Element) -> Iterator[VocObject | FaultyObject]:
    for number, element in enumerate(root.findall("object"), start=1):
        name = _text(element, "name")
        try:
            if not (name and is_showable(name)):
                raise ValueError("name is missing" if not name else f"name is {name!r:.60}")
            unread = _unread(element, _READ_OF_OBJECTS, "objects")
            yield VocObject(number, name, _box_of(element), _flag(element, "difficult"), unread)
        except ValueError as error:
            yield FaultyObject(number, name if is_showable(name) else "", BROKEN_ANNOTATION, str(error))


def _unread(element: ElementTree.Element, read: Collection[str], noun: str) -> tuple[str, ...]:
    """What of an element nobody reads, and says something."""
    return tuple(
        sys.intern(f"<{shortened(inner.tag)}> of {noun}, left out")
        for inner in element
        if inner.tag not in read and (len(inner) or (inner.text or "").strip() not in _SAYS_NOTHING)
    )


def _box_of(element: ElementTree.Element) -> list[float]:
    boxes = element.findall("bndbox")
    if len(boxes) != 1:
        raise ValueError("bndbox is missing" if not boxes else "bndbox is given more than once")
    left, top, right, bottom = (_number(boxes[0], corner) for corner in _CORNERS)
    box = [left - 1, top - 1, right - left + 1, bottom - top + 1]
    return [round(value, COORDINATE_DECIMALS) for value in box]


def _number(element: ElementTree.Element, tag: str) -> float:
    text = _text(element, tag)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not -MAX_COORDINATE < value < MAX_COORDINATE:
        raise ValueError(f"bndbox/{tag} is {f'{text!r:.60}' if text else 'missing'}; expected a number")
    return value


def _flag(element: ElementTree.Element, tag: str) -> bool:
    text = _text(element, tag)
    if text not in ("", "0", "1"):
        raise ValueError(f"{tag} is {text!r:.60}; expected 0 or 1")
    return text == "1"


def _text(element: ElementTree.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()

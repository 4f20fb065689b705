"""Pascal VOC's annotation of one picture: an XML document with an ``object`` for each object.

Coordinates are the numbers of pixels, counted from 1, and both ends belong to the box: ``xmin`` 1 and
``xmax`` W are a box as wide as the picture (VOC 2007's development kit, section "Annotation"; detectron2's
``pascal_voc.py`` reads them so). In COCO's terms x is ``xmin - 1`` and the width ``xmax - xmin + 1``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from hrdet_cli.engine.data.annotation_values import MAX_COORDINATE
from hrdet_cli.engine.data.checking.problems import BROKEN_ANNOTATION, ProblemKind
from hrdet_cli.engine.data.formats.reading import COORDINATE_DECIMALS
from hrdet_cli.engine.geometry import Size
from hrdet_cli.wording import is_showable, shortened

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True)
class VocObject:
    """An object.

    Attributes:
        number: Of its ``object`` element, from 1 on.
        name: Of its class.
        box: COCO's ``[x, y, width, height]`` in pixels.
        is_difficult: Whether it is neither to be found nor a fault if it is.
    """

    number: int
    name: str
    box: list[float]
    is_difficult: bool


@dataclass(frozen=True, slots=True)
class FaultyObject:
    """One that cannot be used.

    Attributes:
        name: Of its class; empty where it has none.
    """

    number: int
    name: str
    kind: ProblemKind
    what: str


@dataclass(frozen=True, slots=True)
class VocPicture:
    """What a document says.

    Attributes:
        file_name: As ``filename`` has it; empty where it does not say.
        size: None where it does not say, or says 0.
    """

    file_name: str
    size: Size | None
    objects: tuple[VocObject | FaultyObject, ...]

    @property
    def class_names(self) -> set[str]:
        """Of all its objects."""
        return {each.name for each in self.objects if each.name}


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
            yield VocObject(number, name, _box_of(element), _flag(element, "difficult"))
        except ValueError as error:
            yield FaultyObject(number, name if is_showable(name) else "", BROKEN_ANNOTATION, str(error))


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

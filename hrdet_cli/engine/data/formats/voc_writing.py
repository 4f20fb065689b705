"""A picture's annotations as Pascal VOC's XML; `voc_xml` says what the coordinates mean."""

from collections.abc import Sequence
from xml.etree import ElementTree

from hrdet_cli.engine.data.formats.conversion import DescribedPicture, Losses
from hrdet_cli.engine.data.formats.reading import COORDINATE_DECIMALS


def voc_document(
    picture: DescribedPicture, class_names: Sequence[str], losses: Losses, *, file_name: str
) -> bytes:
    """The document of a picture; crowd regions become difficult objects.

    Args:
        picture: With its objects.
        class_names: By label.
        losses: Is told what has no place there.
        file_name: Of the picture in its new place.
    """
    root = ElementTree.Element("annotation")
    _add(root, "filename", file_name)
    size = ElementTree.SubElement(root, "size")
    _add(size, "width", picture.size.width)
    _add(size, "height", picture.size.height)
    _add(size, "depth", 3)
    for each in picture.objects:
        element = ElementTree.SubElement(root, "object")
        _add(element, "name", class_names[each.label])
        _add(element, "difficult", int(each.is_crowd))
        box = ElementTree.SubElement(element, "bndbox")
        x, y, width, height = each.box
        corners = {"xmin": x + 1, "ymin": y + 1, "xmax": x + width, "ymax": y + height}
        for tag, value in corners.items():
            _add(box, tag, _plain(value))
        losses["masks, left out"] += each.segmentation is not None
        losses["areas, which become those of their boxes"] += each.has_other_area(width * height)
    ElementTree.indent(root)
    return f"{ElementTree.tostring(root, encoding='unicode')}\n".encode()


def _add(parent: ElementTree.Element, tag: str, value: object) -> None:
    ElementTree.SubElement(parent, tag).text = str(value)


def _plain(value: float) -> float:
    """Without what adding up left behind, and without a point where it is whole."""
    rounded = round(float(value), COORDINATE_DECIMALS)
    return int(rounded) if rounded.is_integer() else rounded

"""Annotations in other formats than COCO's, told by what they hold, for errors to call them what they are."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hrdet_cli.file_kinds import FileKind
from hrdet_cli.wording import first_few

_GIVE = "Give the JSON file with images, annotations and categories."
_CONVERT = "Export the whole data set from its tool as COCO JSON, YOLO or Pascal VOC."
_RESULTS = (
    "They are what a detector found, without pictures and categories: give the annotations of the pictures."
)
_NUM_CHARACTERS_LOOKED_AT = 4000
_NUMBER = r"-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?"
_YOLO_LINE = re.compile(rf"\d+(\s+{_NUMBER}){{4,}}\s*", re.IGNORECASE)
_DOTA_LINE = re.compile(rf"(imagesource|gsd):.*|({_NUMBER}\s+){{8}}\S+(\s+[012])?\s*", re.IGNORECASE)
_KITTI_LINE = re.compile(rf"[A-Za-z_]+(\s+{_NUMBER}){{14,15}}\s*", re.IGNORECASE)
_YOLO_KEYS = re.compile(r"(names|nc|train|val|test|path|roboflow)\s*:")
_YAML_LINE = re.compile(r"[A-Za-z_][\w.-]*\s*:(\s.*)?|- .*")
_KIND_BY_LINE = {
    _YOLO_LINE: FileKind("YOLO's labels of one picture", "Give the data.yaml of the data set."),
    _DOTA_LINE: FileKind("DOTA's labels of one picture", _CONVERT),
    _KITTI_LINE: FileKind("KITTI's labels of one picture", _CONVERT),
}
_PICTURE_LINE = re.compile(r".*\.(jpe?g|png|bmp|tiff?|webp|gif)\s*", re.IGNORECASE)


def wrong_format(path: Path, what: str, remedy: str = "") -> str:
    """An error's words: a file or folder is ``what`` and not COCO's JSON."""
    is_of_others = what.endswith(("XML", "XML of one picture"))
    return f"{path} is {what}, not COCO annotations. {remedy or (_CONVERT if is_of_others else _GIVE)}"


def format_of_text(text: bytes) -> FileKind | None:
    """The format of a text that is not JSON; None where it is not known.

    Args:
        text: UTF-8.
    """
    start = text[:_NUM_CHARACTERS_LOOKED_AT].decode(errors="replace")
    lines = [line for line in start.splitlines() if line.strip()]
    if len(text) > _NUM_CHARACTERS_LOOKED_AT and len(lines) > 1:
        lines.pop()  # may be cut
    if not lines:
        return FileKind("nothing but white space", "Copy or download it again.")
    if start.lstrip().startswith(("{'", "[{'")):
        return FileKind("Python's notation and not JSON", "Write it with json.dump.")
    if lines[0].lstrip().startswith(("{", "[")):
        return _format_of_json_lines(text)
    for pattern, kind in _KIND_BY_LINE.items():
        if all(pattern.fullmatch(line.strip()) for line in lines):
            return kind
    if len({match.group(1) for line in lines if (match := _YOLO_KEYS.match(line))}) >= 2:
        return FileKind("YOLO's data.yaml", "Give it a name that ends in .yaml, and it is read as that.")
    if all(_PICTURE_LINE.fullmatch(line) for line in lines) and "," not in lines[0]:
        return FileKind("a list of picture names", _GIVE)
    for separator in (",", ";", "\t"):
        counts = {line.count(separator) for line in lines}
        if len(counts) == 1 and counts.pop() >= 2:
            return FileKind("a table (CSV)", _CONVERT)
    is_yaml = all(_YAML_LINE.fullmatch(line) for line in lines if line[0] not in " #")
    return FileKind("YAML or the like", _GIVE) if is_yaml else None


def format_of(content: Any) -> FileKind | None:
    """What JSON is that is not a COCO object; None for an object that may be one, broken or not.

    Args:
        content: The document, as ``json`` reads it.
    """
    if isinstance(content, list):
        return _format_of_list(content)
    if not isinstance(content, dict):
        return FileKind(f"JSON, but one value ({content!r:.30}) and no object", _GIVE)
    found = {"images", "annotations", "categories"} & content.keys()
    first = _first_annotation(content)
    if "bbox" not in first and "caption" in first:
        return FileKind("COCO's captions, which have no boxes", "Give COCO's instances_*.json.")
    if "bbox" not in first and "segments_info" in first:
        return FileKind("COCO's panoptic annotations", "Give the instances_*.json of the same pictures.")
    if found == {"images", "categories"}:
        return FileKind(
            "a list of pictures without annotations, as COCO has it of its test pictures",
            "hrdet predict takes pictures without annotations.",
        )
    if len(found) == 3:
        return None
    for name, is_it in _OBJECTS.items():
        if is_it(content):
            return FileKind(name, _CONVERT)
    if not found:
        keys = f"with the keys {first_few(list(content))}" if content else "that is empty"
        return FileKind(f"JSON, but an object {keys}", _GIVE)
    return None


def _format_of_json_lines(text: bytes) -> FileKind | None:
    """Whether there are several documents, a line each; only the first is read."""
    first, _, rest = text.lstrip().partition(b"\n")
    if not rest.lstrip().startswith((b"{", b"[")):
        return None
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return None
    return FileKind("JSON Lines, a document a line", _CONVERT)


def _format_of_list(content: list[Any]) -> FileKind:
    first = content[0] if content and isinstance(content[0], dict) else {}
    if "image_id" in first and "score" in first:
        return FileKind("a list of detections (COCO's results)", _RESULTS)
    if "image_id" in first and "bbox" in first:
        return FileKind("COCO's list of annotations alone", _GIVE)
    if "file_name" in first and "annotations" in first:
        return FileKind("a list of pictures as detectron2 has it", _CONVERT)
    if "annotations" in first and {"image", "imagefilename"} & first.keys():
        return FileKind("CreateML's JSON", _CONVERT)
    if "data" in first and {"annotations", "completions", "predictions"} & first.keys():
        return FileKind("Label Studio's own JSON", "Export it from Label Studio as COCO.")
    if "filename" in first and "ann" in first:
        return FileKind("mmdetection's own JSON", _CONVERT)
    if "labels" in first and {"name", "url"} & first.keys():
        return FileKind("BDD100K's JSON", _CONVERT)
    if "Labeled Data" in first or "data_row" in first:
        return FileKind("Labelbox's own JSON", _CONVERT)
    holds = f"an object with the keys {first_few(list(first))} first" if first else f"{len(content)} items"
    return FileKind(f"a JSON list ({holds})", _GIVE)


def _is_via(content: Mapping[str, Any]) -> bool:
    entries = content.get("_via_img_metadata", content)
    if "_via_img_metadata" in content or "_via_settings" in content:
        return True
    first = next(iter(entries.values()), None) if isinstance(entries, dict) else None
    return isinstance(first, dict) and {"filename", "regions"} <= first.keys()


_OBJECTS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "LabelMe's JSON of one picture": lambda content: "shapes" in content,
    "VIA's JSON": _is_via,
    "Supervisely's JSON of one picture": lambda content: {"objects", "size"} <= content.keys(),
    "Datumaro's JSON": lambda content: {"items", "categories"} <= content.keys(),
    "Cityscapes' JSON of one picture": lambda content: {"objects", "imgHeight"} <= content.keys(),
    "GeoJSON": lambda content: content.get("type") == "FeatureCollection",
    "mmdetection's own JSON": lambda content: {"metainfo", "data_list"} <= content.keys(),
    "Scalabel's JSON": lambda content: "frames" in content and "annotations" not in content,
}
"""Formats of other tools whose document is an object, by name."""


def _first_annotation(content: Mapping[str, Any]) -> Mapping[str, Any]:
    annotations = content.get("annotations")
    first = annotations[0] if isinstance(annotations, list) and annotations else None
    return first if isinstance(first, dict) else {}

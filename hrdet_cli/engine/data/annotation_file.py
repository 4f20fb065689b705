"""A COCO annotation file as columns of checked values.

msgspec reads the few keys that are used and skips the rest, without making objects of them: a third of the
time that ``json`` takes for COCO's training file, and a quarter of the memory. Polygons, which are most of
it, are skipped too, or stay text until somebody asks for them. What it refuses is read again by ``json``,
which can say where the fault is, and which takes the NaN and Infinity that Python writes: harmless among what
is not used, and otherwise found by the checks here.
"""

import gc
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from hrdet_cli.engine.data.annotation_table import Problems, Table
from hrdet_cli.engine.data.coco_urls import picture_name_in
from hrdet_cli.engine.data.json_text import ObjectWithRepeatedKeys, object_of, read_bytes, utf8_of
from hrdet_cli.engine.data.repeated_keys import (
    RepeatedValues,
    contradictions,
    has_repeated_keys,
    repeated_in_list,
)


class ImageEntry(msgspec.Struct, gc=False):
    """The keys that are used; any value will do here, for all faults of a file are told at once."""

    id: Any = msgspec.UNSET
    file_name: Any = msgspec.UNSET
    height: Any = msgspec.UNSET
    width: Any = msgspec.UNSET
    coco_url: Any = msgspec.UNSET
    neg_category_ids: Any = msgspec.UNSET
    not_exhaustive_category_ids: Any = msgspec.UNSET


class AnnotationEntry(msgspec.Struct, gc=False):
    """Likewise."""

    id: Any = msgspec.UNSET
    image_id: Any = msgspec.UNSET
    category_id: Any = msgspec.UNSET
    bbox: Any = msgspec.UNSET
    area: Any = msgspec.UNSET
    iscrowd: Any = msgspec.UNSET


class _OutlinedAnnotation(AnnotationEntry, gc=False):
    segmentation: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class CategoryEntry(msgspec.Struct, gc=False):
    """Likewise."""

    id: Any = msgspec.UNSET
    name: Any = msgspec.UNSET
    supercategory: Any = msgspec.UNSET
    frequency: Any = msgspec.UNSET


_KIND_BY_LIST: dict[str, type[msgspec.Struct]] = {
    "images": ImageEntry,
    "annotations": AnnotationEntry,
    "categories": CategoryEntry,
}
_FOR_NOTES_ONLY = "supercategory"


def _keys_of(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(key for key in kind.__struct_fields__ if key != _FOR_NOTES_ONLY)


KEYS_BY_LIST = {name: _keys_of(kind) for name, kind in _KIND_BY_LIST.items()}
"""The keys of each list that training or evaluation of boxes uses."""


class _Lists(NamedTuple):
    """What a file holds under the names of its lists, whatever it is, and keys given twice.

    Attributes:
        content: Items of lists are structs, unless they are no objects.
        repeated: Of each list.
        repeated_lists: Names of lists that are given more than once.
        info: Whatever the file says of itself.
    """

    content: Mapping[str, Any]
    repeated: Mapping[str, RepeatedValues]
    repeated_lists: list[str]
    info: Any


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """The three lists of a file, not yet checked.

    Attributes:
        info: Whatever the file says of itself.
        problems: Collects what is wrong with them.
        fingerprint: SHA-256 of the file's bytes, in hexadecimal.
        notes: What was decided where annotations of another format were read, a sentence each.
    """

    images: Table
    annotations: Table
    categories: Table
    info: Any
    problems: Problems
    fingerprint: str
    notes: tuple[str, ...] = ()


def read_annotation_file(
    path: Path, *, images: Path | None = None, with_segmentations: bool = False
) -> AnnotationFile:
    """Read a file and find its three lists of objects.

    Args:
        path: The file.
        images: Its pictures, for the command that errors advise; None where they are not known.
        with_segmentations: Whether annotations keep theirs; they take a second for each ten million numbers.

    Raises:
        DataError: The file cannot be read, is not JSON or has not these lists.
    """
    return annotation_file_of(
        read_bytes(path), path=path, images=images, with_segmentations=with_segmentations
    )


def annotation_file_of(
    raw: bytes, *, path: Path, images: Path | None = None, with_segmentations: bool = False
) -> AnnotationFile:
    """The same of bytes that were read from ``path``.

    Raises:
        DataError: They are not JSON, in one of its encodings, or have not these lists.
    """
    kinds = _KIND_BY_LIST | ({"annotations": _OutlinedAnnotation} if with_segmentations else {})
    lists, problems = _parse(utf8_of(raw, path=path), path, kinds), Problems.of_coco(path, images)
    _name_pictures(lists.content.get("images"))
    for name in lists.repeated_lists:
        problems.add(f"'{name}' is given more than once")

    def table(name: str, *, may_be_empty: bool = False) -> Table:
        repeated = lists.repeated.get(name, {})
        return Table(name, lists.content, problems, repeated=repeated, may_be_empty=may_be_empty)

    file = AnnotationFile(
        images=table("images"),
        annotations=table("annotations", may_be_empty=True),
        categories=table("categories"),
        info=lists.info,
        problems=problems,
        fingerprint=hashlib.sha256(raw).hexdigest(),
    )
    problems.raise_if_any()
    return file


def _name_pictures(images: Any) -> None:
    """Give entries without a name the one that LVIS means."""
    for entry in images if isinstance(images, list) else ():
        if isinstance(entry, ImageEntry) and entry.file_name is msgspec.UNSET is not entry.coco_url:
            entry.file_name = picture_name_in(entry.coco_url)


@contextmanager
def without_cycle_search() -> Iterator[None]:
    """Suspend the cycle collector: walking millions of new objects again and again doubles the load time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _parse(text: bytes, path: Path, kinds: Mapping[str, type[msgspec.Struct]]) -> _Lists:
    try:
        raw_by_name = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        content = {
            name: msgspec.json.decode(raw_by_name[name], type=list[kind])  # type: ignore[valid-type]
            for name, kind in kinds.items()
        }
        if _begins_without_box(content["annotations"]) or has_repeated_keys(text, raw_by_name):
            return _parse_leniently(text, path, kinds)
        repeated = {
            name: repeated_in_list(raw_by_name[name], content[name], _keys_of(kind))
            for name, kind in kinds.items()
        }
        info = msgspec.json.decode(raw_by_name.get("info", b"null"))
    except (msgspec.MsgspecError, KeyError, RecursionError):
        return _parse_leniently(text, path, kinds)
    return _Lists(content, repeated, [], info)


def _begins_without_box(annotations: Sequence[Any]) -> bool:
    """Whether the annotations may be of a kind that has no boxes, such as captions."""
    return bool(annotations) and annotations[0].bbox is msgspec.UNSET


def _parse_leniently(text: bytes, path: Path, kinds: Mapping[str, type[msgspec.Struct]]) -> _Lists:
    """The same for what msgspec refuses: broken files, and those with NaN, Infinity or lone surrogates."""
    content = object_of(text, path=path)
    repeated: dict[str, RepeatedValues] = {}
    for name, kind in kinds.items():
        if isinstance(items := content.get(name), list):
            found = ((row, contradictions(item, _keys_of(kind))) for row, item in enumerate(items))
            repeated[name] = {row: values for row, values in found if values}
            content[name] = [_struct_from(kind, item) for item in items]
    given_twice = content.values_by_key if isinstance(content, ObjectWithRepeatedKeys) else {}
    repeated_lists = [name for name in _KIND_BY_LIST if name in given_twice]
    return _Lists(content, repeated, repeated_lists, content.get("info"))


def _struct_from(kind: type[msgspec.Struct], item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    return kind(**{key: item[key] for key in kind.__struct_fields__ if key in item})

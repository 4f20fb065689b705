"""JSON as it lies on disks: in any of its encodings, with keys given twice, or something else altogether.

RFC 8259 wants UTF-8 without a mark; Windows and spreadsheets write UTF-16 and marks. All are read, and every
reader of a file gets the same text of it. ``msgspec`` takes UTF-8 only, so that others are made that once.
"""

import codecs
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hrdet_cli.engine.data.other_formats import format_of, format_of_text, wrong_format
from hrdet_cli.errors import DataError
from hrdet_cli.file_kinds import NUM_BYTES_NEEDED, kind_of_file, why_no_file
from hrdet_cli.wording import command, first_and_count

_BYTES_AT_ONCE = 1 << 20
_UTF8, _UTF8_WITH_MARK = "utf-8", "utf-8-sig"


class ObjectWithRepeatedKeys(dict[str, Any]):
    """An object of JSON of which some key is given more than once; as everywhere, the last value counts.

    Attributes:
        values_by_key: All values of each key that is given more than once, in the order of the text.
    """

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        values: dict[str, list[Any]] = {}
        for key, value in pairs:
            values.setdefault(key, []).append(value)
        self.values_by_key = {key: given for key, given in values.items() if len(given) > 1}


def read_bytes(path: Path) -> bytes:
    """The bytes of an annotation file.

    Raises:
        DataError: There is no such file, or it cannot be read.
    """
    if path.is_dir():
        found = sorted(str(file.relative_to(path)) for file in [*path.glob("*.json"), *path.glob("*/*.json")])
        remedy = f"There are in it: {first_and_count(found)}." if found else "There is no .json file in it."
        raise DataError(wrong_format(path, "a folder", remedy))
    if path.exists() and (why := why_no_file(path)) is not None:  # a pipe would be waited for
        raise DataError(f"{path} {why}; it is read more than once. Give the path of a COCO annotation file.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. Give the path of a COCO annotation file."
        ) from error


def fingerprint_of(path: Path) -> str:
    """SHA-256 of an annotation file's bytes, in hexadecimal.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. Give the path of a COCO annotation file."
        ) from error


def utf8_of(raw: bytes, *, path: Path) -> bytes:
    """The text of a JSON file in UTF-8 without a mark, whichever encoding of JSON its bytes are in.

    Raises:
        DataError: They are in none of them, or are no text.
    """
    _refuse_other_kinds(raw, path)
    encoding = json.detect_encoding(raw)
    if encoding in (_UTF8, _UTF8_WITH_MARK):
        text = raw[len(codecs.BOM_UTF8) :] if encoding == _UTF8_WITH_MARK else raw
        _refuse_invalid_utf8(text, path, num_bytes_before=len(raw) - len(text))
        return text
    try:
        text = raw.decode(encoding).removeprefix("\ufeff").encode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not JSON: it begins like {encoding.upper()}, but its byte {error.start:,} cannot be "
            f"read as that ({error.reason}). Save it as UTF-8; is it complete?"
        ) from error
    _refuse_other_kinds(text, path)
    return text


def object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For ``object_pairs_hook``: an object that knows which of its keys were given twice."""
    built = dict(pairs)
    return built if len(built) == len(pairs) else ObjectWithRepeatedKeys(pairs)


def object_of(
    text: bytes,
    *,
    path: Path,
    parse_constant: Callable[[str], Any] = float,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], dict[str, Any]] = object_of_pairs,
) -> dict[str, Any]:
    """The JSON object of a text, read by ``json``, which takes NaN and Infinity and says where a fault is.

    Args:
        text: UTF-8.
        path: The file it is of.
        parse_constant: Gets the words NaN, Infinity and -Infinity.
        object_pairs_hook: Makes each object of its pairs, as `object_of_pairs` does.

    Returns:
        The object. In it, those with a key given twice are `ObjectWithRepeatedKeys`.

    Raises:
        DataError: It is something else; where that is known, it is named.
    """
    try:
        content = json.loads(
            text, parse_constant=parse_constant, parse_int=int_of, object_pairs_hook=object_pairs_hook
        )
    except (ValueError, RecursionError) as error:
        if (known := format_of_text(text)) is not None:
            raise DataError(wrong_format(path, known.name, known.remedy)) from error
        question = "Is the file complete?"
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            question = "Was it written twice, or over a longer file?"
        raise DataError(f"{path} is not JSON: {error}. {question}") from error
    if (known := format_of(content)) is not None:
        raise DataError(wrong_format(path, known.name, known.remedy))
    result: dict[str, Any] = content
    return result


def int_of(text: str) -> int | float:
    """A whole number of JSON; infinite where Python refuses to read it, which none that is used may be."""
    try:
        return int(text)
    except ValueError:
        return -math.inf if text.startswith("-") else math.inf


def _refuse_other_kinds(content: bytes, path: Path) -> None:
    kind = kind_of_file(content[:NUM_BYTES_NEEDED])
    if kind is not None:
        raise DataError(wrong_format(path, kind.name, kind.remedy))


def _refuse_invalid_utf8(text: bytes, path: Path, *, num_bytes_before: int) -> None:
    """Also where its texts are not used: then some readers would take what others refuse."""
    decoder = codecs.getincrementaldecoder(_UTF8)()
    for start in range(0, len(text) + 1, _BYTES_AT_ONCE):  # whole, it could take four times the memory
        chunk = text[start : start + _BYTES_AT_ONCE]
        num_pending = len(decoder.getstate()[0])
        try:
            decoder.decode(chunk, final=start + _BYTES_AT_ONCE > len(text))
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data":
                what = "it ends in the middle of a character"
                raise DataError(f"{path} is not JSON: {what}. It is not complete: copy it again.") from error
            place = start - num_pending + error.start
            raise DataError(_invalid_utf8(text, path, place, num_bytes_before)) from error


def _invalid_utf8(text: bytes, path: Path, place: int, num_bytes_before: int) -> str:
    line = text.count(b"\n", 0, place) + 1
    around = text[max(0, place - 20) : place + 10].decode("cp1252", errors="replace")
    converted = f"{command('iconv', '-f', 'CP1252', '-t', 'UTF-8', path)} > utf8.json"
    return (
        f"{path} is not in UTF-8, as JSON is: byte {place + num_bytes_before:,}, in line {line:,}, is "
        f"0x{text[place]:02x} (near {around!r}). Save it as UTF-8; if it is Latin-1 or Windows-1252, with: "
        f"{converted}"
    )

"""Lines of the texts that YOLO and Pascal VOC consist of, as they lie on disks."""

import re

_ENDS = re.compile(r"\r\n?|\n")


def lines_of(text: bytes) -> list[str]:
    """The lines of a text in UTF-8, with or without a mark, ended as on Unix, Windows or early Macs.

    Raises:
        UnicodeDecodeError: It is none.
    """
    return _ENDS.split(text.decode("utf-8-sig"))

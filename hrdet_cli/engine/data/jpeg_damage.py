"""Damage of a JPEG that decoders pass over: they warn, at most, and fill the picture with something.

libjpeg-turbo warns of more than damage. Bytes between the segments before the pixels, an unknown revision of
JFIF and zeros behind the last pixel say nothing about the pixels; everything else does.
"""

import re

import simplejpeg

_FIRST_SEGMENT = 2  # behind the start marker
_SCAN = 0xDA
_JFIF_START, _JFIF_MAJOR = b"JFIF\x00", 9  # places in its segment, whose marker is at 0
_BEHIND_LAST_PIXEL = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")


def damage_of_jpeg(data: bytes) -> str | None:
    """What is damaged in the pixels of a JPEG that can be decoded all the same, in libjpeg's words.

    Args:
        data: The encoded file.

    Returns:
        ``Corrupt JPEG data: premature end of data segment`` or the like; None for a sound one, and for one
        of which libjpeg's simple interface cannot tell.
    """
    data = _with_tidy_header(data)
    try:
        *_, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    wanted = "CMYK" if colours in ("CMYK", "YCCK") else "RGB"
    try:
        simplejpeg.decode_jpeg(data, wanted)
    except ValueError as error:
        is_damage = _can_be_decoded(data, wanted) and not _is_padding(data, str(error))
        return str(error) if is_damage else None
    return None


def _can_be_decoded(data: bytes, colours: str) -> bool:
    """Whether the strict decoder only stopped at a warning."""
    try:
        simplejpeg.decode_jpeg(data, colours, strict=False)
    except ValueError:
        return False
    return True


def _is_padding(data: bytes, warning: str) -> bool:
    """Whether a warning is of zeros that some cameras write behind the last pixel."""
    found = _BEHIND_LAST_PIXEL.match(warning)
    end = data.rfind(b"\xff\xd9")
    return found is not None and not any(data[max(0, end - int(found[1])) : end])


def _with_tidy_header(data: bytes) -> bytes:
    """The file without bytes between the segments before its pixels, and with a JFIF revision that is known.

    libjpeg tells its first warning only: one of these would hide what is wrong with the pixels.
    """
    parts, position = [data[:_FIRST_SEGMENT]], _FIRST_SEGMENT
    while (marker := _next_marker(data, position)) >= 0:
        if data[marker + 1] == _SCAN:
            return b"".join([*parts, data[marker:]])
        end = marker + 2 + int.from_bytes(data[marker + 2 : marker + 4])
        segment = data[marker:end]
        if segment[4:].startswith(_JFIF_START):
            segment = segment[:_JFIF_MAJOR] + b"\x01" + segment[_JFIF_MAJOR + 1 :]
        parts.append(segment)
        position = end
    return data


def _next_marker(data: bytes, position: int) -> int:
    """Where the next marker that begins a segment is; -1 where there is none."""
    while 0 <= (position := data.find(b"\xff", position)) < len(data) - 1:
        if data[position + 1] not in (0x00, 0xFF):
            return position
        position += 1
    return -1

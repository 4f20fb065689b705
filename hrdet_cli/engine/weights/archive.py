"""What a torch file must be before anything in it is unpickled: whole, and no larger than it looks."""

import os
import zipfile
from typing import IO


def refuse_damaged_archive(file: IO[bytes]) -> None:
    """Raise for an archive that is not what torch wrote; reads no more bytes than the file has.

    torch stores a CRC-32 of every tensor but does not look at it when loading, so one flipped bit would be
    believed. Python reads the archive here and torch reads it afterwards, so only what both understand alike
    may pass: torch takes a member with the folder attribute for empty, and leaves its tensor's memory as it
    was.

    Args:
        file: An open torch file in the zip format; left at an unknown position.

    Raises:
        zipfile.BadZipFile: Compressed, damaged or overlapping members, or no archive at all.
    """
    num_bytes = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if any(m.compress_type != zipfile.ZIP_STORED or m.compress_size != m.file_size for m in members):
            raise zipfile.BadZipFile("compressed members, which torch does not write")
        if any(m.external_attr for m in members):
            raise zipfile.BadZipFile("members with attributes, which torch does not write")
        if sum(m.file_size for m in members) > num_bytes:
            raise zipfile.BadZipFile(f"its members claim more than the file's {num_bytes} bytes")
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(f"{damaged!r} does not match its checksum")

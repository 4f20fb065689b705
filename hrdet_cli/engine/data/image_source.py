"""What gives encoded pictures by name, wherever they lie."""

from collections.abc import Sequence
from typing import Protocol

from hrdet_cli.engine.data.picture_names import FoundNames
from hrdet_cli.errors import DataError

MAX_FILE_BYTES = 2 * 2**30
"""No encoded picture is larger, not even 20,000 x 20,000 pixels without compression; what claims to be is
refused before it is read."""


class MissingPictureError(DataError):
    """No file or member has a picture's name, or a link of that name leads to nothing."""


class ImageSource(Protocol):
    """Encoded pictures by name; can be pickled, and used after a fork."""

    def find(self, names: Sequence[str]) -> FoundNames:
        """Look for all pictures that will be read; reads none.

        Afterwards `read` also takes those names that are spelt otherwise than their files.

        Raises:
            DataError: A folder cannot be looked into.
        """

    def why_missing(self, name: str) -> str:
        """Why `find` did not find a name, to go behind it: ``is not in ROOT; there is 1.JPG``."""

    def notes(self) -> Sequence[str]:
        """What is odd about the source as a whole, and does no harm."""

    def read(self, name: str) -> bytes:
        """Bytes of the file ``name``.

        Raises:
            MissingPictureError: There is no such file.
            DataError: It cannot be read whole.
            OutOfMemoryError: This process may open no more files.
        """


def refuse_too_large(num_bytes: int, where: str) -> None:
    """An encoded picture must not be larger than any is.

    Raises:
        DataError: It is.
    """
    if num_bytes > MAX_FILE_BYTES:
        raise DataError(f"{where} claims {num_bytes} bytes; no picture may have more than {MAX_FILE_BYTES}")


def missing_picture(name: str, why: str) -> MissingPictureError:
    """The error of a picture that is not there, as ``ImageSource.why_missing`` says why."""
    return MissingPictureError(f"picture {name} {why}.")

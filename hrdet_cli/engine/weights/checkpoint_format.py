"""How a checkpoint of hrdet says that it is one, and what older ones have otherwise."""

from typing import Any

from hrdet_cli.errors import WeightsError

CHECKPOINT_FORMAT = {"kind": "hrdet checkpoint", "version": 2}
"""An entry of every checkpoint, under ``format``."""


def is_checkpoint(document: dict[Any, Any]) -> bool:
    """Whether what a torch file holds was written as a checkpoint of hrdet, of any version."""
    found = document.get("format")
    return isinstance(found, dict) and found.get("kind") == CHECKPOINT_FORMAT["kind"]


def upgraded(document: dict[Any, Any], source: object) -> dict[Any, Any]:
    """The entries of a checkpoint except ``format``, as the newest version has them.

    Entries and tensors of version 1 have the names that they have now.  Its spec has older names of keys,
    which stand for the newer ones wherever specs are read.  An hrdet that knows version 1 alone does not
    know the newer ones, and refuses version 2 by its number.

    Args:
        document: What `is_checkpoint` says yes to.
        source: What to call it in messages.

    Raises:
        WeightsError: It is of a version that this hrdet does not know.
    """
    version = document["format"].get("version")
    if type(version) is int and version in (1, 2):
        return {key: value for key, value in document.items() if key != "format"}
    told = version if type(version) is int else "unknown"
    raise WeightsError(
        f"{source}: has checkpoint version {told}, this hrdet reads versions 1 and 2. "
        "Use the hrdet that wrote it, or a newer one."
    )

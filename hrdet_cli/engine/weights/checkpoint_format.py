"""How a checkpoint of hrdet says that it is one."""

from typing import Any

from hrdet_cli.errors import WeightsError

CHECKPOINT_FORMAT = {"kind": "hrdet checkpoint", "version": 1}
"""An entry of every checkpoint, under ``format``."""


def is_checkpoint(document: dict[Any, Any]) -> bool:
    """Whether what a torch file holds was written as a checkpoint of hrdet, of any version."""
    found = document.get("format")
    return isinstance(found, dict) and found.get("kind") == CHECKPOINT_FORMAT["kind"]


def without_format(document: dict[Any, Any], source: object) -> dict[Any, Any]:
    """The entries of a checkpoint except ``format``.

    Args:
        document: What `is_checkpoint` says yes to.
        source: What to call it in messages.

    Raises:
        WeightsError: It is of another version.
    """
    version = document["format"].get("version")
    if version != CHECKPOINT_FORMAT["version"]:
        told = version if type(version) is int else "unknown"
        raise WeightsError(
            f"{source}: has checkpoint version {told}, this hrdet reads version "
            f"{CHECKPOINT_FORMAT['version']}. Use the hrdet that wrote it."
        )
    return {key: value for key, value in document.items() if key != "format"}

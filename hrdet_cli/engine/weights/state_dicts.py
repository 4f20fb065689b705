"""The state dict of a network among all that a training loop saves with it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from hrdet_cli.errors import WeightsError
from hrdet_cli.wording import first_and_count

EXPECTED_KEYS = ("state_dict", "model")
"""Where the libraries whose weights hrdet knows put the state dict; of both the first counts."""
_MAIN_KEYS = (*EXPECTED_KEYS, "model_state_dict", "model_state", "net", "network", "blobs")
"""What training loops call the network's own state dict; last Detectron, in whose names are no dots."""
_MOST_DEPTH = 4


@dataclass(frozen=True, slots=True, eq=False)
class FoundStateDict:
    """A state dict, and where it was.

    Attributes:
        content: What it holds, checked by nobody yet.
        key: Where it was in the file, such as ``net`` or ``checkpoint.model``; None for the file itself.
        others: Where others are that were not taken.
    """

    content: dict[Any, Any]
    key: str | None
    others: tuple[str, ...]


def find_state_dict(content: dict[Any, Any], *, source: str) -> FoundStateDict:
    """Find the one dictionary of tensors that is the network's.

    What optimisers keep does not count.  Of several dictionaries that count, one that has a usual name of the
    network itself (``state_dict``, ``model``, ``net``, ...) is taken.

    Args:
        content: What a file holds.
        source: What to call the file in messages.

    Returns:
        The state dict; where there is none, what the error should speak of.

    Raises:
        WeightsError: There are several, and nobody knows which is meant.
    """
    if _is_state_dict(content):
        return FoundStateDict(content, None, ())
    found = {".".join(path): state for path, state in _state_dicts(content, ())}
    if not found:
        return FoundStateDict(_supposed(content), None, ())
    key = _main_key(tuple(found))
    if key is None:
        raise WeightsError(
            f"weights {source} hold {len(found)} dictionaries of tensors, and nobody says which is the "
            f"network's: {first_and_count(list(found))}. Save that one alone: torch.save(content[KEY], FILE)"
        )
    return FoundStateDict(found[key], key, tuple(other for other in found if other != key))


def _main_key(keys: tuple[str, ...]) -> str | None:
    """The one to take; None where nobody knows."""
    if len(keys) == 1:
        return keys[0]
    usual = [key for key in keys if key.rpartition(".")[2] in _MAIN_KEYS]
    if len(usual) == 1:
        return usual[0]
    return next((key for key in EXPECTED_KEYS if key in usual), None)


def _state_dicts(content: Mapping[Any, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All state dicts inside a dictionary; none of an optimiser, which has groups of parameters."""
    if "param_groups" in content or len(path) >= _MOST_DEPTH:
        return
    for key, value in content.items():
        if type(key) is str and key.isprintable() and isinstance(value, dict):
            if _is_state_dict(value) and any("." in name for name in value):
                yield (*path, key), value
            else:
                yield from _state_dicts(value, (*path, key))


def _is_state_dict(value: dict[Any, Any]) -> bool:
    return bool(value) and all(
        type(key) is str and type(item) in (Tensor, nn.Parameter) for key, item in value.items()
    )


def _supposed(content: dict[Any, Any]) -> dict[Any, Any]:
    """What was meant to be a state dict, by its name."""
    inner = (content.get(key) for key in _MAIN_KEYS)
    return next((value for value in inner if isinstance(value, dict) and value), content)

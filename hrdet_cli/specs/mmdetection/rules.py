"""What a rule of the translation is: where a value comes from, where it goes to, and how it is converted.

The tables of rules are in `backbones`, `necks`, `anchors`, `heads`, `regions`, `cascades`, `pictures`, `data`
and `training`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from hrdet_cli.errors import HrdetError


class Known(Protocol):
    """The rest of a configuration, as rules look at it."""

    @property
    def generation(self) -> int:
        """The version of mmdetection: 1, 2 or 3."""

    @property
    def names(self) -> Mapping[str, Any]:
        """What is assigned at its top, as it is written."""

    def get(self, key: str) -> Any:
        """The value at a dotted key as mmdetection 3 has it; None where there is none."""


class NoCounterpartError(HrdetError):
    """A value that hrdet cannot take; says why, or what to use instead."""


class OtherNetworkError(NoCounterpartError):
    """A value without which the network would be another one, so that no spec is written."""


Convert = Callable[..., Any]
"""From the values of a rule's keys, each an argument (None where it is missing), to ours."""
UNSET = object()
"""What a conversion gives where nothing of ours is to be set, and ``absent`` where nothing follows."""


def same(value: Any) -> Any:
    """The value as it is."""
    return value


def _nothing(_: Any) -> object:
    """No value of ours, whatever theirs is."""
    return UNSET


@dataclass(frozen=True, slots=True)
class Rule:
    """A key of theirs.

    Attributes:
        key: Dotted, from the slot of its group; several that one value is made of are separated by spaces.
        target: Dotted key of ours that gets the value; None where hrdet has none, and the conversion says
            whether it does the same anyway.
        convert: Gives our value; raises `NoCounterpartError`.
        absent: What mmdetection takes where the key is missing; None where several keys are.
        why: What to tell of it.
        each_stage: Whether the conversion gets a list, an item for each stage of a cascade; else all stages
            must have the same.
        sees: Whether the conversion looks at the rest of the configuration: it gets a `Known` as ``known``.
    """

    key: str
    target: str | None
    convert: Convert = same
    absent: Any = UNSET
    why: str = ""
    each_stage: bool = False
    sees: bool = False

    @property
    def keys(self) -> Sequence[str]:
        """Each key."""
        return self.key.split()


@dataclass(frozen=True, slots=True)
class Group:
    """The keys of a dictionary that has a type, such as a backbone.

    Attributes:
        slot: Dotted key of the dictionary; with ``[]`` behind it, it may be a list of such.
        types: What its ``type`` may be; empty where it has none.
        rules: Its keys.
        gives: What the type alone decides, by dotted keys of ours.
        assumed: The type where none is given; "" where that means nothing.
        is_network: Whether another type would make another network, so that no spec is written.
        even_missing: Whether mmdetection has defaults of it where the whole dictionary is missing; then the
            dotted key of what must be there.
    """

    slot: str
    types: Sequence[str]
    rules: Sequence[Rule]
    gives: Mapping[str, Any] = field(default_factory=dict)
    assumed: str = ""
    is_network: bool = False
    even_missing: str | None = None


def fixed(key: str, *allowed: Any, why: str, is_network: bool = False) -> Rule:
    """A key that hrdet has no setting for: it does what the allowed values say, and nothing else."""
    error = OtherNetworkError if is_network else NoCounterpartError

    def check(value: Any) -> object:
        if value not in allowed:
            raise error(why)
        return UNSET

    return Rule(key, None, check, why=why)


def follows(*keys: str, why: str) -> tuple[Rule, ...]:
    """Keys that say what is so in hrdet anyway, whatever their value."""
    return tuple(Rule(key, None, _nothing, why=why) for key in keys)


def without(*keys: str, why: str) -> tuple[Rule, ...]:
    """Keys that hrdet has nothing like, whatever their value, unless they are None or False."""

    def refuse(value: Any) -> object:
        if value is None or value is False:
            return UNSET
        raise NoCounterpartError(why)

    return tuple(Rule(key, None, refuse, why=why) for key in keys)


def one_of(table: Mapping[Any, Any], *, why: str, is_network: bool = False) -> Convert:
    """A conversion by a table; what is not in it has no counterpart."""
    error = OtherNetworkError if is_network else NoCounterpartError

    def convert(value: Any) -> Any:
        if not isinstance(value, str | int | float | bool | None) or value not in table:
            raise error(why)
        return table[value]

    return convert


class KeyPair(NamedTuple):
    """A row of the table of keys.

    Attributes:
        theirs: Dotted, as mmdetection 3 has it.
        ours: Dotted.
    """

    theirs: str
    ours: str


def key_pairs(groups: Sequence[Group]) -> list[KeyPair]:
    """Which key of ours each of theirs becomes, each pair once."""
    pairs = [
        KeyPair(".".join(part for part in (group.slot, key) if part), rule.target)
        for group in groups
        for rule in group.rules
        if rule.target is not None
        for key in rule.keys
    ]
    return list(dict.fromkeys(pairs))

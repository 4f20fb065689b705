"""Changes of bytes and of nested plain values that break them in the ways that files break."""

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

ODD_NUMBERS: Sequence[Any] = (
    *(0, -1, 1, 0.5, -0.0, 1e308, -1e308, float("nan"), float("inf"), float("-inf")),
    *(2**31, 2**63, -(2**63), 10**30, True, False),
)
ODD_TEXTS: Sequence[str] = (
    *(
        "",
        " ",
        "0",
        "1e3",
        "NaN",
        "null",
        "\x00",
        "a\nb",
        "\x1b[31m",
        "\ud800",
        "\u202eabc",
        "\ufeff",
        "é" * 300,
    ),
    *("../x", "/etc/passwd", "C:\\x", "a" * 5000, "%s%n", "{}", "[link=x]"),
)
ODD_VALUES: Sequence[Any] = (*ODD_NUMBERS, *ODD_TEXTS, None, [], {}, [[]], [{}], {"a": 1}, [1, 2, 3, 4, 5])

Bytes = Callable[[random.Random, bytearray], None]


def _flip_bits(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set_bytes(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 4))):
        data[rng.randrange(len(data))] = rng.choice((0, 255, 127, 128, rng.randrange(256)))


def _truncate(rng: random.Random, data: bytearray) -> None:
    keep = rng.choice((0, rng.randrange(len(data)), len(data) - 1, rng.randrange(min(len(data), 64))))
    del data[keep:]


def _zero_block(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    block = data[start : start + rng.choice((4, 64, 4096))]
    data[start : start + len(block)] = bytes(len(block))


def _insert(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    data[start:start] = rng.randbytes(rng.choice((1, 3, 100)))


def _remove(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.choice((1, 3, 100))]


def _repeat_part(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    part = data[start : start + rng.choice((4, 50, 1000))]
    data[start:start] = part


def _append(rng: random.Random, data: bytearray) -> None:
    data += rng.choice((b"\0", b"\n", rng.randbytes(20), bytes(data)))


BYTE_CHANGES: Sequence[Bytes] = (
    *(_flip_bits, _set_bytes, _truncate, _zero_block, _insert, _remove, _repeat_part, _append),
)


def damage(rng: random.Random, data: bytes, changes: Sequence[Bytes] = BYTE_CHANGES) -> tuple[str, bytes]:
    """Bytes with one change, and its name."""
    changed, change = bytearray(data), rng.choice(changes)
    if changed:
        change(rng, changed)
    return change.__name__.strip("_"), bytes(changed)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Each container and key within nested lists and dictionaries."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in items for place in ((value, key), *places(item))]


def mutate(rng: random.Random, value: Any, *, odd: Sequence[Any] = ODD_VALUES) -> tuple[str, Any]:
    """A copy of nested plain values with one change somewhere, and what it is."""
    changed = copy.deepcopy(value)
    container, key = rng.choice(places(changed))
    other, other_key = rng.choice(places(changed))
    what = rng.choice(("replace", "replace", "remove", "swap", "repeat", "nest", "add"))
    if what == "replace":
        container[key] = copy.deepcopy(rng.choice(odd))
        return f"{key} = {container[key]!r:.40}", changed
    if what == "remove":
        del container[key]
    elif what == "swap":
        one, two = copy.deepcopy((container[key], other[other_key]))
        other[other_key], container[key] = one, two
        return f"{key} and {other_key} swapped", changed
    elif what == "repeat" and isinstance(container, list):
        container.insert(rng.randrange(len(container) + 1), copy.deepcopy(container[key]))
    elif what == "nest":
        container[key] = [container[key]] if rng.random() < 0.5 else {str(key): container[key]}
    elif isinstance(container, dict):
        container[rng.choice(("extra", "id", "", "é"))] = copy.deepcopy(rng.choice(odd))
    return f"{what} {key}", changed

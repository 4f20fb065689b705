"""Long work says what it is at, for whoever shows it. Every layer may say it.

Work that is a generator yields how far it is. What lies deeper, a download in the middle of reading weights,
says it here, and is heard by the listener of its context, if there is one: without one it is silent.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, TypeVar


@dataclass(frozen=True, slots=True)
class Activity:
    """What is going on.

    Attributes:
        what: In words: ``fetching x.pth``.
        num_done: Of what is counted, so far.
        num_in_all: How much there is of it; None where nothing can be counted, or nobody knows.
        unit: What is counted, in the plural: ``bytes``, ``pictures``.
        at_once: Whether it is known to take long, in one call that lets no other thread run.
    """

    what: str
    num_done: int = 0
    num_in_all: int | None = None
    unit: str = ""
    at_once: bool = False


class ActivityListener(Protocol):
    """Whoever shows what goes on."""

    def show(self, activity: Activity | None) -> None:
        """Take in what goes on now; None where it is over."""

    def remark(self, sentence: str) -> None:
        """Take in something that people should know at once."""


Item = TypeVar("Item")
_ITEMS_PER_SIGN = 50
"""Saying it costs as much as reading a short file."""
_listener: ContextVar[ActivityListener | None] = ContextVar("activity listener", default=None)
_current: ContextVar[Activity | None] = ContextVar("activity", default=None)

Advance = Callable[[int, int | None], None]
"""Takes how much is done, and how much there is; None where nobody knows."""


@contextmanager
def heard_by(listener: ActivityListener) -> Iterator[None]:
    """Inside, what work says of itself goes to a listener, and no more to the one around it."""
    around = _listener.get()
    if around is not None:
        around.show(None)
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def doing(what: str, *, unit: str = "", at_once: bool = False) -> Iterator[Advance]:
    """Say that something is going on while the block runs; what went on around it is said again behind it.

    Args:
        what: In words.
        unit: What is counted, in the plural.
        at_once: Whether to show it before it has lasted long; see `Activity`.

    Yields:
        What to call with how far it is.
    """
    listener = _listener.get()
    if listener is None:
        yield _silent
        return

    def advance(num_done: int, num_in_all: int | None) -> None:
        listener.show(Activity(what, num_done, num_in_all, unit, at_once))

    around = _current.get()
    token = _current.set(Activity(what, unit=unit, at_once=at_once))
    listener.show(_current.get())
    try:
        yield advance
    finally:
        _current.reset(token)
        listener.show(around)


def each(
    items: Iterable[Item], what: str, *, num_in_all: int | None = None, unit: str = ""
) -> Iterator[Item]:
    """Go through items and say how far it is.

    Args:
        items: What is gone through.
        what: What is done with them, in words.
        num_in_all: How many there are; None where nobody knows.
        unit: What they are, in the plural.
    """
    with doing(what, unit=unit) as advance:
        for num_done, item in enumerate(items):
            if num_done % _ITEMS_PER_SIGN == 0:
                advance(num_done, num_in_all)
            yield item


def remark(sentence: str) -> None:
    """Say something that people should know at once, such as that an address does not answer."""
    if (listener := _listener.get()) is not None:
        listener.remark(sentence)


def _silent(_num_done: int, _num_in_all: int | None) -> None:
    """Nobody listens."""

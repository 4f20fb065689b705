"""Features that the backward pass makes again, so that they are not kept for it.

A norm keeps its input. What it and a ReLU make of that, and what comes of it when a shortcut is added, would
be kept as well, by the ReLU and by the convolution behind: as much memory again, for what a few passes over
the input of the norm give. So autograd keeps the way in which such features are made, and not the features.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

Make = Callable[[], Tensor]
"""Gives features that nobody else has, always the same."""


@contextmanager
def made_again() -> Iterator[None]:
    """While inside, what :func:`rectify` makes of what norms put out is not kept for the backward pass.

    Gradients are the same, bit by bit.
    """
    ways = _Ways()
    token = _WAYS.set(ways)
    try:
        with saved_tensors_hooks(ways.kept, _given_back):
            yield
    finally:
        _WAYS.reset(token)
        ways.forget()


def rectify(features: Tensor, *, plus: Tensor | None = None) -> Tensor:
    """Apply a ReLU in place.

    Args:
        features: What a norm has put out; changed.
        plus: Of the same shape, added before.
    """
    ways = _active_ways()
    if ways is not None:
        ways.follow(features, plus)
    return F.relu(features if plus is None else features.add_(plus), inplace=True)


def ways_are_wanted() -> bool:
    """Whether norms are to say how what they put out is made."""
    return _active_ways() is not None


def note_way(features: Tensor, make: Make) -> None:
    """Say how what a norm has put out is made of what it keeps anyway.

    Args:
        features: What the norm has put out.
        make: Gives the same once more, without a gradient.
    """
    ways = _active_ways()
    if ways is not None and features.requires_grad:
        ways.note(features, make)


class _Way:
    """How features are made.

    They are made when the first of those that would have kept them asks, and dropped when the last has.
    Autocast is what it was when the way was found: some norms have another dtype in it.
    """

    def __init__(self, make: Make, device: torch.device) -> None:
        self._make = make
        self._autocast = partial(
            torch.autocast,
            device.type,
            dtype=torch.get_autocast_dtype(device.type),
            enabled=torch.is_autocast_enabled(device.type),
        )
        self._num_promised = 0
        self._num_given = 0
        self._made: Tensor | None = None

    def promise(self) -> "_Way":
        """To somebody more."""
        self._num_promised += 1
        return self

    def features(self) -> Tensor:
        """Of one who was promised them; not to be changed."""
        made = self._made
        if made is None:
            with torch.no_grad(), self._autocast():
                made = self._make()
        self._num_given += 1
        self._made = None if self._num_given % self._num_promised == 0 else made
        return made


class _Ways:
    """Those of all features of a part of a network, which live as long as the part is run."""

    def __init__(self) -> None:
        self._makes: dict[int, tuple[Tensor, int, Make]] = {}
        self._ways: dict[int, tuple[Tensor, _Way]] = {}

    def note(self, features: Tensor, make: Make) -> None:
        """How what a norm has put out is made."""
        self._makes[features.data_ptr()] = features, features._version, make

    def follow(self, features: Tensor, plus: Tensor | None) -> None:
        """They are rectified, after something was added."""
        noted, version, make = self._makes.get(features.data_ptr(), (None, None, None))
        if noted is None or make is None or not features.is_set_to(noted) or features._version != version:
            return
        summand = None if plus is None else self._source(plus)

        def rectified() -> Tensor:
            made = make()
            return F.relu(made if summand is None else made.add_(summand()), inplace=True)

        self._ways[features.data_ptr()] = features, _Way(rectified, features.device)

    def kept(self, tensor: Tensor) -> Any:
        """What autograd keeps in place of a tensor."""
        way = self._way_of(tensor)
        return tensor if way is None else way.promise()

    def forget(self) -> None:
        """The features, which must not be taken for others that come to lie in the same place."""
        self._makes.clear()
        self._ways.clear()

    def _source(self, tensor: Tensor) -> Make:
        way = self._way_of(tensor)
        if way is not None:
            return way.promise().features
        known = tensor.detach()
        return lambda: known

    def _way_of(self, tensor: Tensor) -> _Way | None:
        found = self._ways.get(tensor.data_ptr())
        return found[1] if found is not None and tensor.is_set_to(found[0]) else None


def _given_back(kept: Any) -> Tensor:
    return kept.features() if type(kept) is _Way else kept


_WAYS: ContextVar[_Ways | None] = ContextVar("ways", default=None)


def _active_ways() -> _Ways | None:
    return None if torch.compiler.is_compiling() else _WAYS.get()

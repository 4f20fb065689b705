"""Features that the backward pass makes again, so that they are not kept for it.

A norm keeps its input. What it and a ReLU make of that, and what comes of it when a shortcut is added, would
be kept as well, by the ReLU and by the convolution behind: as much memory again, for what a few passes over
the input of the norm give. So autograd keeps the way in which such features are made, and not the features.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

Told = TypeVar("Told")
Make = Callable[[], Tensor]
"""Gives features that nobody else has, always the same."""


@contextmanager
def made_again() -> Iterator[None]:
    """While inside, what :func:`rectify` makes of what norms put out is not kept for the backward pass.

    Gradients are the same: bit by bit on a CPU, and on CUDA as far as torch's norms round alike when they are
    given the same twice.

    Raises:
        RuntimeError: In the backward pass: what is kept for it was changed in place meanwhile.
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
    rectified = F.relu(features if plus is None else features.add_(plus), inplace=True)
    if ways is not None:
        ways.settle(rectified)
    return rectified


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

    They are made when the first of those that would have kept them asks, and dropped when the last has; if
    some never ask, with the graph.  Autocast is what it was when the way was found: some norms have another
    dtype in it.
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


@dataclass(slots=True)
class _Known(Generic[Told]):
    """What is known of features.

    Attributes:
        features: These.
        told: Of them.
        version: Torch's count of changes with which it holds; None while they are being changed.
    """

    features: Tensor
    told: Told
    version: int | None = None

    def is_of(self, tensor: Tensor) -> bool:
        """Whether a tensor is the features as they were then."""
        return tensor.is_set_to(self.features) and self.version in (None, self.features._version)


class _Ways:
    """Those of all features of a part of a network, which live as long as the part is run."""

    def __init__(self) -> None:
        self._makes: dict[int, _Known[Make]] = {}
        self._ways: dict[int, _Known[_Way]] = {}

    def note(self, features: Tensor, make: Make) -> None:
        """How what a norm has put out is made."""
        self._makes[features.data_ptr()] = _Known(features, make, features._version)

    def follow(self, features: Tensor, plus: Tensor | None) -> None:
        """They are about to be rectified, after something was added."""
        known = self._makes.get(features.data_ptr())
        if known is None or not known.is_of(features):
            return
        make, summand = known.told, None if plus is None else self._source(plus)

        def make_rectified() -> Tensor:
            normalised = make()
            return F.relu(normalised if summand is None else normalised.add_(summand()), inplace=True)

        self._ways[features.data_ptr()] = _Known(features, _Way(make_rectified, features.device))

    def settle(self, rectified: Tensor) -> None:
        """They were, so that whoever changes them from now on has others."""
        known = self._ways.get(rectified.data_ptr())
        if known is not None:
            known.version = rectified._version

    def kept(self, tensor: Tensor) -> Any:
        """What autograd keeps in place of a tensor: a way, or the tensor and its version."""
        way = self._way_of(tensor)
        return (tensor, tensor._version) if way is None else way.promise()

    def forget(self) -> None:
        """The features, which must not be taken for others that come to lie in the same place."""
        self._makes.clear()
        self._ways.clear()

    def _source(self, tensor: Tensor) -> Make:
        way = self._way_of(tensor)
        if way is not None:
            return way.promise().features
        as_it_is = tensor.detach()
        return lambda: as_it_is

    def _way_of(self, tensor: Tensor) -> _Way | None:
        known = self._ways.get(tensor.data_ptr())
        return known.told if known is not None and known.is_of(tensor) else None


def _given_back(kept: Any) -> Tensor:
    if isinstance(kept, _Way):
        return kept.features()
    tensor: Tensor
    tensor, version = kept
    if tensor._version != version:  # which torch finds out only where it keeps the tensor itself
        raise RuntimeError(
            f"a tensor of shape {tuple(tensor.shape)} that the backward pass needs was changed in place"
        )
    return tensor


_WAYS: ContextVar[_Ways | None] = ContextVar("ways", default=None)


def _active_ways() -> _Ways | None:
    return None if torch.compiler.is_compiling() else _WAYS.get()

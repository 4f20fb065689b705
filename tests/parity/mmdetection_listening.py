"""Hears what parts of a detector of mmdetection are given and what they answer, while the whole runs."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import mmdet.models.dense_heads.anchor_head as anchor_head  # type: ignore[import-not-found]

Dump = dict[str, Any]
Calls = list[tuple[Sequence[Any], Any]]
"""The positional arguments of each call, and its answer."""


def stages_of(part: Any) -> Sequence[Any]:
    """The stages of a cascade's part; what is no cascade has one, and what is not there none."""
    if part is None:
        return []
    return list(part) if hasattr(part, "__len__") else [part]


@contextmanager
def calls(owner: Any, name: str = "forward") -> Iterator[Calls]:
    """Calls of an object's method, or of a function of a module of Python."""
    heard: Calls = []
    original = getattr(owner, name)

    def listen(*arguments: Any, **others: Any) -> Any:
        answer = original(*arguments, **others)
        heard.append((arguments, answer))
        return answer

    with _replaced(owner, name, listen):
        yield heard


@contextmanager
def calls_of_each(owners: Sequence[Any], name: str = "forward") -> Iterator[list[Calls]]:
    """Calls of several objects."""
    with ExitStack() as stack:
        yield [stack.enter_context(calls(owner, name)) for owner in owners]


@contextmanager
def draws(samplers: Sequence[Any]) -> Iterator[list[list[Dump]]]:
    """Of each sampler, for each picture: its ``candidates``, their assignments, and the drawn among them.

    ``assigned`` counts the ground truth from 1; 0 is the background and -1 neither. ``positive`` and
    ``negative`` count from 0, where samplers that add the ground truth have it in front of the candidates.
    """
    with ExitStack() as stack:
        heard = [list[Dump]() for _ in samplers]
        for sampler, pictures in zip(samplers, heard, strict=True):
            listen = _listening_sample(sampler.sample, pictures)
            stack.enter_context(_replaced(sampler, "sample", listen))
        yield heard


def _listening_sample(original: Any, heard: list[Dump]) -> Any:
    def listen(assigned: Any, instances: Any, targets: Any, **others: Any) -> Any:
        # Before the sampler adds the ground truth to both.
        candidates, numbers = instances.priors.clone(), assigned.gt_inds.clone()
        drawn = original(assigned, instances, targets, **others)
        picture = {"candidates": candidates, "assigned": numbers}
        heard.append({**picture, "positive": drawn.pos_inds.clone(), "negative": drawn.neg_inds.clone()})
        return drawn

    return listen


@contextmanager
def anchors_that_take_part() -> Iterator[Calls]:
    """The answers are, for each picture, which anchors are assigned to anything at all, ``(A,)`` bool."""
    with calls(anchor_head, "anchor_inside_flags") as flags:
        yield flags


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    is_own = name in vars(owner)
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if is_own:
            setattr(owner, name, original)
        else:
            delattr(owner, name)

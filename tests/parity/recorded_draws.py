"""What another detector drew for its losses, put in place of our samplers' draws."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.matching import Matcher, Matches
from hrdet_cli.engine.models.boxes.sampling import Sample, Sampler
from hrdet_cli.engine.models.dense.proposals import AnchorPredictions, Proposals
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.regions import mask_branch
from hrdet_cli.engine.models.regions.mask_targets import mask_targets
from hrdet_cli.engine.models.regions.region_draw import DrawnRegions, RegionDraw
from hrdet_cli.engine.structures import Targets


@dataclass(frozen=True, slots=True)
class RecordedDraw:
    """One draw among the candidates of each picture, or all of them where nothing is drawn.

    Attributes:
        stage: Who drew.
        places: Of each picture: where the other detector's candidates are among those that we match.
        assigned: What those were assigned to; see ``of_assignments``.
        positive: The drawn positives among ours.
        negative: Likewise.
    """

    stage: str
    places: Sequence[Tensor]
    assigned: Sequence[Tensor]
    positive: Sequence[Tensor]
    negative: Sequence[Tensor]

    def sample(self) -> Sample:
        """As a sampler would have returned it."""
        pairs = list(zip(self.positive, self.negative, strict=True))
        num_slots = max(len(positive) + len(negative) for positive, negative in pairs)
        index = torch.zeros(len(pairs), num_slots, dtype=torch.int64)
        is_positive, is_valid = torch.zeros_like(index, dtype=torch.bool), torch.zeros_like(index).bool()
        for row, (positive, negative) in enumerate(pairs):
            drawn = torch.cat((positive, negative))
            index[row, : len(drawn)] = drawn
            is_positive[row, : len(positive)] = True
            is_valid[row, : len(drawn)] = True
        return Sample(index=index, is_positive=is_positive, is_valid=is_valid)


def recorded_draws(
    dump: Mapping[str, Any], num_targets: Sequence[int], num_rows: int
) -> Iterator[RecordedDraw]:
    """The draws of a training step, in their order.

    Where regions are drawn, both sides put the ground truth in front of them: the other detector that of each
    picture, we the rows of the batch. Later stages of a cascade draw among the drawn of the stage before, in
    the order of the slots they had, without those that were ground truth.

    Args:
        dump: Of a training batch.
        num_targets: Boxes of each picture.
        num_rows: Rows that our ground truth is padded to.
    """
    if "anchor_draws" in dump:
        places = [takes_part.nonzero().flatten() for takes_part in dump["anchors_take_part"]]
        yield _placed("anchors", dump["anchor_draws"], places, [0] * len(places), num_rows=0)
    proposals = [picture["candidates"] for picture in (dump["box_draws"] or [[]])[0]]
    slots = [torch.arange(len(boxes)) for boxes in proposals]
    for stage, pictures in enumerate(dump["box_draws"]):
        yield _placed(f"regions of stage {stage + 1}", pictures, slots, num_targets, num_rows=num_rows)
        slots = [
            (torch.cat((picture["positive"], picture["negative"])) >= count).nonzero().flatten()
            for picture, count in zip(pictures, num_targets, strict=True)
        ]
        if dump["mask_draws"]:
            masks = dump["mask_draws"][stage]
            yield _placed(f"masks of stage {stage + 1}", masks, slots, num_targets, num_rows=num_rows)


def _placed(
    stage: str,
    pictures: Sequence[Mapping[str, Tensor]],
    places: Sequence[Tensor],
    num_in_front: Sequence[int],
    *,
    num_rows: int,
) -> RecordedDraw:
    """A draw whose candidates we have after ``num_rows`` rows in front, which take no part in matching."""
    triples = [
        (picture, place + num_rows, count)
        for picture, place, count in zip(pictures, places, num_in_front, strict=True)
    ]
    return RecordedDraw(
        stage=stage,
        places=places,
        assigned=[picture["assigned"].long() for picture in pictures],
        positive=[_moved(picture["positive"], place, count) for picture, place, count in triples],
        negative=[_moved(picture["negative"], place, count) for picture, place, count in triples],
    )


def _moved(index: Tensor, places: Tensor, num_in_front: int) -> Tensor:
    """Among the rows in front, which both sides count alike, and the places of the others."""
    return torch.cat((torch.arange(num_in_front), places))[index]


@contextmanager
def samplers_draw(draw: Callable[[Sampler, Matches], Sample]) -> Iterator[None]:
    """Let a function draw for every sampler of a detector."""

    def drawn(sampler: Sampler, matches: Matches, keys: Tensor, numbers: Tensor) -> Sample:
        return draw(sampler, matches)

    with mock.patch.object(Sampler, "draw", drawn):
        yield


@contextmanager
def replayed(draws: Sequence[RecordedDraw]) -> Iterator[list[Matches]]:
    """Samplers draw what was recorded, one after the other; hears what matchers find, in the same order."""
    heard: list[Matches] = []
    queue = iter(draws)
    match = Matcher.match

    def listen(matcher: Matcher, candidates: Tensor, is_candidate: Tensor, targets: Targets) -> Matches:
        heard.append(match(matcher, candidates, is_candidate, targets))
        return heard[-1]

    with mock.patch.object(Matcher, "match", listen), samplers_draw(lambda *_: next(queue).sample()):
        yield heard


@contextmanager
def recorded_proposals(pictures: Sequence[Tensor]) -> Iterator[list[Proposals]]:
    """The region proposal network proposes these boxes of each picture; what it would have is heard."""
    heard: list[Proposals] = []
    propose = RegionProposalNetwork.propose
    counts = torch.tensor([len(boxes) for boxes in pictures])
    boxes = torch.nn.utils.rnn.pad_sequence(list(pictures), batch_first=True)
    is_valid = torch.arange(boxes.shape[1]) < counts[:, None]

    def listen(rpn: RegionProposalNetwork, predictions: AnchorPredictions, sizes: Tensor) -> Proposals:
        heard.append(propose(rpn, predictions, sizes))
        return Proposals(boxes=boxes.to(heard[-1].boxes.dtype), is_valid=is_valid)

    with mock.patch.object(RegionProposalNetwork, "propose", listen):
        yield heard


@contextmanager
def mask_branches_learn(targets: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Let a function say what mask branches are to learn of the regions that were drawn last.

    Args:
        targets: What we would have them learn, ``(P, m, m)`` bool of the positives of all pictures, to what
            they learn instead.
    """
    latest: list[DrawnRegions] = []
    draw = RegionDraw.draw

    def listen(region_draw: RegionDraw, *arguments: Any, **others: Any) -> DrawnRegions:
        latest[:] = [draw(region_draw, *arguments, **others)]
        return latest[0]

    def instead(*arguments: Tensor, num_cells: int) -> Tensor:
        ours, (drawn,) = mask_targets(*arguments, num_cells=num_cells), latest
        # Positives are the first slots of each picture; how many slots are looked at is not ours to know.
        rows = drawn.is_positive[:, : len(ours) // len(drawn.is_positive)].flatten()
        return ours.masked_scatter(rows[:, None, None], targets(ours[rows]).bool())

    with (
        mock.patch.object(RegionDraw, "draw", listen),
        mock.patch.object(mask_branch, "mask_targets", instead),
    ):
        yield


@contextmanager
def recorded_mask_targets(stages: Sequence[Tensor]) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Mask branches learn these targets, one stage after the other; ours are heard beside them."""
    heard: list[tuple[Tensor, Tensor]] = []
    queue = iter(stages)

    def recorded(ours: Tensor) -> Tensor:
        heard.append((ours, next(queue).bool()))
        return heard[-1][1]

    with mask_branches_learn(recorded):
        yield heard

"""mmdetection 3.3.0's numbers, stage by stage, without mmdetection.

``golden_numbers.py`` was printed by mmdetection itself (mmdet 3.3.0, mmcv 2.1.0 with its CPU operators, torch
2.13), its detectors built from its own configurations and filled by ``filling.py``:

    python tests/parity/mmdetection_golden.py > tests/parity/golden_numbers.py

docs/parity.md says how to make the environment for that, and what the full comparison found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.matching import Matches
from hrdet_cli.engine.models.boxes.sampling import Sample
from hrdet_cli.engine.models.detector import Detector
from tests.parity.compare import LOSSES, detect_in
from tests.parity.filled_detector import build_filled, make_batch
from tests.parity.golden_numbers import GOLDEN
from tests.parity.summary import GOLDEN_BATCH, Checksum, checksum, spread
from tests.two_stage import two_stage

_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class SpreadSampler:
    """Draws evenly instead of randomly, as mmdetection was made to.

    Attributes:
        num_samples: As of ``Sampler``.
        positive_fraction: As of ``Sampler``.
        drawn: How many positives and negatives each picture gave, filled in.
    """

    num_samples: int
    positive_fraction: float
    drawn: list[tuple[int, int]]

    def draw(self, matches: Matches, keys: Tensor, numbers: Tensor) -> Sample:  # noqa: ARG002
        shape = len(keys), self.num_samples
        index, is_positive = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.bool)
        for row in range(len(keys)):
            positive = matches.is_positive[row].nonzero().flatten()
            negative = matches.is_negative[row].nonzero().flatten()
            positive = spread(positive, min(len(positive), int(self.num_samples * self.positive_fraction)))
            negative = spread(negative, self.num_samples - len(positive))
            index[row] = torch.cat((positive, negative))
            is_positive[row, : len(positive)] = True
            self.drawn.append((len(positive), len(negative)))
        return Sample(index=index, is_positive=is_positive, is_valid=torch.ones(shape, dtype=torch.bool))


@pytest.fixture(scope="module", params=list(GOLDEN))
def filled(request: pytest.FixtureRequest) -> tuple[Detector, Mapping[str, Any]]:
    """A detector and its numbers."""
    return build_filled(request.param), GOLDEN[request.param]


def test_features_and_predictions_are_those_of_mmdetection(
    filled: tuple[Detector, Mapping[str, Any]],
) -> None:
    detector, golden = filled
    detector.eval()
    images = make_batch(GOLDEN_BATCH).images
    with torch.no_grad():
        normalised = detector.normalise(images)
        backbone = detector.backbone(normalised, None)
        neck = detector.neck(backbone, None)
        head = two_stage(detector)
        hidden = [head.rpn.conv(level).relu() for level in neck.levels]
        proposals = head.rpn.propose(head.rpn(neck), images.sizes)
    _check([normalised], [golden["input"]])
    _check(backbone, golden["backbone"])
    _check(neck.levels, golden["neck"])
    _check([head.rpn.objectness(level) for level in hidden], golden["rpn_scores"])
    _check([head.rpn.deltas(level) for level in hidden], golden["rpn_deltas"])
    assert proposals.is_valid.sum(dim=1).tolist() == golden["num_proposals"]


def test_detections_in_original_coordinates_are_those_of_mmdetection(
    filled: tuple[Detector, Mapping[str, Any]],
) -> None:
    detector, golden = filled
    for found, wanted in zip(
        detect_in(detector, make_batch(GOLDEN_BATCH)), golden["detections"], strict=True
    ):
        count = len(wanted)
        labels, scores, boxes = zip(*wanted, strict=True)
        assert found.labels[:count].tolist() == list(labels)
        assert found.scores[:count].tolist() == pytest.approx(list(scores), rel=_TOLERANCE)
        torch.testing.assert_close(found.boxes[:count], torch.tensor(boxes), rtol=0, atol=2e-3)


def test_losses_with_the_same_samples_are_those_of_mmdetection(
    filled: tuple[Detector, Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, golden = filled
    detector.train()
    batch, drawn = make_batch(GOLDEN_BATCH), list[tuple[int, int]]()
    head = two_stage(detector)
    rpn, regions = (
        SpreadSampler(sampler.num_samples, sampler.positive_fraction, drawn)
        for sampler in (head.rpn.sampler, head.region_draw.sampler)
    )
    # Detectors take a Sampler and no other; these stand in for one in this test only.
    monkeypatch.setattr(head.rpn, "sampler", rpn)
    region_draw = replace(head.region_draw, sampler=regions)  # type: ignore[arg-type]
    monkeypatch.setattr(detector, "head", replace(head, region_draw=region_draw))
    with torch.no_grad():
        losses = detector(batch.images, batch.targets)
    assert drawn == golden["num_drawn"]
    wanted = {LOSSES[name]: value for name, value in golden["losses"].items()}
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(wanted, rel=_TOLERANCE)


def _check(levels: Sequence[Tensor], wanted: Sequence[Checksum]) -> None:
    assert len(levels) == len(wanted)
    for level, (weighted, size) in zip(levels, wanted, strict=True):
        own_weighted, own_size = checksum(level)
        assert own_size == pytest.approx(size, rel=_TOLERANCE)
        assert own_weighted == pytest.approx(weighted, abs=_TOLERANCE * size)

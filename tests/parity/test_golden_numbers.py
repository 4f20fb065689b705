"""mmdetection 3.3.0's numbers, stage by stage, without mmdetection.

``golden_numbers.py`` was printed by mmdetection itself (mmdet 3.3.0, mmcv 2.1.0 with its CPU operators, torch
2.13; for HTC with torchvision's NMS and RoIAlign in place of mmcv's), its detectors built from its own
configurations and filled by ``filling.py``:

    python tests/parity/mmdetection_golden.py > tests/parity/golden_numbers.py

docs/parity.md says how to make the environment for that, and what the full comparison found.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.matching import Matches
from hrdet_cli.engine.models.boxes.sampling import Sample, Sampler
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import Detections, ImageBatch
from tests.parity.compare_detection import detect_in
from tests.parity.compare_training import losses_by_our_names
from tests.parity.dense_maps import dense_maps
from tests.parity.filled_detector import build_filled, make_batch
from tests.parity.golden_numbers import GOLDEN
from tests.parity.recorded_draws import mask_branches_learn, samplers_draw
from tests.parity.summary import GOLDEN_BATCH, Checksum, checksum, spread, spread_target

_TOLERANCE = 1e-4


def _draw_spread(sampler: Sampler, matches: Matches) -> Sample:
    """Draw evenly instead of randomly, as mmdetection was made to."""
    num_pictures = len(matches.is_positive)
    index = torch.zeros(num_pictures, sampler.num_samples, dtype=torch.int64)
    is_positive, is_valid = torch.zeros_like(index, dtype=torch.bool), torch.zeros_like(index).bool()
    for row in range(num_pictures):
        positive = matches.is_positive[row].nonzero().flatten()
        negative = matches.is_negative[row].nonzero().flatten()
        num_positive = int(sampler.num_samples * sampler.positive_fraction)
        positive = spread(positive, min(len(positive), num_positive))
        negative = spread(negative, min(len(negative), sampler.num_samples - len(positive)))
        drawn = torch.cat((positive, negative))
        index[row, : len(drawn)] = drawn
        is_positive[row, : len(positive)] = True
        is_valid[row, : len(drawn)] = True
    return Sample(index=index, is_positive=is_positive, is_valid=is_valid)


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
        pyramid = detector.neck(backbone, None)
        maps = dense_maps(detector, pyramid)
        semantic = detector.head.prepare(pyramid).semantic
    _check([normalised], [golden["input"]])
    _check(backbone, golden["backbone"])
    _check(pyramid.levels, golden["neck"])
    for name, levels in maps.items():
        _check(levels, golden[name])
    assert (semantic is not None) == ("semantic_logits" in golden)
    if semantic is not None:
        logits = detector.head.parts["semantic_head"].get_submodule("logits")(semantic.hidden).detach()
        _check([logits], [golden["semantic_logits"]])


@pytest.mark.parametrize(
    "filled", [name for name in GOLDEN if "num_proposals" in GOLDEN[name]], indirect=True
)
def test_as_many_regions_are_proposed_as_by_mmdetection(filled: tuple[Detector, Mapping[str, Any]]) -> None:
    detector, golden = filled
    detector.eval()
    images = make_batch(GOLDEN_BATCH).images
    rpn = detector.head.parts["rpn"]
    assert isinstance(rpn, RegionProposalNetwork)
    with torch.no_grad():
        proposals = rpn.propose(rpn(detector.pyramid(images)), images.sizes)
    assert proposals.is_valid.sum(dim=1).tolist() == golden["num_proposals"]


def test_detections_in_original_coordinates_are_those_of_mmdetection(
    filled: tuple[Detector, Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, golden = filled
    heard, detect = list[Detections](), detector.detect

    def listen(images: ImageBatch) -> Detections:
        heard.append(detect(images))
        return heard[-1]

    monkeypatch.setattr(detector, "detect", listen)
    pictures = detect_in(detector, make_batch(GOLDEN_BATCH))
    for found, wanted in zip(pictures, golden["detections"], strict=True):
        count = len(wanted)
        labels, scores, boxes = zip(*wanted, strict=True)
        assert found.labels[:count].tolist() == list(labels)
        assert found.scores[:count].tolist() == pytest.approx(list(scores), rel=_TOLERANCE)
        torch.testing.assert_close(found.boxes[:count], torch.tensor(boxes), rtol=0, atol=2e-3)
    masks = heard[0].masks
    assert (masks is not None) == ("masks" in golden)
    if masks is not None:
        shown = [picture[: len(wanted)] for picture, wanted in zip(masks, golden["detections"], strict=True)]
        _check([torch.cat(shown)], [golden["masks"]])


def test_losses_with_the_same_samples_are_those_of_mmdetection(
    filled: tuple[Detector, Mapping[str, Any]],
) -> None:
    detector, golden = filled
    detector.train()
    batch, drawn = make_batch(GOLDEN_BATCH), list[Sample]()

    def draw(sampler: Sampler, matches: Matches) -> Sample:
        drawn.append(_draw_spread(sampler, matches))
        return drawn[-1]

    with torch.no_grad(), samplers_draw(draw), mask_branches_learn(lambda ours: spread_target(ours.shape)):
        losses = detector(batch.images, batch.targets)
    assert [counts for sample in drawn for counts in _num_drawn(sample)] == golden["num_drawn"]
    wanted = losses_by_our_names(golden["losses"], detector)
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(wanted, rel=_TOLERANCE)


def _num_drawn(sample: Sample) -> Iterator[tuple[int, int]]:
    for is_positive, is_valid in zip(sample.is_positive, sample.is_valid, strict=True):
        yield int(is_positive.sum()), int((is_valid & ~is_positive).sum())


def _check(levels: Sequence[Tensor], wanted: Sequence[Checksum]) -> None:
    assert len(levels) == len(wanted)
    for level, (weighted, size) in zip(levels, wanted, strict=True):
        own_weighted, own_size = checksum(level)
        assert own_size == pytest.approx(size, rel=_TOLERANCE)
        assert own_weighted == pytest.approx(weighted, abs=_TOLERANCE * size)

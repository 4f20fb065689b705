"""mmdetection's numbers, computed on CUDA in float32: those of ``tests/parity``, on another device."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch

from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.detector import Detector
from tests.needs_gpu import NEEDS_GPU
from tests.parity.filled_detector import build_filled, make_batch
from tests.parity.golden_numbers import GOLDEN
from tests.parity.summary import GOLDEN_BATCH, checksum

pytestmark = NEEDS_GPU

CUDA = torch.device("cuda", 0)
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def plain_float32() -> Iterator[None]:
    """Convolutions round to 10 bits otherwise, which is not what is compared."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.fixture(params=list(GOLDEN))
def filled(request: pytest.FixtureRequest) -> tuple[Detector, Mapping[str, Any]]:
    """A detector and its numbers."""
    return build_filled(request.param).to(CUDA).eval(), GOLDEN[request.param]


def test_features_and_proposals_on_cuda_are_those_of_mmdetection(
    filled: tuple[Detector, Mapping[str, Any]],
) -> None:
    detector, golden = filled
    images = make_batch(GOLDEN_BATCH).images.to(CUDA)
    with torch.no_grad():
        backbone = detector.backbone(detector.normalise(images), None)
        pyramid = detector.neck(backbone, None)
    for levels, wanted in ((backbone, golden["backbone"]), (pyramid.levels, golden["neck"])):
        for level, (weighted, size) in zip(levels, wanted, strict=True):
            own_weighted, own_size = checksum(level.cpu())
            assert own_size == pytest.approx(size, rel=TOLERANCE)
            assert own_weighted == pytest.approx(weighted, abs=TOLERANCE * size)
    rpn = detector.head.parts.get("rpn")
    assert (rpn is not None) == ("num_proposals" in golden)
    if isinstance(rpn, RegionProposalNetwork):
        with torch.no_grad():
            proposals = rpn.propose(rpn(pyramid), images.sizes)
        assert proposals.is_valid.sum(dim=1).tolist() == golden["num_proposals"]


def test_detections_on_cuda_are_those_of_the_cpu(filled: tuple[Detector, Mapping[str, Any]]) -> None:
    detector, _ = filled
    images = make_batch(GOLDEN_BATCH).images
    on_cuda = detector.detect(images.to(CUDA)).cpu()
    on_cpu = detector.cpu().detect(images)
    assert torch.equal(on_cuda.labels, on_cpu.labels)
    torch.testing.assert_close(on_cuda.scores, on_cpu.scores, rtol=TOLERANCE, atol=1e-6)
    torch.testing.assert_close(on_cuda.boxes, on_cpu.boxes, rtol=0, atol=2e-3)

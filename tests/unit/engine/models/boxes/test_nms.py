from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.ops import nms

from hrdet_cli.engine.models.boxes.nms import _keep_list_by_list, keep_after_nms
from tests.forked import run_forked
from tests.unit.engine.models.boxes.nms_by_interpreter import interpret


def random_boxes(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 60, (*shape, 2), generator=generator).float()
    return torch.cat((corners, corners + torch.randint(5, 40, (*shape, 2), generator=generator)), dim=-1)


def random_scores(*shape: int, seed: int) -> Tensor:
    """All different."""
    generator = torch.Generator().manual_seed(seed)
    ranks = torch.rand(*shape, generator=generator).argsort(dim=-1)
    return ranks.float() / shape[-1]


def naive_nms(boxes: Tensor, scores: Tensor, max_iou: float) -> list[int]:
    kept: list[int] = []
    for index in scores.argsort(descending=True, stable=True).tolist():
        x1, y1, x2, y2 = boxes[index].tolist()
        for other in kept:
            a1, b1, a2, b2 = boxes[other].tolist()
            shared = max(0, min(x2, a2) - max(x1, a1)) * max(0, min(y2, b2) - max(y1, b1))
            if shared / ((x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - shared) > max_iou:
                break
        else:
            kept.append(index)
    return kept


@pytest.mark.parametrize("lengths", [[80], [48, 32], [79, 0, 1], [30, 49, 1]])
def test_surviving_boxes_equal_a_naive_rewrite_list_by_list(lengths: list[int]) -> None:
    boxes, scores = random_boxes(3, 80, seed=0), random_scores(3, 80, seed=1)
    keep = keep_after_nms(boxes, scores, lengths=lengths, max_iou=0.4)
    for picture in range(3):
        start = 0
        for length in lengths:
            rows = slice(start, start + length)
            wanted = naive_nms(boxes[picture, rows], scores[picture, rows], 0.4)
            assert keep[picture, rows].nonzero().flatten().tolist() == sorted(wanted)
            start += length
        assert 0 < keep[picture].sum() < 80


@pytest.mark.parametrize("lengths", [[80], [79, 0, 1], [30, 49, 1]])
def test_where_triton_is_not_to_be_had_a_gpu_keeps_the_same_boxes(lengths: list[int]) -> None:
    boxes, scores = random_boxes(3, 80, seed=0), random_scores(3, 80, seed=1)
    scores[:, ::7] = -torch.inf
    keep = _keep_list_by_list(boxes, scores, lengths, 0.4)
    assert torch.equal(keep, keep_after_nms(boxes, scores, lengths=lengths, max_iou=0.4))
    assert _keep_list_by_list(boxes[:, :0], scores[:, :0], [0], 0.4).shape == (3, 0)


def test_a_box_with_a_score_of_minus_infinity_neither_survives_nor_suppresses() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 0.0, 0.0]]])
    scores = torch.tensor([[-torch.inf, -3.0, -torch.inf]])
    assert keep_after_nms(boxes, scores, lengths=[3], max_iou=0.5).tolist() == [[False, True, False]]


@pytest.mark.parametrize("num_boxes", [2, 48, 49])
def test_of_equal_scores_the_first_is_the_best_and_boxes_without_area_overlap_nothing(num_boxes: int) -> None:
    boxes = torch.tensor([5.0, 5.0, 5.0, 9.0]).repeat(num_boxes, 1)
    boxes[::2, 2] = 9
    keep = keep_after_nms(boxes, torch.ones(num_boxes), lengths=[num_boxes], max_iou=0.5)
    assert keep.tolist() == [True, *[row % 2 == 1 for row in range(1, num_boxes)]]


@pytest.mark.parametrize("copies", [1, 30])
@pytest.mark.parametrize("max_iou", [0.1, 0.3, 1 / 3, 0.7, 0.9])
def test_short_and_long_lists_are_judged_alike_at_the_threshold(max_iou: float, copies: int) -> None:
    """Pairs whose overlap is the threshold, but for rounding in any direction."""
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(500, 2, generator=generator) * 900
    side = 10 + torch.rand(500, 2, generator=generator) * 90
    shift = side * torch.tensor([(1 - max_iou) / (1 + max_iou), 0.0])
    pairs = torch.stack(
        (torch.cat((first, first + side), 1), torch.cat((first + shift, first + side + shift), 1)), 1
    )
    # Far from the pairs and from one another: they make lists long, and change nothing.
    far = torch.arange(2 * copies - 2).float()[:, None] * 20 + torch.tensor([5e3, 5e3, 5e3 + 9, 5e3 + 9])
    boxes = torch.cat((pairs, far.expand(500, -1, -1)), dim=1)
    keep = keep_after_nms(boxes, torch.zeros(boxes.shape[:2]), lengths=[2 * copies], max_iou=max_iou)
    for own, kept in zip(boxes, keep, strict=True):
        assert kept.nonzero().flatten().tolist() == nms(own, torch.zeros(len(own)), max_iou).tolist()
    assert 0 < keep[:, 1].sum() < 500


def test_a_class_is_judged_the_same_in_whatever_company() -> None:
    # IoU is 1/3 but for rounding; far shifts must not tip it over the threshold just above or below.
    pair = torch.tensor([[0.1, 0.1, 10.1, 10.1], [5.1, 0.1, 15.1, 10.1]])
    huge = torch.tensor([0.0, 0.0, 60_000.0, 60_000.0])
    for max_iou, num_kept in ((1 / 3 + 1e-6, 2), (1 / 3 - 1e-6, 1)):
        for num_classes in (1, 2, 80, 1203):
            boxes = huge.expand(num_classes, 2, 4).clone()
            boxes[-1] = pair
            scores = torch.tensor([0.9, 0.8]).expand(num_classes, 2)
            keep = keep_after_nms(boxes, scores, lengths=[2], max_iou=max_iou)
            assert keep.sum(dim=1).tolist() == [1] * (num_classes - 1) + [num_kept]


def test_nothing_in_gives_nothing_out() -> None:
    for shape, lengths in (((0,), [0]), ((2, 0), [0, 0]), ((0, 3), [3])):
        keep = keep_after_nms(torch.zeros(*shape, 4), torch.zeros(shape), lengths=lengths, max_iou=0.5)
        assert keep.shape == shape
        assert keep.dtype == torch.bool


def test_torch_can_trace_it() -> None:
    boxes, scores = random_boxes(2, 60, seed=0), random_scores(2, 60, seed=1)
    across_memory = boxes.transpose(0, 1), scores.T
    for given, lengths in (((boxes, scores), [50, 10]), (across_memory, [2])):
        torch.library.opcheck(
            torch.ops.hrdet.keep_after_nms.default, given, {"lengths": lengths, "max_iou": 0.5}
        )


@pytest.mark.parametrize("capability", [80, 90])
def test_the_kernel_for_gpus_compiles_to_the_arithmetic_of_a_cpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capability: int
) -> None:
    triton = pytest.importorskip("triton", reason="Triton comes with torch for CUDA")
    from triton.backends.compiler import GPUTarget

    from hrdet_cli.engine.models.boxes.nms_cuda import OPTIONS, TILE, keep_best_first

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    signature = {
        "boxes": "*fp32",
        "num_candidates": "*i32",
        "keep": "*i8",
        "length": "i32",
        "max_iou": "fp32",
    }
    source = triton.compiler.ASTSource(
        fn=keep_best_first, signature=signature | {"TILE": "constexpr"}, constexprs={"TILE": TILE}
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=dict(OPTIONS))
    assert "div.rn.f32" in compiled.asm["ptx"]
    assert "fma" not in compiled.asm["ptx"]
    assert compiled.asm["cubin"]


@pytest.mark.slow
def test_the_kernel_for_gpus_keeps_the_same_boxes() -> None:
    """In a process of its own, where Triton interprets it: that is decided when Triton is imported."""
    pytest.importorskip("triton", reason="Triton comes with torch for CUDA")
    done = run_forked(interpret)
    assert done.returncode == 0, done.stderr

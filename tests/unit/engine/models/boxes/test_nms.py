import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.nms import indices_after_class_nms, keep_after_nms


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
    for index in scores.argsort(descending=True).tolist():
        x1, y1, x2, y2 = boxes[index].tolist()
        for other in kept:
            a1, b1, a2, b2 = boxes[other].tolist()
            shared = max(0, min(x2, a2) - max(x1, a1)) * max(0, min(y2, b2) - max(y1, b1))
            if shared / ((x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - shared) > max_iou:
                break
        else:
            kept.append(index)
    return kept


def test_surviving_boxes_equal_a_naive_rewrite_picture_by_picture() -> None:
    boxes, scores = random_boxes(3, 80, seed=0), random_scores(3, 80, seed=1)
    keep = keep_after_nms(boxes, scores, max_iou=0.4)
    for picture in range(3):
        wanted = naive_nms(boxes[picture], scores[picture], 0.4)
        assert keep[picture].nonzero().flatten().tolist() == sorted(wanted)
        assert 0 < len(wanted) < 80


def test_a_box_with_a_score_of_minus_infinity_neither_survives_nor_suppresses() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 0.0, 0.0]]])
    scores = torch.tensor([[-torch.inf, -3.0, -torch.inf]])
    assert keep_after_nms(boxes, scores, max_iou=0.5).tolist() == [[False, True, False]]


def test_classes_do_not_suppress_one_another() -> None:
    boxes, scores = random_boxes(200, seed=2), random_scores(200, seed=3)
    labels = torch.randint(0, 5, (200,), generator=torch.Generator().manual_seed(4))
    kept = indices_after_class_nms(boxes, scores, labels, max_iou=0.3)
    wanted = []
    for label in range(5):
        rows = (labels == label).nonzero().flatten()
        wanted += [int(rows[index]) for index in naive_nms(boxes[rows], scores[rows], 0.3)]
    assert kept.tolist() == sorted(wanted, key=lambda index: -scores[index].item())


def test_a_class_is_judged_the_same_in_whatever_company() -> None:
    # IoU is 1/3 but for rounding; far shifts must not tip it over the threshold just above or below.
    pair = torch.tensor([[0.1, 0.1, 10.1, 10.1], [5.1, 0.1, 15.1, 10.1]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    huge = torch.tensor([[0.0, 0.0, 60_000.0, 60_000.0]])
    for max_iou, num_kept in ((1 / 3 + 1e-6, 2), (1 / 3 - 1e-6, 1)):
        for label in (0, 1, 79, 1202):
            labels = torch.tensor([label, label, label + 1])
            alone = indices_after_class_nms(pair, scores[:2], labels[:2], max_iou=max_iou)
            together = indices_after_class_nms(torch.cat((pair, huge)), scores, labels, max_iou=max_iou)
            assert alone.tolist() == together.tolist()[:-1]
            assert len(alone) == num_kept


def test_nothing_in_gives_nothing_out() -> None:
    none = torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    assert indices_after_class_nms(*none, max_iou=0.5).tolist() == []

import torch
from torchvision.ops import nms

from hrdet_cli.engine.export.class_nms import keep_after_class_nms


def scattered(num_classes: int, num_boxes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(num_classes, num_boxes, 2, generator=generator) * 30
    boxes = torch.cat((corners, corners + 5 + torch.rand(corners.shape, generator=generator) * 20), dim=-1)
    return boxes, torch.rand(num_classes, num_boxes, generator=generator)


def test_each_class_is_left_to_itself() -> None:
    boxes, scores = scattered(3, 40)
    kept = keep_after_class_nms(boxes, scores, 0.4)
    assert kept.shape == (3, 40)
    for label in range(3):
        assert set(kept[label].nonzero().flatten().tolist()) == set(
            nms(boxes[label], scores[label], 0.4).tolist()
        )
    assert 0 < kept.sum() < kept.numel()


def test_a_box_with_score_0_neither_survives_nor_suppresses() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0], [50.0, 50.0, 60.0, 60.0]]])
    kept = keep_after_class_nms(boxes, torch.tensor([[0.0, 0.3, 0.0]]), 0.5)
    assert kept.tolist() == [[False, True, False]]


def test_torch_can_trace_it() -> None:
    boxes, scores = scattered(2, 5)
    torch.library.opcheck(keep_after_class_nms, (boxes, scores, 0.5))

import torch

from hrdet_cli.engine.structures import Detections, Targets


def make_targets(masks: torch.Tensor | None) -> Targets:
    boxes, labels = torch.rand(2, 3, 4), torch.arange(6).view(2, 3)
    return Targets(boxes, labels, is_valid=labels > 2, masks=masks)


def test_targets_take_their_masks_to_another_device() -> None:
    moved = make_targets(torch.ones(2, 3, 8, 8, dtype=torch.uint8)).to(torch.device("meta"))
    assert moved.masks is not None
    assert (moved.masks.shape, moved.masks.dtype) == ((2, 3, 8, 8), torch.uint8)
    assert {part.device.type for part in (moved.boxes, moved.labels, moved.is_valid, moved.masks)} == {"meta"}


def test_targets_without_masks_have_none_elsewhere_either() -> None:
    assert make_targets(None).to(torch.device("meta")).masks is None


def test_detections_take_their_masks_to_host_memory() -> None:
    scores, masks = torch.tensor([[0.9, 0.5]]), torch.rand(1, 2, 28, 28)
    parts = (torch.rand(1, 2, 4), scores, torch.tensor([[1, 0]]), scores > 0.6)
    found = Detections(*parts, masks=masks).cpu()
    assert found.masks is masks
    assert all(copy is part for copy, part in zip((found.boxes, found.scores), parts, strict=False))
    assert Detections(*parts).cpu().masks is None

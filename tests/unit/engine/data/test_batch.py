from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from hrdet_cli.engine.data.batch import Batch, PictureRecord, load_batch
from hrdet_cli.engine.data.transforms import Crop, Placement, Resizing
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.errors import DataError


def _batch(masks: torch.Tensor | None = None) -> Batch:
    crop = Crop(top=3, left=5, size=Size(24, 32))
    resizing = Resizing(pixel_filter="bilinear", rounding="down", box_corners="inclusive")
    placement = Placement(Size(30, 45), crop, True, resizing)
    records = (
        PictureRecord(4, 77, "sub/ä.jpg", Size(20, 30), placement, torch.ones((2, 4))),
        PictureRecord(0, 3, "b.jpg", Size(10, 16), Placement(Size(20, 32)), torch.zeros((0, 4))),
    )
    images = ImageBatch(
        pixels=torch.randint(0, 256, (2, 3, 32, 64), dtype=torch.uint8, generator=torch.Generator()),
        sizes=torch.tensor([[24, 32], [20, 32]]),
        keys=torch.tensor([2**62 + 1, 0]),
    )
    targets = Targets(
        torch.rand((2, 8, 4)), torch.arange(16).reshape(2, 8), torch.arange(16).reshape(2, 8) % 3 == 0, masks
    )
    return Batch(images, targets, records)


def save_batch(batch: Batch, path: Path, class_names: Sequence[str] = ("a",)) -> None:
    with path.open("wb") as file:
        batch.save(file, class_names=class_names)


def test_a_saved_batch_comes_back_whole(tmp_path: Path) -> None:
    batch = _batch()
    save_batch(batch, tmp_path / "batch.pt", class_names=["a", "b"])
    loaded, class_names = load_batch(tmp_path / "batch.pt")
    assert class_names == ("a", "b")
    assert len(loaded) == 2
    for part in ("pixels", "sizes", "keys"):
        assert torch.equal(getattr(loaded.images, part), getattr(batch.images, part))
    for part in ("boxes", "labels", "is_valid"):
        assert torch.equal(getattr(loaded.targets, part), getattr(batch.targets, part))
    for record, original in zip(loaded.records, batch.records, strict=True):
        assert torch.equal(record.ignored_boxes, original.ignored_boxes)
        for field in ("index", "image_id", "file_name", "original", "placement", "scale_xy"):
            assert getattr(record, field) == getattr(original, field)


def test_masks_of_a_saved_batch_come_back(tmp_path: Path) -> None:
    masks = torch.arange(2 * 8 * 4 * 4).reshape(2, 8, 4, 4).to(torch.uint8)
    for given in (masks, None):
        save_batch(_batch(given), tmp_path / "batch.pt")
        loaded = load_batch(tmp_path / "batch.pt")[0].targets.masks
        assert loaded is None if given is None else torch.equal(torch.as_tensor(loaded), given)


def test_a_batch_that_was_saved_before_there_were_masks_is_read(tmp_path: Path) -> None:
    save_batch(_batch(), tmp_path / "batch.pt")
    content = torch.load(tmp_path / "batch.pt", weights_only=True)
    del content["targets"]["masks"]
    torch.save(content, tmp_path / "batch.pt")
    loaded, _ = load_batch(tmp_path / "batch.pt")
    assert loaded.targets.masks is None
    assert loaded.targets.boxes.shape == (2, 8, 4)


def test_useful_pixels_are_those_of_the_pictures() -> None:
    assert _batch().useful_pixel_share == (24 * 32 + 20 * 32) / (2 * 32 * 64)


def test_the_scale_of_a_picture_is_that_of_the_resize_on_each_axis() -> None:
    assert _batch().records[0].scale_xy == (45 / 30, 30 / 20)
    assert _batch().records[1].scale_xy == (2, 2)


@pytest.mark.parametrize("content", [b"", b"not a batch", None])
def test_a_file_that_is_no_batch_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "batch.pt"
    if content is None:
        torch.save({"model": torch.zeros(2)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError) as refused:
        load_batch(path)
    assert str(refused.value) == (
        f"{path} is not a batch saved by a training run, or not a whole one; "
        "name the batch that a stopped run saved."
    )


def test_a_batch_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError) as missing:
        load_batch(tmp_path / "none.pt")
    assert (
        str(missing.value) == f"{tmp_path}/none.pt does not exist; name the batch that a stopped run saved."
    )
    with pytest.raises(DataError) as folder:
        load_batch(tmp_path)
    assert str(folder.value) == f"{tmp_path} cannot be read: Is a directory."

"""A batch whose pictures have no padding yet: what travels from a worker to the device."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from hrdet_cli.engine.data.batch import Batch, PictureFault, PictureRecord
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.structures import ImageBatch, Targets


@dataclass(frozen=True, slots=True, eq=False)
class UnpaddedBatch:
    """N pictures that are to lie on one canvas, with all else of their batch, in host memory.

    Padding is nearly half of the canvases of ``fixed``.  It is made where the pictures go, so that neither a
    worker nor a copy to a GPU has anything to do with it.

    Attributes:
        pictures: N times ``(3, h, w)`` uint8 RGB, best as rows of triples. Their memory, and that of masks,
            may soon be used for another batch.
        canvas: What they are to lie on.
        keys: N random keys, see ``ImageBatch``.
        targets: See ``Batch``, as are the others.
        records: N.
        broken: Pictures that could not be read.
        damaged: Pictures that could, with damage.
    """

    pictures: Sequence[Tensor]
    canvas: Size
    keys: Sequence[int]
    targets: Targets
    records: tuple[PictureRecord, ...]
    broken: tuple[PictureFault, ...] = ()
    damaged: tuple[PictureFault, ...] = ()

    def pin_memory(self) -> Self:
        """Copy into page-locked memory; called by ``torch.utils.data.DataLoader``."""
        pictures = [picture.pin_memory() for picture in self.pictures]
        return replace(self, pictures=pictures, targets=self.targets.pin_memory())

    def padded(self, device: torch.device) -> Batch:
        """Copy to a device and pad there: pictures in the top left corners of canvases of zeros.

        Args:
            device: Where to; from page-locked memory the host need not wait for a GPU.

        Returns:
            A batch that has no such memory.
        """
        pixels = _empty_canvases(len(self.pictures), self.canvas, device)
        for canvas, picture in zip(pixels, self.pictures, strict=True):
            _, height, width = picture.shape
            canvas[:, :height, :width] = picture.to(device, non_blocking=True)
        targets = self.targets.to(device)
        if targets.masks is not None and targets.masks is self.targets.masks:  # nothing was copied
            targets = replace(targets, masks=targets.masks.clone())
        sizes = [picture.shape[1:] for picture in self.pictures]
        images = ImageBatch(
            pixels=pixels,
            sizes=torch.tensor(sizes, dtype=torch.int64).reshape(-1, 2),
            keys=torch.tensor(self.keys, dtype=torch.int64),
        )
        return Batch(images.to(device), targets, self.records, self.broken, self.damaged)


def _empty_canvases(count: int, canvas: Size, device: torch.device) -> Tensor:
    """``(N, 3, H, W)`` uint8 zeros; rows of RGB triples, as decoders give them."""
    shape = (count, canvas.height, canvas.width, 3)
    if device.type == "cpu":  # numpy gets large pages of the kernel, which are zero already
        return torch.from_numpy(np.zeros(shape, dtype=np.uint8)).permute(0, 3, 1, 2)
    return torch.zeros(shape, dtype=torch.uint8, device=device).permute(0, 3, 1, 2)

"""A detector, put together from its parts: the trunk, which all kinds have alike, and a head."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Literal

import torch
from torch import Tensor, nn

from hrdet_cli.engine.models.head import Head
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.norm.folding import fold_norms
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import ClassRows, Detections, ImageBatch, Targets

PixelOrder = Literal["rgb", "bgr"]
_WIDE_CHANNELS = 256
"""Of a convolution whose backward pass takes a half longer, or more, over channels-last features, on a CPU
without AVX-512. With it all of a step takes less time over those (``tests/benchmarks/feature_layout.py``)."""


class Detector(nn.Module):
    """Pixels in, losses or detections out.

    Its children, and the first words of its tensors' names, are ``backbone``, ``neck`` and the head's parts.

    Attributes:
        head: See the constructor.
        hides_padding: See the constructor; can be changed, as the norms can.
        is_nchw_to_train_on_cpu: Whether the backbone's features do not lie channels-last then; by the
            processor and the convolutions' widths.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: nn.Module,
        head: Head,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        pixel_order: PixelOrder = "rgb",
        hides_padding: bool = False,
    ) -> None:
        """Put a detector together.

        Args:
            backbone: ``(N, 3, H, W)`` float, and the area of the pictures or None, to a tuple of feature
                maps.
            neck: These, and the area, to a ``Pyramid``.
            head: Makes losses and candidates of that.
            pixel_mean: Red, green and blue, in 0 .. 255.
            pixel_std: Likewise.
            pixel_order: Order of the colours that the backbone sees; pictures come as red, green, blue.
            hides_padding: Norms count the pixels of the pictures, and what they put out is zero elsewhere, so
                that losses, gradients and detections do not depend on how much padding a batch has. The
                canvas's sides must be multiples of 32.
        """
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        for name, part in head.parts.items():
            self.add_module(name, part)
        self.head = head
        self.pixel_order = pixel_order
        self.hides_padding = hides_padding
        self.is_nchw_to_train_on_cpu = torch.backends.cpu.get_cpu_capability() != "AVX512" and any(
            _is_wide(module) for module in self.modules()
        )
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(3, 1, 1), persistent=False)

    def forward(self, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
        """Losses of a training step.

        Args:
            images: N pictures.
            targets: Their ground truth, at least one row (which may be padding).

        Returns:
            Float32 scalars by the head's names; train on their sum. Every parameter gets a gradient, of zero
            if there is nothing to learn.
        """
        return self.head.losses(self.pyramid(images), images, targets)

    @torch.no_grad()
    def detect(self, images: ImageBatch) -> Detections:
        """Find the objects in each picture. Call it in evaluation mode.

        Args:
            images: N pictures.

        Returns:
            Detections in canvas pixels.
        """
        pyramid = self.pyramid(images)
        candidates = self.head.candidates(pyramid, images.sizes)
        return self.head.complete(pyramid, self.head.selector.select(candidates, images.sizes))

    def for_detection(self) -> "Detector":
        """What detects the same with the present weights, up to rounding, in less time on a CPU.

        There norms of backbone and neck are part of their convolutions (``fold_norms``). All else is shared.
        """
        if self.pixel_mean.device.type != "cpu":
            return self
        twin = copy(self)
        twin._modules = {
            **self._modules,
            "backbone": fold_norms(self.backbone),
            "neck": fold_norms(self.neck),
        }
        return twin

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        """Layers whose rows are classes, by name; see ``Head``."""
        return self.head.class_rows

    def pyramid(self, images: ImageBatch) -> Pyramid:
        """What the head sees of N pictures; with their area where padding is hidden."""
        area = ValidArea.on_canvas(images.canvas, images.sizes) if self.hides_padding else None
        return self.head.prepare(self.neck(self.backbone(self.normalise(images), area), area))

    def normalise(self, images: ImageBatch) -> Tensor:
        """What the backbone sees.

        Zero in the padding, which is then the mean colour, not black as the raw zeros there would be.

        Args:
            images: N pictures.

        Returns:
            ``(N, 3, H, W)`` in the weights' dtype and the backbone's order of colours, in the memory layout
            that the backbone's features take over: channels last, except where
            ``is_nchw_to_train_on_cpu``. There what comes out of wide 3x3 convolutions of neck and head is
            channels-last again.
        """
        canvas, sizes = images.canvas, images.sizes
        rows = torch.arange(canvas.height, device=sizes.device) < sizes[:, :1]
        columns = torch.arange(canvas.width, device=sizes.device) < sizes[:, 1:]
        is_picture = rows[:, None, :, None] & columns[:, None, None, :]
        goes_back_on_cpu = torch.is_grad_enabled() and images.pixels.device.type == "cpu"
        is_nchw = goes_back_on_cpu and self.is_nchw_to_train_on_cpu
        memory_format = torch.contiguous_format if is_nchw else torch.channels_last
        pixels = images.pixels.to(self.pixel_mean.dtype, memory_format=memory_format)
        normalised = pixels.sub_(self.pixel_mean).div_(self.pixel_std).mul_(is_picture)
        return normalised if self.pixel_order == "rgb" else normalised.flip(1)


def _is_wide(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size[0] > 1
        and min(module.in_channels, module.out_channels) >= _WIDE_CHANNELS
    )

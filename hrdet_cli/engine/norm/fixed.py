"""Batch normalisation that never looks at the batch."""

from torch import Tensor, nn
from torch.nn import functional as F


class FixedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with the statistics it was loaded with, in training mode too.

    Scale and shift train if they require a gradient.  ``state_dict`` is that of the base class.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the base class calls it so
        """Normalise ``(N, C, H, W)`` features by the running statistics."""
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )

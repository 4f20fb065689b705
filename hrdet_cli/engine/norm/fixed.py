"""Batch normalisation that never looks at the batch."""

from torch import Tensor, nn

from hrdet_cli.engine.norm.kernels import apply_statistics


class FixedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with the statistics it was loaded with, in training mode too.

    Scale and shift train if they require a gradient.  ``state_dict`` is that of the base class.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the base class calls it so
        """Normalise ``(N, C, H, W)`` features by the running statistics."""
        mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        return apply_statistics(input, self.weight, self.bias, mean, variance, epsilon=self.eps)

"""Batch normalisation that never looks at the batch."""

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hrdet_cli.engine.norm.kernels import apply_statistics, to_map


class FixedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with the statistics it was loaded with, in training mode too.

    Scale and shift train if they require a gradient.  ``state_dict`` is that of the base class.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the base class calls it so
        """Normalise ``(N, C, H, W)`` features by the running statistics."""
        mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        return apply_statistics(input, self.weight, self.bias, mean, variance, epsilon=self.eps)


def apply_to_any_number(norm: _BatchNorm, features: Tensor) -> Tensor:
    """What a batch norm makes of ``(N, C, H, W)`` features by its running statistics, whatever N is.

    Torch's operator asks whether there are any, which an exported graph cannot know of what is found.
    """
    scaled = (features - to_map(norm.get_buffer("running_mean"))) * to_map(factor_of(norm))
    return scaled + to_map(norm.bias) if norm.affine else scaled


def factor_of(norm: _BatchNorm) -> Tensor:
    """What a batch norm that has its statistics multiplies each channel by: ``(C,)``."""
    factor = (norm.get_buffer("running_var") + norm.eps).rsqrt()
    return factor * norm.weight if norm.affine else factor

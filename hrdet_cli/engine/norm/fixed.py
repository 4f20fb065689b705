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
        return apply_own_statistics(self, input)


def apply_own_statistics(norm: nn.BatchNorm2d, features: Tensor) -> Tensor:
    """What a batch norm makes of ``(N, C, H, W)`` features by its running statistics, in any mode."""
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    return apply_statistics(features, norm.weight, norm.bias, mean, variance, epsilon=norm.eps)


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

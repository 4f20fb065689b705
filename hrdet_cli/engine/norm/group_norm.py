"""Group norm when only the pixels of the pictures count.

Wu and He, arXiv:1803.08494, equations 1 to 5, with a picture's cells in place of all of a map's.
"""

from torch import Tensor, nn

from hrdet_cli.engine.norm.kernels import precision_of, to_map
from hrdet_cli.engine.norm.valid_area import ValidCells


def normalise_groups(norm: nn.GroupNorm, features: Tensor, cells: ValidCells) -> Tensor:
    """Normalise each group of channels of each picture by its mean and variance over the picture's cells.

    Args:
        norm: Whose settings and parameters to use.
        features: ``(N, C, H, W)``.
        cells: Those that count.

    Returns:
        ``(N, C, H, W)`` in the features' dtype, zero elsewhere. A map without any cells is all zero.
    """
    num_pictures, num_channels, height, width = features.shape
    per_group = num_channels // norm.num_groups
    values = features.to(precision_of(features)).view(num_pictures, norm.num_groups, per_group, height, width)
    counts = cells.is_valid[:, None].to(values.dtype)
    num_values = (counts.sum((2, 3, 4), keepdim=True) * per_group).clamp(min=1)
    mean = (values * counts).sum((2, 3, 4), keepdim=True) / num_values
    centred = (values - mean) * counts
    variance = centred.square().sum((2, 3, 4), keepdim=True) / num_values
    normalised: Tensor = (centred * (variance + norm.eps).rsqrt()).flatten(1, 2)
    if norm.affine:
        normalised = (normalised * to_map(norm.weight) + to_map(norm.bias)) * cells.is_valid
    return normalised.to(features.dtype)

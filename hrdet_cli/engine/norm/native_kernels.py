"""Batch norm in torch's own kernels: for CPUs, and for CUDA those of :class:`torch.nn.SyncBatchNorm`."""

import torch
from torch import Tensor

from hrdet_cli.engine.norm.kernels import (
    Kernels,
    PlainKernels,
    apply_statistics,
    laid_out_like,
    precision_of,
    to_map,
)


def kernels_for(features: Tensor) -> Kernels:
    """Those of the device; plain ones on other devices and under ``torch.compile``, which fuses by itself."""
    if may_be_fused(features):
        return FusedKernels()
    if features.device.type == "cpu" and not torch.compiler.is_compiling():
        return CpuKernels()
    return PlainKernels()


def may_be_fused(features: Tensor) -> bool:
    """Whether torch's CUDA kernels are to be used on features."""
    return features.is_cuda and not torch.compiler.is_compiling()


class CpuKernels:
    """Torch's kernels for CPUs: a pass over the features where plain operations take several."""

    def statistics(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Kernels`."""
        return _statistics(features.to(precision_of(features)))

    def normalise(
        self,
        features: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        inverse_std: Tensor,
    ) -> Tensor:
        """See :class:`Kernels`."""
        del inverse_std  # an argument of the fused kernel
        output, _, _ = torch.native_batch_norm(features, weight, bias, mean, variance, False, 0.0, 0.0)
        return output

    def gradient_sums(
        self, gradient: Tensor, features: Tensor, mean: Tensor, inverse_std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Kernels`."""
        del inverse_std  # an argument of the fused kernel
        # Gradients of scale and shift by given statistics, whose variance is one, are the sums.
        upstream = laid_out_like(features, gradient).to(mean.dtype)
        _, products, sums = torch.ops.aten.native_batch_norm_backward(
            upstream,
            features.to(mean.dtype),
            None,
            mean,
            torch.ones_like(mean),
            None,
            None,
            False,
            0.0,
            [False, True, True],
        )
        return sums, products

    def input_gradient(
        self,
        gradient: Tensor,
        features: Tensor,
        weight: Tensor | None,
        mean: Tensor,
        inverse_std: Tensor,
        mean_gradient: Tensor,
        mean_product: Tensor,
    ) -> Tensor:
        """See :class:`Kernels`."""
        scale = inverse_std if weight is None else inverse_std * weight
        opposite = -scale
        slope, shift = opposite * mean_product * inverse_std.square(), opposite * mean_gradient
        values = features.to(mean.dtype)
        result = apply_statistics(values, slope, shift, mean, torch.ones_like(mean))
        result.addcmul_(gradient.to(mean.dtype), to_map(scale))
        return result.to(features.dtype)


class FusedKernels:
    """Torch's CUDA kernels: one pass over the features for each method."""

    def statistics(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Kernels`."""
        return _statistics(features)

    def normalise(
        self,
        features: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        inverse_std: Tensor,
    ) -> Tensor:
        """See :class:`Kernels`."""
        del variance  # an argument of the plain kernels
        unused_eps = 0.0
        return torch.batch_norm_elemt(features, weight, bias, mean, inverse_std, unused_eps)

    def gradient_sums(
        self, gradient: Tensor, features: Tensor, mean: Tensor, inverse_std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Kernels`."""
        sums, products, _, _ = torch.batch_norm_backward_reduce(
            laid_out_like(features, gradient),
            features,
            mean,
            inverse_std,
            None,
            input_g=True,
            weight_g=False,
            bias_g=False,
        )
        return sums, products

    def input_gradient(
        self,
        gradient: Tensor,
        features: Tensor,
        weight: Tensor | None,
        mean: Tensor,
        inverse_std: Tensor,
        mean_gradient: Tensor,
        mean_product: Tensor,
    ) -> Tensor:
        """See :class:`Kernels`."""
        # The kernel divides sums by the sum of all counts; ours are divided already.
        count = torch.ones(1, dtype=torch.int32, device=features.device)
        return torch.batch_norm_backward_elemt(
            laid_out_like(features, gradient),
            features,
            mean,
            inverse_std,
            None if weight is None else weight.to(mean.dtype),
            mean_gradient,
            mean_product,
            count,
        )


def _statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance by torch's own kernel, on a CPU or on CUDA."""
    # Without running statistics this "update" gives what torch.batch_norm_stats does, except for the variance
    # itself in place of its inverse root.
    mean, variance = torch.batch_norm_update_stats(features, None, None, 0.0)
    return mean, variance

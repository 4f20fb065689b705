"""Batch norm in torch's own kernels: for CPUs, and for CUDA those of :class:`torch.nn.SyncBatchNorm`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hrdet_cli.engine.norm.kernels import (
    InputGradientRows,
    Kernels,
    PlainKernels,
    by_norm,
    laid_out_like,
    linear_maps,
    precision_of,
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
        """See :class:`Reductions`."""
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
        self, gradient: Tensor, features: Tensor, mean: Tensor, variance: Tensor, inverse_std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Reductions`."""
        del inverse_std  # an argument of the fused kernel
        # Those of scale and shift where statistics are given.
        _, products, sums = torch.ops.aten.native_batch_norm_backward(
            laid_out_like(features, gradient).to(mean.dtype),
            features.to(mean.dtype),
            None,
            mean,
            variance,
            None,
            None,
            False,
            0.0,
            [False, True, True],
        )
        return sums, products

    def input_gradients(
        self, gradients: Sequence[Tensor], features: Sequence[Tensor], rows: InputGradientRows
    ) -> list[Tensor]:
        """See :class:`Kernels`."""
        of_gradients, of_features, summands = linear_maps(features, rows)
        results = torch._foreach_addcmul(summands, [*features], of_features)
        torch._foreach_addcmul_(results, [*gradients], of_gradients)
        return [result.to(x.dtype) for result, x in zip(results, features, strict=True)]


class FusedKernels:
    """Torch's CUDA kernels: one pass over the features for each method."""

    def statistics(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Reductions`."""
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
        self, gradient: Tensor, features: Tensor, mean: Tensor, variance: Tensor, inverse_std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Reductions`."""
        del variance  # an argument of other kernels
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
        return sums, products * inverse_std

    def input_gradients(
        self, gradients: Sequence[Tensor], features: Sequence[Tensor], rows: InputGradientRows
    ) -> list[Tensor]:
        """See :class:`Kernels`."""
        # The kernel divides sums by the sum of all counts; ours are divided already.
        count = torch.ones(1, dtype=torch.int32, device=features[0].device)
        centred_product = rows.mean_product / rows.inverse_std
        of_kernel = (rows.mean, rows.inverse_std, rows.weight, rows.mean_gradient, centred_product)
        of_norms = zip(gradients, features, *by_norm(of_kernel, features), strict=True)
        return [
            torch.batch_norm_backward_elemt(
                laid_out_like(x, gradient), x, mean, inverse_std, weight, sum_, product, count
            )
            for gradient, x, mean, inverse_std, weight, sum_, product in of_norms
        ]


def _statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance by torch's own kernel, on a CPU or on CUDA."""
    # Without running statistics this "update" gives what torch.batch_norm_stats does, except for the variance
    # itself in place of its inverse root.
    mean, variance = torch.batch_norm_update_stats(features, None, None, 0.0)
    return mean, variance

"""Batch norm over all processes, and how norms that are due at the same time are applied.

A message is a few kilobytes and costs its latency, so norms that are due together share one: all channels of
all of them are one long vector, from the statistics to the running ones (:mod:`.batch_norm`).
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.norm.batch_norm import MergeRule, normalise_by_batch
from hrdet_cli.engine.norm.fixed import FixedBatchNorm2d, apply_own_statistics, apply_to_any_number
from hrdet_cli.engine.norm.group_norm import normalise_groups
from hrdet_cli.engine.norm.kernels import apply_statistics
from hrdet_cli.engine.norm.remade import note_way, ways_are_wanted
from hrdet_cli.engine.norm.valid_area import CountedArea, without_padding

SyncBackEnd = Literal["coalesced", "per-layer", "equal-count"]


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the batch of all processes; with one process exactly :class:`torch.nn.BatchNorm2d`.

    In training mode all processes must reach their norms in the same order, each with at least one picture.
    ``state_dict`` is that of the base class.
    """

    def __init__(
        self,
        num_features: int,
        *,
        back_end: SyncBackEnd = "coalesced",
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Build as the base class does.

        Args:
            num_features: Channels.
            back_end: ``"coalesced"`` shares messages with the norms that are due at the same time,
                ``"per-layer"`` has one of its own.  ``"equal-count"``, too, but merges processes as if each
                held equally many pixels, as NVIDIA's apex did until July 2020 (its pull request 792): wrong
                unless they do, and here to show that.
            eps: See the base class, as for all that follows.
            momentum: None makes running statistics the mean of all batches'.
            affine: Have scale and shift.
            track_running_stats: Have running statistics.
            device: Of parameters and buffers.
            dtype: Of parameters and buffers.
        """
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device=device, dtype=dtype)
        self.back_end = back_end

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the base class calls it so
        """Normalise ``(N, C, H, W)`` features; in training one message forward and one backward."""
        if not _synchronises(self):
            return super().forward(input)
        return _synchronise([self], [input], None)[0]


def normalise_together(
    requests: Sequence[tuple[nn.Module, Tensor]], area: CountedArea | None = None
) -> list[Tensor]:
    """Apply norms that do not depend on each other, with one message for those that can share it.

    These are the ``"coalesced"`` :class:`SyncBatchNorm2d` in training mode.  Every other module, such as the
    norms of a frozen part, is called as usual, but for group norms and others that synchronise: forward hooks
    run on none of these.  Of a single value for each channel or group, which torch's modules refuse, the
    shift comes out.

    Args:
        requests: Norms and their ``(N, C, H, W)`` features, of any sizes and dtypes; on all processes the
            same norms in the same order.
        area: Statistics of the batch are those of the pictures' pixels, and all outputs are zero elsewhere;
            forward hooks do not run on norms with statistics of the batch.  None counts all pixels.

    Raises:
        ValueError: There is an area, and a norm that cannot leave the padding out.
    """
    sharing = [index for index, (norm, _) in enumerate(requests) if _shares_message(norm)]
    # Without a message there is less to share: the small operations on vectors of all channels.
    local = [
        index
        for index, (norm, _) in enumerate(requests)
        if isinstance(norm, nn.BatchNorm2d) and _takes_statistics(norm) and not _synchronises(norm)
    ]
    if area is None and all(_are_taken_by_torch(requests[index][1]) for index in local):
        local = []
    outputs = {
        index: _normalise_alone(norm, x, area)
        for index, (norm, x) in enumerate(requests)
        if index not in sharing and index not in local
    }
    for indices, apply in ((sharing, _synchronise), (local, _normalise_locally)):
        if indices:
            norms: list[Any] = [requests[index][0] for index in indices]
            inputs = [requests[index][1] for index in indices]
            outputs.update(zip(indices, apply(norms, inputs, area), strict=True))
    return [outputs[index] for index in range(len(requests))]


def normalise(norm: nn.Module, features: Tensor, area: CountedArea | None) -> Tensor:
    """Apply one norm; arguments, result and errors are those of :func:`normalise_together`."""
    return normalise_together([(norm, features)], area)[0]


def _normalise_alone(norm: nn.Module, features: Tensor, area: CountedArea | None) -> Tensor:
    """A norm with a message of its own, or with statistics of each picture, or that it has already."""
    if isinstance(norm, SyncBatchNorm2d) and _synchronises(norm):
        return _synchronise([norm], [features], area)[0]
    if isinstance(norm, nn.GroupNorm):
        normalised = _normalise_groups(norm, features, area)
    elif area is None:
        normalised = _normalise_everywhere(norm, features)
    elif isinstance(norm, nn.Identity) or (isinstance(norm, _BatchNorm) and not _takes_statistics(norm)):
        normalised = without_padding(norm(features), area)
    else:
        raise ValueError(f"{type(norm).__name__} cannot leave the padding out of its statistics")
    if ways_are_wanted():
        _note_way_of(norm, features.detach(), area, normalised)
    return normalised


def _normalise_everywhere(norm: nn.Module, features: Tensor) -> Tensor:
    if isinstance(norm, _BatchNorm) and not _takes_statistics(norm) and _is_of_any_number(features):
        return apply_to_any_number(norm, features)
    normalised: Tensor = norm(features)
    return normalised


def _normalise_groups(norm: nn.GroupNorm, features: Tensor, area: CountedArea | None) -> Tensor:
    if area is None:  # the module refuses groups of one value, unlike its operator
        return torch.group_norm(features, norm.num_groups, norm.weight, norm.bias, norm.eps)
    return normalise_groups(norm, features, area.cells_of(features))


def _note_way_of(norm: nn.Module, features: Tensor, area: CountedArea | None, normalised: Tensor) -> None:
    """For norms of torch's; others say so themselves, or what they put out is kept."""
    if isinstance(norm, nn.GroupNorm):
        note_way(normalised, partial(_normalise_groups, norm, features, area))
    elif isinstance(norm, nn.BatchNorm2d) and not _takes_statistics(norm):
        note_way(normalised, partial(_normalise_by_own_statistics, norm, features, area))
    elif isinstance(norm, nn.BatchNorm2d):
        parameters: tuple[Any, Any] = norm.weight, norm.bias
        node: Any = normalised.grad_fn
        if type(node).__name__ == "NativeBatchNormBackward0" and normalised.device.type == "cpu":
            found = node._saved_result1, node._saved_result2
            note_way(normalised, partial(_normalise_by_found_statistics, features, *parameters, *found))
        else:  # on CUDA its kernels round otherwise when they are given statistics
            by_batch = partial(F.batch_norm, features, None, None, *parameters, training=True, eps=norm.eps)
            note_way(normalised, by_batch)


def _normalise_by_own_statistics(norm: nn.BatchNorm2d, features: Tensor, area: CountedArea | None) -> Tensor:
    return without_padding(apply_own_statistics(norm, features), area)


def _normalise_by_found_statistics(
    features: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, inverse_std: Tensor
) -> Tensor:
    """What torch's batch norm put out on a CPU when it found these statistics.

    Its kernel multiplies the weight by the inverse deviation before all else.  So a weight that has been
    multiplied, and a variance of one, lead to the same.
    """
    factor = inverse_std if weight is None else inverse_std * weight
    return apply_statistics(features, factor, bias, mean, torch.ones_like(mean))


def _synchronise(
    norms: Sequence[SyncBatchNorm2d], inputs: Sequence[Tensor], area: CountedArea | None
) -> list[Tensor]:
    rule: MergeRule = "equal-count" if norms[0].back_end == "equal-count" else "exact"
    return normalise_by_batch(norms, inputs, area=area, merge=rule)


def _normalise_locally(
    norms: Sequence[nn.BatchNorm2d], inputs: Sequence[Tensor], area: CountedArea | None
) -> list[Tensor]:
    return normalise_by_batch(norms, inputs, area=area, merge=None)


def _are_taken_by_torch(features: Tensor) -> bool:
    """Whether torch's batch norm takes the features: also none at all, of which it records nothing."""
    return features.numel() != features.shape[1]


def _is_of_any_number(features: Tensor) -> bool:
    """Whether a graph is being made that does not know how many maps there will be."""
    return isinstance(features.shape[0], torch.SymInt)


def _shares_message(norm: nn.Module) -> bool:
    return isinstance(norm, SyncBatchNorm2d) and norm.back_end == "coalesced" and _synchronises(norm)


def _takes_statistics(norm: _BatchNorm) -> bool:
    """Whether a norm normalises by the statistics of its input, in the mode that it is in."""
    return (norm.training or norm.running_mean is None) and not isinstance(norm, FixedBatchNorm2d)


def _synchronises(norm: nn.Module) -> bool:
    return isinstance(norm, SyncBatchNorm2d) and norm.training and current_world().size > 1

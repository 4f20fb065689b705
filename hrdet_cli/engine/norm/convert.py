"""Change how a built network is normalised."""

from dataclasses import dataclass
from math import gcd
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hrdet_cli.engine.norm.back_ends import NormBackEnd, build_sync_norm
from hrdet_cli.engine.norm.fixed import FixedBatchNorm2d

NormKind = Literal["batch", "sync", "frozen", "group"]


@dataclass(frozen=True, slots=True)
class NormReport:
    """What :func:`convert_norm` did.

    Attributes:
        kind: The kind that was asked for.
        back_end: What synchronises; None for kinds that do not.
        num_converted: Norm layers of that kind there are now; a layer in several places counts once.
        num_left_frozen: Norm layers of frozen parts, which have fixed statistics whatever the kind.
        left_alone: Names of batch norms of sequences and volumes, which stay as they are.
    """

    kind: NormKind
    back_end: NormBackEnd | None
    num_converted: int
    num_left_frozen: int
    left_alone: tuple[str, ...]


def convert_norm(
    model: nn.Module,
    *,
    kind: NormKind,
    back_end: NormBackEnd = "coalesced",
    keep_statistics: bool = False,
    num_groups: int = 32,
    epsilon: float | None = None,
) -> NormReport:
    """Replace every batch norm of pictures inside a model, in place.

    ======== ============================================= =======================
    kind     statistics                                    scale and shift
    ======== ============================================= =======================
    batch    of the process's batch; with                  trained
             ``keep_statistics`` those that were loaded
    sync     of the batch of all processes                 trained
    frozen   those that were loaded                        kept
    group    of groups of channels of one picture          trained
    ======== ============================================= =======================

    ============ ===========================================================================
    back end     what makes ``sync``
    ============ ===========================================================================
    coalesced    ours, exact for any sizes; norms that are due together share a message
    per-layer    ours, exact; every norm has its own messages
    equal-count  ours, merging processes as if each held equally many pixels: wrong otherwise
    torch        :class:`torch.nn.SyncBatchNorm`; trains on CUDA only
    apex         NVIDIA's ``apex.parallel.SyncBatchNorm``; trains on CUDA only
    ============ ===========================================================================

    Parameters and buffers move into the new layers as they are, so optimisers and shared weights stay valid,
    and ``state_dict`` keeps its keys except for ``group``, which has no running statistics.  A layer whose
    scale and shift require no gradient belongs to a frozen part of the network: it gets fixed statistics,
    whatever the kind.

    Args:
        model: Any module that contains :class:`torch.nn.BatchNorm2d` layers, of any of the kinds and back
            ends above.
        kind: What the layers become.
        back_end: Only for ``sync``.
        keep_statistics: Only with ``batch``, and implied by ``frozen``.
        num_groups: Only for ``group``; channels it does not divide are split by the greatest common divisor.
        epsilon: Added to the variance from now on, in frozen parts too; None leaves each layer's own. Where
            statistics are those of a batch, torch wants it above 0.

    Raises:
        SpecError: The back end is not to be had; the model is as it was.
        ValueError: ``keep_statistics`` with a kind that has no statistics to keep.
    """
    if keep_statistics and kind in ("sync", "group"):
        raise ValueError(f"keep_statistics has no meaning for norm kind '{kind}'; use it with 'batch'")
    new_by_old: dict[_BatchNorm, nn.Module] = {}
    left_alone: dict[_BatchNorm, str] = {}
    num_left_frozen = 0
    for path, old in list(model.named_modules(remove_duplicate=False)):
        if not isinstance(old, _BatchNorm):
            continue
        if isinstance(old, nn.BatchNorm1d | nn.BatchNorm3d):
            left_alone.setdefault(old, path)
            continue
        if old not in new_by_old:
            is_frozen = _is_frozen(old)
            num_left_frozen += is_frozen
            new_by_old[old] = _replacement(
                old,
                kind="frozen" if is_frozen else kind,
                back_end=back_end,
                keep_statistics=keep_statistics,
                num_groups=num_groups,
                epsilon=old.eps if epsilon is None else epsilon,
            )
        model.set_submodule(path, new_by_old[old])
    return NormReport(
        kind=kind,
        back_end=back_end if kind == "sync" else None,
        num_converted=len(new_by_old) - num_left_frozen,
        num_left_frozen=num_left_frozen,
        left_alone=tuple(left_alone.values()),
    )


def _is_frozen(norm: _BatchNorm) -> bool:
    return norm.affine and not any(parameter.requires_grad for parameter in norm.parameters())


def _replacement(
    old: _BatchNorm,
    *,
    kind: NormKind,
    back_end: NormBackEnd,
    keep_statistics: bool,
    num_groups: int,
    epsilon: float,
) -> nn.Module:
    """Build the layer on no device at all, then hand it the old one's tensors."""
    channels = old.num_features
    new: nn.Module
    with torch.device("meta"):
        if kind == "sync":
            new = build_sync_norm(back_end, like=old, epsilon=epsilon)
        elif kind == "group":
            new = nn.GroupNorm(gcd(num_groups, channels), channels, epsilon, old.affine)
        else:
            norm_class = FixedBatchNorm2d if kind == "frozen" or keep_statistics else nn.BatchNorm2d
            new = norm_class(channels, epsilon, old.momentum, old.affine, old.track_running_stats)
    if kind != "group":
        for name, buffer in old.named_buffers():
            setattr(new, name, buffer)
    for name, parameter in old.named_parameters():
        setattr(new, name, parameter)
    if kind == "frozen":
        new.requires_grad_(False)
    return new.train(old.training)

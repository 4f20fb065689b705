"""Change how a built network is normalised."""

from dataclasses import dataclass
from math import gcd
from typing import Literal

import torch
from torch import nn

from hrdet_cli.engine.norm.fixed import FixedBatchNorm2d
from hrdet_cli.engine.norm.sync import SyncBatchNorm2d

NormKind = Literal["batch", "sync", "frozen", "group"]


@dataclass(frozen=True, slots=True)
class NormReport:
    """What :func:`convert_norm` did.

    Attributes:
        kind: The kind that was asked for.
        num_converted: Norm layers of that kind there are now; a layer in several places counts once.
        num_left_frozen: Norm layers of frozen parts, which have fixed statistics whatever the kind.
    """

    kind: NormKind
    num_converted: int
    num_left_frozen: int


def convert_norm(
    model: nn.Module, *, kind: NormKind, keep_statistics: bool = False, num_groups: int = 32
) -> NormReport:
    """Replace every batch norm inside a model, in place.

    ======== ============================================= =======================
    kind     statistics                                    scale and shift
    ======== ============================================= =======================
    batch    of the process's batch; with                  trained
             ``keep_statistics`` those that were loaded
    sync     of the batch of all processes                 trained
    frozen   those that were loaded                        kept
    group    of groups of channels of one picture          trained
    ======== ============================================= =======================

    Parameters and buffers move into the new layers as they are, so optimisers and shared weights stay valid,
    and ``state_dict`` keeps its keys except for ``group``, which has no running statistics.  A layer whose
    scale and shift require no gradient belongs to a frozen part of the network: it gets fixed statistics,
    whatever the kind.

    Args:
        model: Any module that contains :class:`torch.nn.BatchNorm2d` layers, of any of the kinds above.
        kind: What the layers become.
        keep_statistics: Only with ``batch``, and implied by ``frozen``.
        num_groups: Only for ``group``; channels it does not divide are split by the greatest common divisor.

    Raises:
        ValueError: ``keep_statistics`` with a kind that has no statistics to keep.
    """
    if keep_statistics and kind in ("sync", "group"):
        raise ValueError(f"keep_statistics has no meaning for norm kind '{kind}'; use it with 'batch'")
    new_by_old: dict[nn.BatchNorm2d, nn.Module] = {}
    num_left_frozen = 0
    for path, old in list(model.named_modules(remove_duplicate=False)):
        if not isinstance(old, nn.BatchNorm2d):
            continue
        if old not in new_by_old:
            is_frozen = _is_frozen(old)
            num_left_frozen += is_frozen
            new_by_old[old] = _replacement(old, "frozen" if is_frozen else kind, keep_statistics, num_groups)
        model.set_submodule(path, new_by_old[old])
    return NormReport(kind, len(new_by_old) - num_left_frozen, num_left_frozen)


def _is_frozen(norm: nn.BatchNorm2d) -> bool:
    return norm.affine and not any(parameter.requires_grad for parameter in norm.parameters())


def _replacement(old: nn.BatchNorm2d, kind: NormKind, keep_statistics: bool, num_groups: int) -> nn.Module:
    """Build the layer on no device at all, then hand it the old one's tensors."""
    channels = old.num_features
    new: nn.Module
    if kind == "group":
        new = nn.GroupNorm(gcd(num_groups, channels), channels, old.eps, old.affine, device="meta")
    else:
        batch_class = FixedBatchNorm2d if keep_statistics else nn.BatchNorm2d
        norm_class = {"batch": batch_class, "sync": SyncBatchNorm2d, "frozen": FixedBatchNorm2d}[kind]
        new = norm_class(
            channels, old.eps, old.momentum, old.affine, old.track_running_stats, device=torch.device("meta")
        )
        for name, buffer in old.named_buffers():
            setattr(new, name, buffer)
    for name, parameter in old.named_parameters():
        setattr(new, name, parameter)
    if kind == "frozen":
        new.requires_grad_(False)
    return new.train(old.training)

"""The losses of a training step on pictures that nothing is learnt from."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.distributed.collectives import gather_everywhere
from hrdet_cli.engine.distributed.world import working_alone
from hrdet_cli.engine.numerics import Numerics


@dataclass(frozen=True, slots=True)
class _BatchLoss:
    """The losses of ``num_pictures``, by name, each a scalar on the device."""

    num_pictures: int
    by_name: dict[str, Tensor]


class ValidationLoss:
    """Adds up the losses of batches of validation pictures.

    They are what a training step computes before its backward pass, with the proposals and the samples of
    training, drawn by the pictures' keys, and so the same at each evaluation. But norms have the statistics
    that detection has. Each batch is divided by its own counts, on its process alone, so that the mean over
    all pictures is the same over any number of processes, which share out whole batches.

    Args:
        model: On ``device``; ``model(images, targets)`` gives a dict of scalar losses.
        device: Where the batches are copied to.
        numerics: What to compute in.
    """

    def __init__(self, model: nn.Module, *, device: torch.device, numerics: Numerics) -> None:
        self._model = model
        self._device = device
        self._numerics = numerics
        self._batches: list[_BatchLoss] = []

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """Take in a batch with its targets, of no picture perhaps. Does not wait for the device."""
        if not len(batch):
            return
        images, targets = batch.images.to(self._device), batch.targets.to(self._device)
        with (
            working_alone(),
            _as_in_training(self._model),
            self._numerics.applied(),
            self._numerics.forward_pass(self._device.type),
        ):
            losses: dict[str, Tensor] = self._model(images, targets)
        self._batches.append(_BatchLoss(len(batch), losses))

    def means(self) -> dict[str, float]:
        """Means over the pictures of all processes, by name; none where there was no picture.

        All processes call it together, and get the same bits over any number of processes.
        """
        own = [
            (batch.num_pictures, {name: loss.item() for name, loss in batch.by_name.items()})
            for batch in self._batches
        ]
        batches = [*chain.from_iterable(gather_everywhere(own, what="validation losses"))]
        num_pictures = sum(count for count, _ in batches)
        return {
            name: math.fsum(count * losses[name] for count, losses in batches) / num_pictures
            for name in (batches[0][1] if batches else ())
        }


@contextmanager
def _as_in_training(model: nn.Module) -> Iterator[None]:
    """Inside, all but the norms is in training mode."""
    modes = [(module, module.training) for module in model.modules()]
    for module, _ in modes:
        module.training = not isinstance(module, _BatchNorm)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode

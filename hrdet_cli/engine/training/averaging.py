"""An average of the weights over the last steps, which is often better than any of them."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

_Tensors = tuple[Tensor, ...] | list[Tensor]


class WeightAverage:
    """Exponential moving average of a model's parameters and running statistics.

    After the first step it is that step's weights; each further step moves it by ``1 - decay`` of the way to
    the new ones. All processes have the same parameters and so the same average of them. (Running statistics
    that are not synchronised differ by process, of the model and so of the average.)

    Attributes:
        model: A second model, on the same device, with the averaged tensors.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        """Start from a model as it is.

        Args:
            model: Complete and on its device.
            decay: Share of the average that stays at each step, above 0 and below 1.
        """
        self._averaged = AveragedModel(model, multi_avg_fn=_mixing(decay), use_buffers=True)
        self.model: nn.Module = self._averaged.module

    def update(self, model: nn.Module) -> None:
        """Take a finished step in.

        On a GPU torch waits for the optimiser's update here, since it copies its counter of steps there.
        """
        self._averaged.update_parameters(model)

    def state_dict(self) -> dict[str, Any]:
        """The averaged model's own state and the number of steps in it, tensors and plain types."""
        return {"ema_model": self.model.state_dict(), "ema_num_steps": int(self._averaged.n_averaged)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another average stopped.

        Args:
            state: What `state_dict` gave there; other keys in it are left alone.

        Raises:
            KeyError: It has no average.
            RuntimeError: It is that of another model.
        """
        self.model.load_state_dict(state["ema_model"])
        self._averaged.n_averaged.fill_(state["ema_num_steps"])


def _mixing(decay: float) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    """Torch's average for numbers; norms' counters of batches are copied, since one of them means nothing."""
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    def mix(averaged: _Tensors, current: _Tensors, num_averaged: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            average(averaged, current, num_averaged)
        else:
            torch._foreach_copy_(averaged, current)

    return mix

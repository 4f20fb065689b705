"""The losses of a training step from graphs that torch compiles, one for each canvas.

Nothing is wrapped: the detector stays what it is, so that its parameters keep their names, an average of its
weights copies no graph, and detection is not compiled.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.training.step_gradients import Losses

CompiledPart = Literal["model", "step"]
"""Backbone and neck, or everything that makes the losses."""


def compile_losses(
    detector: Detector,
    part: CompiledPart,
    *,
    num_graphs: int,
    backend: str | Callable[..., Any] = "inductor",
) -> Losses:
    """What ``detector(images, targets)`` returns, with a part of it compiled as whole graphs.

    A graph is made at the first step with new shapes: those of the batch's pixels, and for ``"step"`` of its
    targets too.  Its backward pass is one graph likewise, whose gradients are there at its end.

    Args:
        detector: On its device.
        part: What is compiled.
        num_graphs: How many there will be; the limit at which torch takes a function for one that should not
            be compiled is raised by as many.
        backend: Of ``torch.compile``.

    Raises:
        torch._dynamo.exc.Unsupported: While computing; the part is not one graph, and torch says where it
            breaks.
    """
    import torchvision  # noqa: F401 - tells the compiler what its operators return; takes a second

    torch._dynamo.config.recompile_limit += num_graphs

    if part == "step":
        return torch.compile(detector.forward, fullgraph=True, dynamic=False, backend=backend)
    pyramid = torch.compile(detector.pyramid, fullgraph=True, dynamic=False, backend=backend)
    return lambda images, targets: detector.head.losses(pyramid(images), images, targets)

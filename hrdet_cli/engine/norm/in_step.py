"""Parallel parts of a network, run side by side so that their norms are reached together.

A norm that synchronises processes costs one message, and HRNet has 305 norms, most of them next to each other
on parallel branches.  A network that is written as *steps* says where it normalises and leaves the doing to
this module, which hands all norms that are due at the same time over together, so that they share a message.
"""

from collections.abc import Generator, Sequence

from torch import Tensor, nn

from hrdet_cli.engine.norm.sync import normalise_together
from hrdet_cli.engine.norm.valid_area import CountedArea

NormSteps = Generator[tuple[nn.Module, Tensor], Tensor, Tensor]
"""Part of a network: yields ``(norm, input)``, is sent the normalised input, returns the part's output."""


def run_in_step(parts: Sequence[NormSteps], area: CountedArea | None = None) -> list[Tensor]:
    """Run parts that do not depend on each other, norm by norm.

    Args:
        parts: Fresh generators; they may differ in their number of norms, and have none.
        area: See :func:`hrdet_cli.engine.norm.sync.normalise_together`.

    Returns:
        The output of each part.
    """
    outputs: dict[int, Tensor] = {}
    answers: dict[int, Tensor | None] = dict.fromkeys(range(len(parts)))
    while answers:
        requests: dict[int, tuple[nn.Module, Tensor]] = {}
        for index, answer in answers.items():
            try:
                # A fresh generator is started by sending None, which its type cannot say.
                requests[index] = parts[index].send(answer)  # type: ignore[arg-type]
            except StopIteration as finished:
                outputs[index] = finished.value
        answers = dict(zip(requests, normalise_together([*requests.values()], area), strict=True))
    return [outputs[index] for index in range(len(parts))]

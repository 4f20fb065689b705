"""Our own names."""

from hrdet_cli.engine.weights.naming.renaming import Tensors
from hrdet_cli.engine.weights.naming.writer import Writer

_LAYERS = ("rpn.objectness.weight", "retina_head.class_logits.weight", "fcos_head.class_logits.weight")
"""Each detector has one of these."""


def _wrote(tensors: Tensors) -> bool:
    return any(layer in tensors for layer in _LAYERS)


HRDET = Writer(name="hrdet", wrote=_wrote, renamed=dict, background="last")

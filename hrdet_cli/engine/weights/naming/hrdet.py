"""Our own names."""

from hrdet_cli.engine.weights.naming.renaming import Tensors
from hrdet_cli.engine.weights.naming.writer import Writer


def _wrote(tensors: Tensors) -> bool:
    return "rpn.objectness.weight" in tensors and "roi_head.classifier.weight" in tensors


HRDET = Writer(name="hrdet", wrote=_wrote, renamed=dict, background="last")

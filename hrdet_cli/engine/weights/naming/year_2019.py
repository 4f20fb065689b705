"""The files of 2019: mmdetection 0.6 and 1, and HRNet-Object-Detection, a fork of it.

Only heads of regions have other names than in versions 2 and 3; the files of one-stage detectors, and of what
does nothing but propose, are taken for those of version 2.
"""

from torch import Tensor

from hrdet_cli.engine.weights.naming.mmdetection import renamed_from_mmdetection
from hrdet_cli.engine.weights.naming.renaming import Tensors
from hrdet_cli.engine.weights.naming.writer import Writer

_LAYERS = ("bbox_head.fc_cls.weight", "bbox_head.0.fc_cls.weight")


def _wrote(tensors: Tensors) -> bool:
    return "rpn_head.rpn_cls.weight" in tensors and any(layer in tensors for layer in _LAYERS)


def _renamed(tensors: Tensors) -> dict[str, Tensor]:
    return renamed_from_mmdetection(tensors, region_prefix="")


YEAR_2019 = Writer(name="mmdetection 0.6 or 1 (2019)", wrote=_wrote, renamed=_renamed, background="first")

"""The names of 2019: mmdetection 0.6 and 1, and HRNet-Object-Detection, a fork of it."""

from torch import Tensor

from hrdet_cli.engine.weights.naming.mmdetection import renamed_from_mmdetection
from hrdet_cli.engine.weights.naming.renaming import Tensors
from hrdet_cli.engine.weights.naming.writer import Writer


def _wrote(tensors: Tensors) -> bool:
    return "bbox_head.fc_cls.weight" in tensors and "rpn_head.rpn_cls.weight" in tensors


def _renamed(tensors: Tensors) -> dict[str, Tensor]:
    return renamed_from_mmdetection(tensors, region_prefix="")


YEAR_2019 = Writer(name="mmdetection 0.6 or 1 (2019)", wrote=_wrote, renamed=_renamed, background="first")

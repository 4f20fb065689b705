"""Where the weights files that presets name come from, and what fetches them. Does not import torch."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import PurePath

from hrdet_cli.engine.weights.mmdetection_files import mmdetection_url, published_name
from hrdet_cli.engine.weights.names import MMDETECTION, TIMM, TORCHVISION
from hrdet_cli.extras import install_command

_OPENMMLAB = "https://download.openmmlab.com"
_HRNET_PAGE = "https://github.com/HRNet/HRNet-Image-Classification"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a published file's weights can be had.

    Attributes:
        name: What to give in place of the file: a name or an address, which hrdet fetches.
        page: Where the file itself is, for people to download.
        extra: The optional packages that fetching needs; None for none.
    """

    name: str
    page: str
    extra: str | None = None

    def describe(self, file: str) -> str:
        """How to get the weights without, and with, the file, in a sentence or two."""
        is_missing = self.extra is not None and find_spec(self.extra) is None
        needs = f" (needs {self.extra}: {install_command(self.extra)})" if self.extra and is_missing else ""
        place = "that" if self.page == self.name else f"it from {self.page}"
        return f"--weights {self.name} fetches these weights{needs}. Or download {place} to {file}."


_CAFFE_STYLED = (
    "resnet50_msra-5891d200.pth",
    "resnet101_msra-6cc46731.pth",
    "resnet50_caffe-788b5fa3.pth",
    "resnet101_caffe-3ad79236.pth",
)
"""ResNets of Caffe and Caffe2 that mmdetection keeps for its detectors in the caffe style."""


def origin_of(file: str) -> Origin | None:
    """The origin of a published file, by its name; None where that is not known."""
    name = PurePath(file).name
    if (found := re.fullmatch(r"hrnetv2_w(18|30|32|40|44|48|64)_imagenet_pretrained\.pth", name)) is not None:
        return Origin(f"{TIMM}hrnet_w{found[1]}", _HRNET_PAGE, "timm")
    if (found := re.fullmatch(r"(resnet(?:50|101))-(?:0676ba61|63fe2227)\.pth", name)) is not None:
        return Origin(f"{TORCHVISION}{found[1]}", f"https://download.pytorch.org/models/{name}")
    if name in _CAFFE_STYLED:
        return _at(f"{_OPENMMLAB}/pretrain/third_party/{name}")
    if (detector := published_name(name)) is not None:
        return Origin(f"{MMDETECTION}{detector}", mmdetection_url(detector))
    return None


def _at(address: str) -> Origin:
    return Origin(address, address)

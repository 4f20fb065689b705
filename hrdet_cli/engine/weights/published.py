"""Weights that have a name: timm's and torchvision's."""

import http.client
import logging
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from torch import Tensor

from hrdet_cli.engine.weights.names import TIMM, TORCHVISION
from hrdet_cli.errors import WeightsError
from hrdet_cli.extras import install_command

_PROBE_SECONDS = 10
_QUIET_LOGGERS = ("huggingface_hub", "timm")

_TORCHVISION_WEIGHTS: Mapping[str, str] = MappingProxyType(
    {
        # Of backbones version 1: what published detectors were trained from, with the plain ResNet recipe.
        "resnet50": "ResNet50_Weights.IMAGENET1K_V1",
        "resnet101": "ResNet101_Weights.IMAGENET1K_V1",
        "fasterrcnn_resnet50_fpn": "FasterRCNN_ResNet50_FPN_Weights.COCO_V1",
        "fasterrcnn_resnet50_fpn_v2": "FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1",
        "maskrcnn_resnet50_fpn": "MaskRCNN_ResNet50_FPN_Weights.COCO_V1",
        "maskrcnn_resnet50_fpn_v2": "MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1",
        "retinanet_resnet50_fpn": "RetinaNet_ResNet50_FPN_Weights.COCO_V1",
        "retinanet_resnet50_fpn_v2": "RetinaNet_ResNet50_FPN_V2_Weights.COCO_V1",
        "fcos_resnet50_fpn": "FCOS_ResNet50_FPN_Weights.COCO_V1",
    }
)
_OF_COCO = "Weights.COCO_"


def is_torchvision_detector(name: str) -> bool:
    """Whether torchvision's weights of a name are a detector's, for the 90 ids of COCO."""
    return _OF_COCO in _TORCHVISION_WEIGHTS.get(name, "")


def torchvision_url(name: str) -> str:
    """Where torchvision's weights of a name are.

    Raises:
        WeightsError: The name is not one of those that fit hrdet's networks.
    """
    if name not in _TORCHVISION_WEIGHTS:
        known = ", ".join(f"{TORCHVISION}{known}" for known in _TORCHVISION_WEIGHTS)
        raise WeightsError(f"{TORCHVISION}{name}: hrdet has no network for these weights; it has {known}")
    from torchvision.models import get_weight  # slow to import

    return str(get_weight(_TORCHVISION_WEIGHTS[name]).url)


def read_timm_weights(name: str) -> dict[str, Tensor]:
    """Fetch weights through timm, which keeps them in the Hugging Face hub's cache.

    Where the hub cannot be reached, the cache alone is asked: the hub's client would try again for a minute.

    Args:
        name: A model of timm's, such as ``hrnet_w18`` or ``resnet50``; may carry a tag.

    Raises:
        WeightsError: timm is not installed, knows no such model, or cannot fetch it.
    """
    try:
        import timm
    except ImportError as error:
        raise WeightsError(
            f"{TIMM}{name}: needs the package timm; install it with: {install_command('timm')}"
        ) from error
    if not timm.is_model(name):
        known = ", ".join(timm.list_models("hrnet*"))
        raise WeightsError(f"{TIMM}{name}: timm has no such model; of HRNet it has {known}")
    unreachable = _why_unreachable()
    try:
        with _quiet_hub(is_offline=unreachable is not None):
            model = timm.create_model(name, pretrained=True)
    except Exception as error:  # whatever its downloader raises
        reason = unreachable or str(error).strip().partition("\n")[0] or type(error).__name__
        raise WeightsError(
            f"{TIMM}{name}: timm could not fetch these weights ({reason}). Check the connection, or fetch "
            "the file by other means and give its path."
        ) from error
    return dict(model.state_dict())


def _why_unreachable() -> str | None:
    """Why the Hugging Face hub does not answer; None if it does, whatever it says."""
    from huggingface_hub import constants

    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")  # noqa: S310 - the hub's own address
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_SECONDS):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        error.close()  # it is the answer, too
        return None
    except urllib.error.URLError as error:
        return f"{constants.ENDPOINT} cannot be reached: {error.reason}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{constants.ENDPOINT} cannot be reached: {error or type(error).__name__}"


@contextmanager
def _quiet_hub(*, is_offline: bool) -> Iterator[None]:
    """Inside, the hub's client and timm log errors only, and the client asks its cache alone if told so."""
    from huggingface_hub import constants

    loggers = [logging.getLogger(name) for name in _QUIET_LOGGERS]
    levels, was_offline = [logger.level for logger in loggers], constants.HF_HUB_OFFLINE
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        constants.HF_HUB_OFFLINE = was_offline or is_offline
        yield
    finally:
        constants.HF_HUB_OFFLINE = was_offline
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

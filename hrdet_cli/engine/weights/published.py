"""Weights that have a name: timm's and torchvision's."""

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor
from torchvision.models import get_weight

from hrdet_cli.engine.weights.names import TIMM, TORCHVISION
from hrdet_cli.errors import WeightsError

_TORCHVISION_WEIGHTS: Mapping[str, str] = MappingProxyType(
    {
        # Version 1 of each: what published detectors were trained from, with the plain ResNet recipe.
        "resnet50": "ResNet50_Weights.IMAGENET1K_V1",
        "resnet101": "ResNet101_Weights.IMAGENET1K_V1",
        "fasterrcnn_resnet50_fpn": "FasterRCNN_ResNet50_FPN_Weights.COCO_V1",
    }
)


def torchvision_url(name: str) -> str:
    """Where torchvision's weights of a name are.

    Raises:
        WeightsError: The name is not one of those that fit hrdet's networks.
    """
    if name not in _TORCHVISION_WEIGHTS:
        known = ", ".join(f"{TORCHVISION}{known}" for known in _TORCHVISION_WEIGHTS)
        raise WeightsError(f"{TORCHVISION}{name}: hrdet has no network for these weights; it has {known}")
    return str(get_weight(_TORCHVISION_WEIGHTS[name]).url)


def read_timm_weights(name: str) -> dict[str, Tensor]:
    """Fetch weights through timm, which keeps them in its own cache.

    Args:
        name: A model of timm's, such as ``hrnet_w18`` or ``resnet50``; may carry a tag.

    Raises:
        WeightsError: timm is not installed, knows no such model, or cannot fetch it.
    """
    try:
        import timm
    except ImportError as error:
        raise WeightsError(
            f'{TIMM}{name}: needs the package timm; install it with: pip install "hrdet[timm]"'
        ) from error
    if not timm.is_model(name):
        known = ", ".join(timm.list_models("hrnet*"))
        raise WeightsError(f"{TIMM}{name}: timm has no such model; of HRNet it has {known}")
    try:
        model = timm.create_model(name, pretrained=True)
    except Exception as error:  # whatever its downloader raises
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise WeightsError(
            f"{TIMM}{name}: timm could not fetch these weights ({reason}). Check the connection, or fetch "
            "the file by other means and give its path."
        ) from error
    return dict(model.state_dict())

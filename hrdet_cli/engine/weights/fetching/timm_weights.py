"""Weights that timm has by name."""

from torch import Tensor

from hrdet_cli.activity import doing
from hrdet_cli.engine.weights.fetching.hub import first_line, quiet_hub, why_unreachable
from hrdet_cli.engine.weights.names import TIMM
from hrdet_cli.errors import WeightsError
from hrdet_cli.extras import install_command


def read_timm_weights(name: str) -> dict[str, Tensor]:
    """Fetch weights through timm, which keeps them in the Hugging Face hub's cache.

    Where the hub cannot be reached, the cache alone is asked: the hub's client would try again for a minute.

    Args:
        name: A model of timm's, such as ``hrnet_w18.ms_in1k`` or ``resnet50``; without a tag it is timm's
            default one.

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
    unreachable = why_unreachable()
    try:
        with quiet_hub(only_cache=unreachable is not None), doing(f"fetching {TIMM}{name}"):
            model = timm.create_model(name, pretrained=True)
    except Exception as error:  # whatever its downloader raises
        raise WeightsError(
            f"{TIMM}{name}: timm could not fetch these weights ({unreachable or first_line(error)}). Check "
            "the connection, or fetch the file by other means and give its path."
        ) from error
    return dict(model.state_dict())

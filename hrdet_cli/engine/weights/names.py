"""Names that weights have instead of a path. Does not import torch."""

TIMM = "timm:"
TORCHVISION = "torchvision:"
URL_STARTS = ("https://", "http://")


def is_weights_name(source: str) -> bool:
    """Whether a source of weights is fetched by its name or address, not read where its path says."""
    return source.startswith((TIMM, TORCHVISION, *URL_STARTS))

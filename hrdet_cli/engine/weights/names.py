"""Names that weights have instead of a path. Does not import torch."""

import re

TIMM = "timm:"
TORCHVISION = "torchvision:"
MMDETECTION = "mmdet:"
URL_STARTS = ("https://", "http://")


def is_weights_name(source: str) -> bool:
    """Whether a source of weights is fetched by its name or address, not read where its path says."""
    return source.startswith((TIMM, TORCHVISION, MMDETECTION, *URL_STARTS))


def describe_unknown_scheme(source: str) -> str | None:
    """What to say of a source that looks like a name or an address, but of no kind that is fetched."""
    found = re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", source)
    if found is None or is_weights_name(source):
        return None
    return (
        f"nothing is fetched by {found[0]}; give a file, {TIMM}NAME, {TORCHVISION}NAME, {MMDETECTION}NAME, "
        f"or an address that starts with {' or '.join(URL_STARTS)}"
    )

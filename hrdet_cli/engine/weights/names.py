"""Names that weights have instead of a path. Does not import torch."""

import re

TIMM = "timm:"
TORCHVISION = "torchvision:"
MMDETECTION = "mmdet:"
IMAGENET = "imagenet:"
HUB = "hf:"
SCHEMES_OF_TABLE = (MMDETECTION, TORCHVISION, IMAGENET)
"""Of names that the table of published weights has."""
URL_STARTS = ("https://", "http://")


def is_weights_name(source: str) -> bool:
    """Whether a source of weights is fetched by its name or address, not read where its path says."""
    return source.startswith((*SCHEMES_OF_TABLE, TIMM, HUB, *URL_STARTS))


def describe_unknown_scheme(source: str) -> str | None:
    """What to say of a source that looks like a name or an address, but of no kind that is fetched."""
    found = re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", source)
    if found is None or is_weights_name(source):
        return None
    return (
        f"nothing is fetched by {found[0]}; give a file, a name that `hrdet weights list` shows, {TIMM}NAME, "
        f"{HUB}OWNER/NAME, or an address that starts with {' or '.join(URL_STARTS)}"
    )

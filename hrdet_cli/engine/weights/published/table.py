"""All published weights of this family, and how to find one. Does not import torch."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import PurePath

from hrdet_cli.engine.weights.names import MMDETECTION, SCHEMES_OF_TABLE
from hrdet_cli.engine.weights.published import imagenet, mmdetection, torchvision, year_2019
from hrdet_cli.engine.weights.published.entry import PublishedWeights, file_name, sha256_start
from hrdet_cli.errors import WeightsError

PUBLISHED: tuple[PublishedWeights, ...] = (
    *mmdetection.DETECTORS,
    *torchvision.DETECTORS,
    *year_2019.DETECTORS,
    *imagenet.BACKBONES,
)
"""mmdetection's first, then torchvision's, those of 2019, and backbones."""

_BY_NAME = {weights.name: weights for weights in PUBLISHED if weights.name is not None}


def is_in_table(source: str) -> bool:
    """Whether a source of weights is a name of the table, be it that the table does not have it."""
    return source.startswith(SCHEMES_OF_TABLE)


def find_published(name: str) -> PublishedWeights:
    """The weights of a name, such as ``mmdet:htc_hrnetv2p_w18_20e_coco``.

    Raises:
        WeightsError: The table has none; the message names those that are near.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    near = get_close_matches(name, _BY_NAME, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise WeightsError(f"{name}: no such weights are known; {hint}`hrdet weights list` shows all")


def published_as(file: str) -> PublishedWeights | None:
    """The weights that were published under a file's name, with their date or without; None if none were.

    Args:
        file: A path or a name.
    """
    name = PurePath(file).name
    found = (weights for weights in PUBLISHED if name in weights.files)
    return next(found, None) or _BY_NAME.get(f"{MMDETECTION}{name.removesuffix('.pth')}")


def same_files(address: str) -> tuple[str, ...]:
    """Where else a published file is that lies at an address, by its name with the start of its SHA-256."""
    name = file_name(address)
    if sha256_start(name) is None:
        return ()
    found = (place for weights in PUBLISHED for place in weights.addresses if file_name(place) == name)
    return tuple(place for place in found if place != address)


def with_words(words: Sequence[str]) -> list[PublishedWeights]:
    """The published weights that have all of some words in what describes them, in any case.

    Args:
        words: Parts of words will do.

    Raises:
        WeightsError: There are none.
    """
    found = [weights for weights in PUBLISHED if all(word.lower() in _described(weights) for word in words)]
    if not found:
        raise WeightsError(f"no published weights have {' and '.join(words)}; `hrdet weights list` shows all")
    return found


def _described(weights: PublishedWeights) -> str:
    texts = (weights.publisher, weights.title, weights.name or "browser", weights.preset, *weights.files)
    return " ".join(text for text in texts if text is not None).lower()


def how_to_get(weights: PublishedWeights, file: str) -> str:
    """How to get weights that are not at a path, in a sentence.

    Args:
        weights: What is wanted.
        file: Where it was looked for.
    """
    if weights.name is None:
        return f"Download it with a browser to {file}, from {(*weights.by_hand, weights.page)[0]}."
    place = weights.page if weights.by_hand else weights.addresses[0]
    return f"--weights {weights.name} fetches these weights. Or download them to {file} from {place}."

"""Published weights as tables."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.text import Text

from hrdet_cli.cli.display.named_rows import NamedRows
from hrdet_cli.engine.weights.fetching.cache import CachedFile
from hrdet_cli.engine.weights.published.entry import PublishedWeights

_BY_HAND = "with a browser"
_HEADINGS = ("name", "what it is", "figures", "loads with")


def draw_published(found: Sequence[PublishedWeights]) -> RenderableType:
    """For each publisher: what to give in place of a file, what it is, and how good."""
    parts: list[RenderableType] = []
    for publisher, rows in groupby(found, key=lambda weights: weights.publisher):
        cells = [
            (_name(weights), weights.title, describe_figures(weights), weights.preset or "-")
            for weights in rows
        ]
        parts += [Text(publisher, style="bold"), NamedRows(_HEADINGS, cells), Text()]
    hint = "--addresses shows where the files are; names with * are in the cache"
    if any(weights.name is None for weights in found):
        hint += f"; {_BY_HAND}: their publisher gives them to no program"
    return Group(*parts, Text(hint, style="dim"))


def _name(weights: PublishedWeights) -> str:
    if weights.name is None:
        return _BY_HAND
    return f"{weights.name}{' *' if _is_cached(weights) else ''}"


def _is_cached(weights: PublishedWeights) -> bool:
    return any(CachedFile.of(address).path.is_file() for address in weights.addresses)


def describe_figures(weights: PublishedWeights) -> str:
    """``37.7 / 34.2 AP`` of boxes and masks, or ``23.2 % top-1 error``."""
    of_ap = [f"{value:.1f}" for name, value in weights.figures.items() if name.endswith("AP")]
    if of_ap:
        return f"{' / '.join(of_ap)} AP"
    return "  ".join(f"{value:.1f} % {name}" for name, value in weights.figures.items())


def draw_addresses(found: Sequence[PublishedWeights]) -> Text:
    """Each with its files, and the addresses of each in the order in which they are tried."""
    return Text("\n").join(line for weights in found for line in _addresses(weights))


def _addresses(weights: PublishedWeights) -> Iterator[Text]:
    yield Text.assemble((weights.name or weights.title, "bold cyan"), f"  {weights.publisher}")
    if weights.name is not None:
        yield Text(f"  {weights.title}")
    files = {address: CachedFile.of(address) for address in weights.addresses}
    for file, addresses in groupby(files, key=files.__getitem__):
        known = f"{file.sha256_start}..." if file.sha256_start else "not known"
        yield Text(f"  file {file.path.name}, SHA-256 {known}")
        yield from (Text(f"    {address}") for address in addresses)
    if weights.by_hand:
        yield Text(f"  {_BY_HAND}, SHA-256 not known")
        yield from (Text(f"    {address}") for address in weights.by_hand)
    yield Text(f"  listed at {weights.page}", style="dim")

"""Scales and canvases that do not go together."""

from collections.abc import Iterator, Sequence

from hrdet_cli.specs.augmentation import AugmentationSpec, ResizeCropSpec, ResizeSpec, ScaleJitterSpec
from hrdet_cli.specs.base import LongShort, Problem
from hrdet_cli.specs.padding import CanvasesPaddingSpec, FixedPaddingSpec, PaddingSpec

_CANVAS_DIVISOR_PIXELS = 32
_MIN_CANVAS_PIXELS = 64


def scale_problems(augmentation: AugmentationSpec) -> Iterator[Problem]:
    """What does not go together within ``augmentation``."""
    if isinstance(augmentation, ResizeSpec) and augmentation.scale_mode == "range":
        scales = augmentation.scales_pixels
        if len(scales) != 2:
            yield (
                "augmentation.scales_pixels",
                f"scale_mode 'range' draws between exactly two scales, not {len(scales)}",
            )


def canvas_problems(padding: PaddingSpec, augmentation: AugmentationSpec) -> Iterator[Problem]:
    """What does not go together with ``padding``."""
    if augmentation.extras.turn_probability:
        yield from _turn_problems(padding)
    if isinstance(augmentation, ScaleJitterSpec):
        problems = list(_square_problems(augmentation.edge_pixels, padding))
        if problems:
            yield from problems
            return
    if isinstance(padding, FixedPaddingSpec):
        yield from _canvas_list_problems("padding.canvas_pixels", [padding.canvas_pixels], augmentation)
    elif isinstance(padding, CanvasesPaddingSpec) and padding.canvases_pixels is not None:
        if padding.num_canvases is not None:
            yield (
                "padding.num_canvases",
                "is for canvases that are chosen, but canvases_pixels names them; set one of the two to null",
            )
        yield from _canvas_list_problems("padding.canvases_pixels", padding.canvases_pixels, augmentation)


def _turn_problems(padding: PaddingSpec) -> Iterator[Problem]:
    """Canvases on which pictures that lie on their side do not go with the others."""
    if isinstance(padding, FixedPaddingSpec):
        canvases: Sequence[LongShort] | None = [padding.canvas_pixels]
        remedy = "a padding.canvas_pixels of equal edges"
    elif isinstance(padding, CanvasesPaddingSpec):
        canvases = padding.canvases_pixels
        remedy = "padding.canvases_pixels that are squares"
    else:
        return
    if canvases is None or any(long != short for long, short in canvases):
        yield (
            "augmentation.extras.turn_probability",
            f"turned pictures lie on squares or on canvases of their batches; set {remedy}, "
            "padding.policy=batch, or augmentation.extras.turn_probability=0",
        )


def _square_problems(edge: int, padding: PaddingSpec) -> Iterator[Problem]:
    """Paddings that do not go with pictures which are cut to a square."""
    square = f"padding={{policy: fixed, canvas_pixels: [{edge}, {edge}]}}"
    if isinstance(padding, FixedPaddingSpec) and padding.canvas_pixels != (edge, edge):
        yield (
            "padding.canvas_pixels",
            f"{list(padding.canvas_pixels)} is not the square that scale-jitter cuts to, "
            f"augmentation.edge_pixels={edge}; set {square}",
        )
    elif not isinstance(padding, FixedPaddingSpec | CanvasesPaddingSpec):
        yield (
            "padding.policy",
            f"'{padding.policy}' is not for scale-jitter, whose pictures have all sizes up to a square; set "
            f"{square}, or padding.policy=canvases",
        )


def _canvas_list_problems(
    key: str, canvases: Sequence[LongShort], augmentation: AugmentationSpec
) -> Iterator[Problem]:
    """Canvases on which the network or the largest pictures do not fit."""
    for canvas in canvases:
        if any(edge % _CANVAS_DIVISOR_PIXELS for edge in canvas):
            yield key, f"{list(canvas)}: both edges must be multiples of {_CANVAS_DIVISOR_PIXELS}"
        if min(canvas) < _MIN_CANVAS_PIXELS:
            least = _MIN_CANVAS_PIXELS
            yield key, f"{list(canvas)}: the pyramid's coarsest level needs edges of at least {least}"
    too_large = [
        (what, size)
        for what, size in _largest_pictures(augmentation)
        if not any(size[0] <= long and size[1] <= short for long, short in canvases)
    ]
    if too_large:
        what, size = max(too_large, key=lambda named: named[1][0] * named[1][1])
        yield key, _too_small(canvases, what, size)


def _too_small(canvases: Sequence[LongShort], what: str, size: LongShort) -> str:
    if len(canvases) == 1:
        return f"{list(canvases[0])} is smaller than {what} {list(size)}; enlarge it"
    return f"none of them holds {what} {list(size)}; add a larger one"


def _largest_pictures(augmentation: AugmentationSpec) -> Iterator[tuple[str, LongShort]]:
    if isinstance(augmentation, ResizeCropSpec):
        yield "augmentation.crop_pixels", augmentation.crop_pixels
    elif isinstance(augmentation, ScaleJitterSpec):
        yield "the square of augmentation.edge_pixels,", (augmentation.edge_pixels, augmentation.edge_pixels)
    elif augmentation.scale_mode == "range":
        longs, shorts = zip(*augmentation.scales_pixels, strict=True)
        yield "the largest of augmentation.scales_pixels,", (max(longs), max(shorts))
    else:
        for scale in augmentation.scales_pixels:
            yield "the scale in augmentation.scales_pixels,", scale

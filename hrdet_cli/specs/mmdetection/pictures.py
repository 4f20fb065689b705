"""Rules of what is done to training pictures, and of how they become batches."""

from collections.abc import Sequence
from typing import Any

from hrdet_cli.specs.mmdetection.rules import (
    UNSET,
    Convert,
    Group,
    Known,
    NoCounterpartError,
    Rule,
    follows,
    without,
)

READING = "hrdet reads and packs pictures by itself"
AUGMENTATION = (
    "hrdet's augmentations are others: augmentation.kind, and in augmentation.extras colour, blur, noise, "
    "JPEG, turns and copy-paste"
)
TRAIN, VAL = "train_dataloader", "val_dataloader"
_STEPS = f"{TRAIN}.dataset.pipeline"


def _long_short(scale: Sequence[int]) -> list[int]:
    return sorted((int(edge) for edge in scale), reverse=True)


def scales_of(value: Any) -> list[list[int]]:
    """Each scale of an edge, of one scale or of several, long edge first."""
    if isinstance(value, int | float):
        return [[int(value), int(value)]]
    scales = value if isinstance(value[0], list) else [value]
    return [_long_short(scale) for scale in scales]


def keeps_ratio(value: Any, _: Any, *, known: Known) -> object:
    """Version 3 stretches pictures where it is not told to keep their aspect ratio; 1 and 2 keep it."""
    if not (known.generation < 3 if value is None else value):
        raise NoCounterpartError("pictures keep their aspect ratio in hrdet")
    return UNSET


_FLIPS = ("horizontal", "vertical")
_SCALE_MODES = {"range": "range", "value": "choice"}


def _jitter(known: Known) -> dict[str, Any] | None:
    """Large-scale jitter: a drawn ratio, and the square of ratio 1 cut out; None where there is none."""
    resize = known.get(f"{_STEPS}.RandomResize") or {}
    crop = known.get(f"{_STEPS}.RandomCrop") or {}
    scale, ratios = resize.get("scale"), resize.get("ratio_range")
    if ratios is None or not isinstance(scale, list) or crop.get("crop_size") != scale:
        return None
    if len(set(scale)) > 1:
        return None
    return {"kind": "scale-jitter", "edge_pixels": scale[0], "scale_range": ratios}


def _ratio_range(_: Any, *, known: Known) -> Any:
    if (jitter := _jitter(known)) is None:
        raise NoCounterpartError(
            "hrdet draws a ratio where a square is cut out: augmentation.kind=scale-jitter"
        )
    return jitter


def _crop(_: Any, *, known: Known) -> object:
    if _jitter(known) is None:
        raise NoCounterpartError(AUGMENTATION)
    return UNSET


def _resized(step: str, key: str, *, mode: str | None = None) -> Group:
    """A step that resizes to a scale, one of several, or one between two."""

    def convert(scale: Any, given: Any, *, known: Known) -> Any:
        if (jitter := _jitter(known)) is not None:
            return jitter
        scales = scales_of(scale)
        way = mode or _SCALE_MODES[given or ("range" if len(scales) == 2 else "value")]
        if way == "range" and len(scales) > 2:
            raise NoCounterpartError("hrdet draws between two scales, or one of several")
        return {"kind": "resize", "scales_pixels": scales, "scale_mode": way if len(scales) > 1 else "choice"}

    return Group(
        f"{_STEPS}.{step}",
        (),
        (
            Rule(f"{key} multiscale_mode", "augmentation", convert, absent=None, sees=True),
            Rule("ratio_range", "augmentation", _ratio_range, sees=True),
            Rule("keep_ratio type", None, keeps_ratio, sees=True, why="pictures keep their aspect ratio"),
            *follows("resize_type", "interpolation", "backend", "clip_object_border", why=READING),
        ),
    )


def _flip(wanted: str) -> Convert:
    """The probability of flips of one direction, which is left to right where none is named."""

    def convert(probability: Any, direction: Any) -> Any:
        directions = direction if isinstance(direction, list) else [direction or "horizontal"]
        if isinstance(probability, list) or len(directions) > 1 or directions[0] not in _FLIPS:
            raise NoCounterpartError(
                "hrdet draws flips apart: augmentation.flip_probability from left to right, "
                "augmentation.extras.vertical_flip_probability from top to bottom"
            )
        return float(probability) if directions == [wanted] and probability is not None else UNSET

    return convert


def _padding(divisor: Any, batch_augments: Any, pad_size: Any, *, known: Known) -> Any:
    """How batches are padded."""
    size = pad_size or (_jitter(known) or {}).get("edge_pixels")
    if batch_augments:
        if len(batch_augments) > 1 or batch_augments[0]["type"] != "BatchFixedSizePad":
            raise NoCounterpartError("hrdet pads batches, or draws scales in augmentation; set padding")
        size = batch_augments[0]["size"]
    if size is not None:
        return {
            "policy": "fixed",
            "canvas_pixels": _long_short(size if isinstance(size, list) else [size] * 2),
        }
    if divisor is None:
        return UNSET
    if divisor % 32:
        raise NoCounterpartError("hrdet pads to multiples of 32, as all levels need")
    return {"policy": "batch", "divisor_pixels": divisor}


_EVERY_STEP = (
    *follows("LoadImageFromFile", "LoadImageFromWebcam", "DefaultFormatBundle", why=READING),
    *follows("Collect", "PackDetInputs", "ImageToTensor", "Compose", why=READING),
    *follows("SegRescale", why="label maps are brought to the semantic branch's size"),
    *follows("FilterAnnotations", why="boxes thinner than a pixel are left out"),
    *follows("MultiScaleFlipAug.type", why=READING),
)
_LOADED = (
    *follows("type", "with_bbox", "with_label", "poly2mask", "with_crowd", why=READING),
    *follows("with_mask", "with_seg", why="a head with masks or a semantic branch reads what it needs"),
    *follows("backend_args", "file_client_args", why=READING),
)
TRAINING_PICTURES = (
    _resized("Resize", "scale"),
    _resized("RandomResize", "scale"),
    _resized("RandomChoiceResize", "scales", mode="choice"),
    Group(
        f"{_STEPS}.RandomFlip",
        (),
        (
            Rule("prob direction", "augmentation.flip_probability", _flip("horizontal"), absent=None),
            Rule(
                "prob direction",
                "augmentation.extras.vertical_flip_probability",
                _flip("vertical"),
                absent=None,
            ),
            *follows("type", why="pictures are flipped"),
        ),
    ),
    Group(f"{_STEPS}.LoadAnnotations", (), _LOADED),
    Group(_STEPS, (), _EVERY_STEP),
    Group(f"{_STEPS}.Normalize", (), follows("type", why="hrdet normalises on the device")),
    Group(f"{_STEPS}.Pad", (), follows("type", "pad_val", "pad_to_square", why="hrdet pads batches")),
    Group(
        "",
        (),
        (
            Rule(
                "model.data_preprocessor.pad_size_divisor model.data_preprocessor.batch_augments "
                f"{TRAIN}.pad_size",
                "padding",
                _padding,
                absent=None,
                sees=True,
            ),
            Rule(f"{_STEPS}.RandomCrop", None, _crop, sees=True, why="what is beyond the square is cut off"),
            *without(f"{_STEPS}.*", f"{TRAIN}.MultiImageMixDataset", why=AUGMENTATION),
        ),
    ),
)

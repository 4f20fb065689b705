"""Rules of data sets: where they are, how they are read, and how often pictures come."""

import os.path
from typing import Any

from hrdet_cli.specs.mmdetection.pictures import AUGMENTATION, READING, TRAIN, VAL, keeps_ratio, scales_of
from hrdet_cli.specs.mmdetection.rules import (
    UNSET,
    Convert,
    Group,
    Known,
    NoCounterpartError,
    Rule,
    fixed,
    follows,
    without,
)

_ANNOTATIONS = (
    "hrdet reads COCO's and LVIS's JSON here; of Pascal VOC and YOLO give the folder: --train-data FOLDER"
)
_SEVERAL = "give several data sets on the command line, --train-data for each, or as a list in data.train"
_TYPES = (
    *("CocoDataset", "LVISDataset", "LVISV1Dataset", "LVISV05Dataset"),
    *("CityscapesDataset", "DeepFashionDataset"),
)
"""Data sets whose annotations are JSON as COCO's."""
_CLASSES = "name the classes themselves, or leave them to the annotations"
_TEST = "test_dataloader"
_SETS = f"{TRAIN}.dataset.datasets[]"


def _type(value: Any) -> object:
    if value == "ConcatDataset":
        raise NoCounterpartError(_SEVERAL)
    if value not in _TYPES:
        raise NoCounterpartError(_ANNOTATIONS)
    return UNSET


def data_root(known: Known) -> str:
    """The folder in which all data of a configuration are; "" where there is none in common."""
    root = known.get(f"{TRAIN}.dataset.data_root") or known.names.get("data_root") or ""
    root = os.path.normpath(root) if root else ""
    files = [known.get(f"{loader}.dataset.ann_file") for loader in (TRAIN, VAL)]
    files += known.get(f"{_SETS}.ann_file") or []
    inside = all(not isinstance(file, str) or file.startswith(f"{root}/") for file in files)
    return root if root and (_is_joined(known) or inside) else ""


def _is_joined(known: Known) -> bool:
    """Whether mmdetection puts the root before paths, and not the configuration itself."""
    return known.get(f"{TRAIN}.dataset.data_root") is not None


def _path(value: Any, *, known: Known) -> str:
    """A path as it is below `data_root`."""
    if not isinstance(value, str):
        raise NoCounterpartError(_SEVERAL)
    path, root = os.path.normpath(value), data_root(known)
    if path == root and not _is_joined(known):
        return "."
    return path.removeprefix(f"{root}/") if root else path


def _json(value: Any, *, known: Known) -> str:
    path = _path(value, known=known)
    if not path.endswith(".json"):
        raise NoCounterpartError(_ANNOTATIONS)
    return path


def _pictures_of(loader: str) -> Convert:
    """Where pictures are whose annotations hrdet reads; of others it would know no boxes."""

    def convert(value: Any, *, known: Known) -> str:
        _json(known.get(f"{loader}.dataset.ann_file") or "", known=known)
        return _path(value, known=known)

    return convert


def _sets(files: Any, images: Any, maps: Any, *, known: Known) -> Any:
    """Several data sets to train on: their annotations, pictures and label maps, where they have any."""
    if files is None:
        return UNSET
    are_alike = known.get(f"{TRAIN}.dataset.type") in _TYPES
    if not are_alike or any(len(places) != len(files) for places in (images, maps) if places is not None):
        raise NoCounterpartError(_SEVERAL)
    named = {"images": images or ["."] * len(files), **({} if maps is None else {"label_maps": maps})}
    return [
        {
            "annotations": _json(file, known=known),
            **{key: _path(places[number], known=known) for key, places in named.items()},
        }
        for number, file in enumerate(files)
    ]


def _root(_: Any, *, known: Known) -> Any:
    return data_root(known) or UNSET


def _repeat_factor(threshold: Any) -> dict[str, Any]:
    return {"kind": "repeat-factor", "threshold": threshold}


def _sampling(kind: Any) -> Any:
    """How often pictures come, of the sampler's type."""
    if kind in ("DefaultSampler", "DistributedSampler"):
        return UNSET
    if kind != "ClassAwareSampler":
        raise NoCounterpartError("hrdet has data.sampling: shuffle, class-aware or repeat-factor")
    return {"kind": "class-aware"}


def _classes(value: Any, *, known: Known) -> Any:
    """The classes of training, in their order; of other data they must be the same."""
    if not isinstance(value, list):
        raise NoCounterpartError(_CLASSES)
    metainfo = known.get(f"{TRAIN}.dataset.metainfo") or {}
    if value not in (metainfo.get("classes"), metainfo.get("CLASSES")):
        raise NoCounterpartError("hrdet has the same classes in training and in evaluation")
    return value


def _first_scale(value: Any) -> list[int]:
    return scales_of(value)[0]


def _views(flip: Any, scale: Any) -> Any:
    """Several looks at each picture, where a test pipeline has them."""
    scales = scales_of(scale)
    if not flip and len(scales) == 1:
        return UNSET
    return {"flip": bool(flip), **({"scales_pixels": scales} if len(scales) > 1 else {})}


def _dataset(loader: str, part: str, *, seg: bool) -> Group:
    maps = (Rule("data_prefix.seg", "data.train.label_maps", _path, sees=True),) if seg else ()
    target = "data.classes" if seg else None
    classes = tuple(
        Rule(f"metainfo.{key}", target, _classes, sees=True, why="the same as in training")
        for key in ("classes", "CLASSES")
    )
    return Group(
        f"{loader}.dataset",
        (),
        (
            Rule("type", None, _type, why=_ANNOTATIONS),
            Rule("ann_file", f"data.{part}.annotations", _json, sees=True),
            Rule("data_prefix.img", f"data.{part}.images", _pictures_of(loader), sees=True),
            *maps,
            *follows("data_prefix.seg", why="label maps are of training pictures"),
            *follows("test_mode", "backend_args", "file_client_args", "with_crowd", why=READING),
            *follows("metainfo.palette", "metainfo.PALETTE", why="does not change what is learnt"),
            *follows("return_classes", "serialize_data", "lazy_init", why=READING),
            *classes,
            *without("metainfo", why=_CLASSES),
            *without("datasets", why=_SEVERAL),
            *without("proposal_file", "num_max_proposals", why="hrdet proposes regions by itself"),
            *without("extra_aug", why=AUGMENTATION),
        ),
    )


def _keeps_empty(value: Any, *, known: Known) -> bool:
    """Version 3 keeps pictures without boxes where it is not told to filter them; 1 and 2 leave them out."""
    return known.generation == 3 if value is None else not value


def _other_root(value: Any, *, known: Known) -> object:
    if os.path.normpath(value) != data_root(known):
        raise NoCounterpartError("hrdet has one data.root for all data; give --val-data")
    return UNSET


def _test_data(value: Any, *, known: Known) -> object:
    ours = (known.get(f"{VAL}.dataset") or {}).get("ann_file")
    if isinstance(value, dict) and value.get("dataset", {}).get("ann_file") not in (None, ours):
        raise NoCounterpartError("a run evaluates data.val; others are scored by hrdet eval RUN --val-data")
    return UNSET


_LOADING = (
    *follows("persistent_workers", "pin_memory", "prefetch_factor", "collate_fn", why=READING),
    *follows("drop_last", why="the last batch of an epoch counts, too"),
    *follows("sampler.shuffle", "sampler.round_up", why="training pictures are shuffled, others are not"),
    *follows("num_batch_per_epoch", why=READING),
)
_SAMPLERS = (
    Rule("sampler.type", None, _sampling, why="each epoch has every picture once"),
    *follows("sampler.num_sample_class", why="data.sampling draws one picture of a class at a time"),
    fixed("batch_sampler.type", "AspectRatioBatchSampler", why="batches have one orientation"),
    fixed("batch_sampler", None, why="batches have one orientation"),
)
DATA = (
    Group(
        "",
        (),
        (
            Rule(
                f"{_SETS}.ann_file {_SETS}.data_prefix.img {_SETS}.data_prefix.seg",
                "data.train",
                _sets,
                absent=None,
                each_stage=True,
                sees=True,
            ),
            *follows(f"{TRAIN}.ConcatDataset", why="all of the data sets say it"),
        ),
    ),
    _dataset(TRAIN, "train", seg=True),
    _dataset(VAL, "val", seg=False),
    Group(
        "",
        (),
        (
            Rule(f"{TRAIN}.dataset.data_root", "data.root", _root, sees=True, absent=None),
            Rule(f"{VAL}.dataset.data_root", None, _other_root, sees=True, why="data.root is of all data"),
            Rule(f"{TRAIN}.batch_size", "data.batch_size_per_process"),
            Rule(f"{TRAIN}.num_workers", "data.num_workers"),
            Rule(f"{VAL}.batch_size", "evaluation.batch_size", absent=1),
            Rule(f"{TRAIN}.ClassBalancedDataset[].oversample_thr", "data.sampling", _repeat_factor),
            *follows(f"{TRAIN}.ClassBalancedDataset", why="data.sampling says how often pictures come"),
            *follows(f"{VAL}.num_workers", why="data.num_workers is of all data"),
            Rule(
                f"{TRAIN}.sampler.type", "data.sampling", _sampling, why="each epoch has every picture once"
            ),
            Rule(
                f"{TRAIN}.dataset.filter_cfg.filter_empty_gt",
                "data.keep_pictures_without_boxes",
                _keeps_empty,
                absent=None,
                sees=True,
            ),
            *without(
                f"{TRAIN}.dataset.filter_cfg.min_size",
                why="hrdet trains on pictures of less than 32 pixels, too",
            ),
            Rule(f"{VAL}.dataset.pipeline.Resize.scale", "evaluation.scale_pixels", _first_scale),
            Rule(
                f"{VAL}.dataset.pipeline.MultiScaleFlipAug.flip {VAL}.dataset.pipeline.Resize.scale",
                "evaluation.test_time_augmentation",
                _views,
                why="pictures are looked at once",
            ),
            Rule(
                " ".join(f"{VAL}.dataset.pipeline.Resize.{key}" for key in ("keep_ratio", "type")),
                None,
                keeps_ratio,
                sees=True,
                why="pictures keep their aspect ratio",
            ),
            *follows(f"{VAL}.dataset.pipeline", f"{VAL}.dataset.filter_cfg", why=READING),
            Rule(_TEST, None, _test_data, sees=True, why="what is scored is data.val"),
        ),
    ),
    *(Group(loader, (), (*_LOADING, *_SAMPLERS)) for loader in (TRAIN, VAL)),
)
"""Data sets and how they are read."""

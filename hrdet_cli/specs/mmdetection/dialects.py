"""The three generations of mmdetection: telling them apart, and their keys brought to the latest's places."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from hrdet_cli.specs.mmdetection.config_file import ConfigFile
from hrdet_cli.specs.mmdetection.entries import Entries, Entry, Path, flat_entries
from hrdet_cli.specs.mmdetection.older_keys import MOVES, MOVES_OF_STEPS, PARTS

Generation = Literal[1, 2, 3]


def generation_of(values: Mapping[str, Any]) -> Generation:
    """The version of mmdetection whose keys a configuration has: 1 stands for 0 too."""
    model = _section(values, "model")
    data = _section(values, "data")
    if "imgs_per_gpu" in data or "bbox_roi_extractor" in model:
        return 1
    if any("anchor_scales" in _section(model, head) for head in ("rpn_head", "bbox_head")):
        return 1
    latest = ("train_dataloader", "optim_wrapper", "param_scheduler", "default_scope", "val_evaluator")
    return 3 if "data_preprocessor" in model or any(name in values for name in latest) else 2


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = values.get(name)
    return section if isinstance(section, dict) else {}


def entries_of(config: ConfigFile, names: frozenset[str]) -> Entries:
    """Every value under its key in mmdetection 3, whichever generation the configuration is of.

    A pipeline's steps are found by their type: ``train_dataloader.dataset.pipeline.Resize.scale``.

    Args:
        config: What was read.
        names: Top-level names to take.
    """
    values = {name: value for name, value in config.values.items() if name in names}
    entries = dict(flat_entries(values))
    for move in MOVES:
        entries = move.apply(entries)
    for unwrap in (
        _without_wrappers,
        _with_lists_named,
        _with_common_keys,
        _by_type_of_step,
        _with_schedulers_by_type,
    ):
        entries = unwrap(entries)
    entries = _by_type(entries, ("custom_hooks",))
    for move in MOVES_OF_STEPS:
        entries = move.apply(entries)
    return entries


def _with_lists_named(entries: Entries) -> Entries:
    """Lists of data sets, which are version 2's ConcatDataset, under the key of version 3."""
    slots = [(f"{part}_dataloader", "dataset") for part in PARTS]
    listed = {path for path in entries if path[:2] in slots and path[2:] and path[2].isdigit()}
    return {
        (*path[:2], "datasets", *path[2:]) if path in listed else path: entry
        for path, entry in entries.items()
    }


_WRAPPERS = ("RepeatDataset", "ClassBalancedDataset", "MultiImageMixDataset")


def _without_wrappers(entries: Entries) -> Entries:
    """Data sets out of what repeats or mixes them, whose own keys stay under its type and their number."""
    for part in PARTS:
        slot = (f"{part}_dataloader", "dataset")
        depth: Counter[str] = Counter()
        while (wrapper := entries.get((*slot, "type"), Entry("", None)).value) in _WRAPPERS:
            number = str(depth[wrapper])
            depth[wrapper] += 1
            moved: Entries = {}
            for path, entry in entries.items():
                if path[:2] != slot:
                    moved[path] = entry
                elif path[2] == "dataset":
                    moved[(*slot, *path[3:])] = entry
                else:
                    moved[(slot[0], wrapper, number, *path[2:])] = entry
            if moved.keys() == entries.keys():
                break
            entries = moved
    return entries


_FILES = ("ann_file", "img_prefix", "seg_prefix", "data_prefix")
"""Keys of a data set that say where its files are."""


def _with_common_keys(entries: Entries) -> Entries:
    """Several data sets to train on as one with several files, where all else that they say is the same.

    Keys that the others repeat, and those beside the list, stay under ``ConcatDataset``.
    """
    loader, slot = "train_dataloader", ("train_dataloader", "dataset")
    common: dict[str, Entries] = {}
    for path, entry in entries.items():
        if path[:3] == (*slot, "datasets") and len(path) > 4 and path[4] not in _FILES:
            common.setdefault(path[3], {})[path[4:]] = entry
    said = [{path: entry.value for path, entry in one.items()} for one in common.values()]
    if not said or said[0].get(("type",)) in (*_WRAPPERS, None) or any(one != said[0] for one in said):
        return entries
    moved: Entries = {}
    for path, entry in entries.items():
        if path[:2] != slot or (path[2] == "datasets" and path[4:5] and path[4] in _FILES):
            moved[path] = entry
        elif path[2:4] == ("datasets", next(iter(common))):
            moved[(*slot, *path[4:])] = entry
        else:
            moved[(loader, "ConcatDataset", *path[2:])] = entry
    return moved


def _by_type_of_step(entries: Entries) -> Entries:
    """Steps of pipelines by their types; those inside MultiScaleFlipAug as if they stood behind it."""
    for part in PARTS:
        slot = (f"{part}_dataloader", "dataset", "pipeline")
        inner = [path for path in entries if path[:3] == slot and path[4:5] == ("transforms",)]
        steps = {path[3] for path in inner if _type_at(entries, path[:4]) == "MultiScaleFlipAug"}
        flat: Entries = {}
        for path, entry in entries.items():
            is_inside = path[:3] == slot and path[3:4] and path[3] in steps and path[4:5] == ("transforms",)
            flat[(*slot, f"{path[3]}/{path[5]}", *path[6:]) if is_inside else path] = entry
        entries = _by_type(flat, slot)
    return entries


def _with_schedulers_by_type(entries: Entries) -> Entries:
    for path in [path for path in entries if path[:1] == ("param_scheduler",) and path[1:2] == ("type",)]:
        kind = entries[path].value
        entries = {
            (p[0], str(kind), *p[1:]) if p[:1] == ("param_scheduler",) else p: e for p, e in entries.items()
        }
    return _by_type(entries, ("param_scheduler",))


def _by_type(entries: Entries, slot: Path) -> Entries:
    """The items of a list by their types; a second one of a type is called ``Type#2``."""
    count = len(slot)
    names: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for path in entries:
        if path[:count] == slot and len(path) > count and re.match(r"\d", path[count]):
            index = path[count]
            if index not in names:
                kind = str(_type_at(entries, (*slot, index)) or "?")
                seen[kind] += 1
                names[index] = kind if seen[kind] == 1 else f"{kind}#{seen[kind]}"
    return {
        (*slot, names[path[count]], *path[count + 1 :])
        if path[:count] == slot and path[count : count + 1] and path[count] in names
        else path: entry
        for path, entry in entries.items()
    }


def _type_at(entries: Entries, path: Path) -> Any:
    entry = entries.get((*path, "type"))
    return None if entry is None else entry.value

"""Broken weights: of a backbone, of a detector by the names of hrdet and of mmdetection, and checkpoints.

The oracle: a detector that took them has, for each tensor, the values that were put in under its name (but
for formats without checksums, where nobody can tell), none of them NaN, infinite, or a negative variance;
where a tensor keeps what it had, a notice says that something is left.
"""

import pickle
import random
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.training.checkpoint import save_checkpoint
from hrdet_cli.engine.weights.naming.mmdetection import to_mmdetection
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.runs.initial_weights import load_initial_weights
from hrdet_cli.specs.loading import format_spec, load_spec
from tests.faults.fuzz import Case
from tests.faults.mutation import ODD_VALUES, damage

_NUM_CLASSES = 3
_NAMES = ("cat", "dog", "öl")
_WITHOUT_CHECKSUMS = ("old", "safetensors", "arrays")
_FORMS = ("plain", "state_dict", "mmdetection", "wrapped", "backbone", "checkpoint", *_WITHOUT_CHECKSUMS)


class Fuzzed:
    """See ``fuzz.Kind``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        settings = ["model.neck.channels=16", "model.head.roi_head.hidden_features=16"]
        self._spec = load_spec(preset="demo", settings=settings).spec
        self._detector = self._fresh()
        torch.manual_seed(1)
        self._whole = {key: _filled(value) for key, value in self._detector.state_dict().items()}
        self._other = {key: value.clone() for key, value in self._detector.state_dict().items()}

    def _fresh(self) -> Detector:
        return build_detector(self._spec, num_classes=_NUM_CLASSES, trains=False)

    def case(self, rng: random.Random) -> Case:
        """A file in some form, with wrong tensors, foreign entries or damaged bytes."""
        form = rng.choice(_FORMS)
        tensors = dict(self._whole)
        what = "whole"
        if rng.random() < 0.6:
            what = _change_tensors(rng, tensors)
        path = self._folder / ("weights.safetensors" if form == "safetensors" else "weights.pth")
        extra, with_objects = _extra(rng) if rng.random() < 0.3 else ({}, False)
        self._write(path, form, tensors, extra)
        is_damaged = rng.random() < 0.4
        if is_damaged:
            change, raw = damage(rng, path.read_bytes())
            what = f"{what}; {change}"
            path.write_bytes(raw)
        strict = rng.random() < 0.7
        what = f"{form}, {what}, {list(extra)}, strict {strict}"
        must_refuse = "objects that run code" if with_objects and form != "safetensors" else None
        return Case(
            what,
            [str(path)],
            lambda: self._attempt(
                path,
                tensors,
                must_refuse,
                strict=strict,
                is_unknowable=is_damaged and form in _WITHOUT_CHECKSUMS,
            ),
        )

    def _write(self, path: Path, form: str, tensors: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
        if form == "safetensors":
            from safetensors.torch import save_file

            plain = {key: value for key, value in tensors.items() if isinstance(value, Tensor)}
            dense = {key: value.to_dense().contiguous().clone() for key, value in plain.items()}
            save_file(dense, path, metadata={key: str(value)[:50] for key, value in extra.items()})
        elif form == "checkpoint":
            state = {"spec": format_spec(self._spec), "class_names": list(_NAMES), "category_ids": [1, 2, 3]}
            try:
                save_checkpoint(path, {**state, "model": dict(tensors), **extra})
            except TypeError:
                torch.save({**state, "model": dict(tensors), **extra}, path)
        elif form == "arrays":
            arrays = {key: _as_array(value) for key, value in tensors.items()}
            path.write_bytes(pickle.dumps({"model": arrays, "__author__": "somebody", **extra}))
        elif form == "mmdetection":
            named = to_mmdetection(tensors)
            torch.save({"meta": {"CLASSES": _NAMES, **extra}, "state_dict": OrderedDict(named)}, path)
        else:
            prefix = {"wrapped": "module."}.get(form, "")
            kept = {k: v for k, v in tensors.items() if form != "backbone" or k.startswith("backbone.")}
            cut = "backbone." if form == "backbone" else ""
            named = {f"{prefix}{key.removeprefix(cut)}": value for key, value in kept.items()}
            is_inside = form in ("state_dict", "wrapped")
            document = {"state_dict": named, **extra} if is_inside else {**named, **extra}
            torch.save(document, path, _use_new_zipfile_serialization=form != "old")

    def _attempt(
        self,
        path: Path,
        tensors: Mapping[str, Any],
        must_refuse: str | None,
        *,
        strict: bool,
        is_unknowable: bool,
    ) -> str | None:
        self._detector.load_state_dict(self._other)
        model = self._spec.model.model_copy(update={"weights": str(path), "strict_weights": strict})
        loaded = load_initial_weights(self._detector, model, class_names=_NAMES)
        if must_refuse is not None:
            return f"loaded, though it holds {must_refuse}"
        told = " ".join(loaded.notices)
        num_kept = 0
        for key, value in self._detector.state_dict().items():
            if not value.isfinite().all() or (key.endswith("running_var") and value.min() < 0):
                return f"{key} has values that no weights have"
            if is_unknowable:
                continue
            wanted = tensors.get(key)
            if isinstance(wanted, Tensor) and wanted.shape == value.shape and _same(wanted, value):
                continue
            num_kept += not key.endswith("num_batches_tracked") and not _is_rest(key, value, self._other)
            if not _same(self._other[key], value):
                return f"{key} has values that were not in the file"
        missing = any(key not in tensors for key in self._other)
        return f"{num_kept} tensors kept other values unsaid" if num_kept and not told and missing else None


def _filled(value: Tensor) -> Tensor:
    return torch.rand(value.shape).to(value.dtype) + (1 if value.is_floating_point() else 0)


def _as_array(value: Any) -> Any:
    """As NumPy has it; what it has none of stays."""
    try:
        return value.detach().to_dense().numpy()
    except (AttributeError, RuntimeError, TypeError):
        return value


def _same(wanted: Tensor, value: Tensor) -> bool:
    return torch.equal(wanted.detach().to_dense().to(value.dtype), value)


def _is_rest(key: str, value: Tensor, other: Mapping[str, Tensor]) -> bool:
    """Whether a tensor is of the parts that a backbone leaves as they are."""
    return not key.startswith("backbone.") and torch.equal(value, other[key])


def _change_tensors(rng: random.Random, tensors: dict[str, Any]) -> str:
    key = rng.choice(list(tensors))
    value = tensors[key]
    changes: dict[str, Any] = {
        "NaN": lambda: _with_value(rng, value, float("nan")),
        "infinity": lambda: _with_value(rng, value, float("inf")),
        "1e300": lambda: _with_value(rng, value.double(), 1e300),
        "-1 everywhere": lambda: -torch.ones_like(value),
        "half": lambda: value.half(),
        "bfloat16": lambda: value.bfloat16(),
        "integers": lambda: value.long(),
        "complex": lambda: value.to(torch.complex64),
        "float8": lambda: value.to(torch.float8_e4m3fn),
        "booleans": lambda: value.bool(),
        "transposed": lambda: value.flatten().flip(0).reshape(value.shape[::-1]),
        "expanded": lambda: torch.ones((), dtype=value.dtype).expand(value.shape),
        "scalar": lambda: torch.tensor(1.0),
        "no elements": lambda: value[:0] if value.dim() else value.reshape(1)[:0],
        "one more row": lambda: torch.cat((value, value)) if value.dim() else value.reshape(1),
        "sparse": lambda: value.to_sparse(),
        "parameter": lambda: torch.nn.Parameter(value, requires_grad=False),
        "no tensor": lambda: rng.choice(ODD_VALUES),
        "list": lambda: value.tolist(),
    }
    what = rng.choice([*changes, "removed", "renamed", "doubled", "other classes"])
    if what in changes:
        tensors[key] = changes[what]()
    elif what == "removed":
        for gone in rng.sample(list(tensors), rng.choice((1, 3, 400))):
            del tensors[gone]
    elif what == "renamed":
        tensors[rng.choice((key + "x", "extra", "é", "a\nb", "\x1b[31m", ""))] = tensors.pop(key)
    elif what == "doubled":
        tensors[f"module.{key}"] = value
    elif what == "other classes":
        for name in ("weight", "bias"):
            other = tensors[f"roi_head.classifier.{name}"][:2]
            tensors[f"roi_head.classifier.{name}"] = torch.rand_like(other)
    return f"{key}: {what}"


def _with_value(rng: random.Random, value: Tensor, number: float) -> Tensor:
    changed = value.float().clone() if value.dtype != torch.float64 else value.clone()
    changed.view(-1)[rng.randrange(changed.numel())] = number
    return changed


class _Foreign:
    """Would run when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('code in the file was run')",))


def _extra(rng: random.Random) -> tuple[dict[str, Any], bool]:
    """Entries beside the tensors, and whether they must be refused."""
    nested: Any = 1
    for _ in range(rng.choice((3, 60))):
        nested = {"a": nested}
    entries: list[tuple[dict[str, Any], bool]] = [
        ({"optimizer": _Foreign()}, True),
        ({"optimizer": {"state": [pickle.PickleBuffer]}}, True),
        ({"epoch": 3, "best": 1.5}, False),
        ({"nested": nested}, False),
        ({"meta": rng.choice(ODD_VALUES)}, False),
        ({"class_names": rng.choice(ODD_VALUES)}, False),
        ({"format": rng.choice(ODD_VALUES)}, False),
        ({"CLASSES": rng.choice(([1, 2], "cat", None, ["a\x1b", "b", "c"]))}, False),
    ]
    return rng.choice(entries)

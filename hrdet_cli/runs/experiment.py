"""The experiment that a command's options, or a script's arguments, describe: one spec of many layers."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hrdet_cli.errors import SpecError, WeightsError
from hrdet_cli.runs.annotation_sources import names_validation
from hrdet_cli.runs.run_folder import weights_of
from hrdet_cli.specs.keys import leaves
from hrdet_cli.specs.layers import Layer
from hrdet_cli.specs.loading import LoadedSpec, load_spec

DataPaths = tuple[str, str]
"""Annotations and pictures; the second is empty of a data set that says itself where these are."""

OF_RUN = "--weights with a run folder"
"""The layer whose weights are the checkpoint that a run folder stood for."""


def load_experiment(
    *,
    preset: str | None,
    spec_file: Path | None,
    settings: Sequence[Layer],
    train_data: Sequence[DataPaths] = (),
    val_data: DataPaths | None = None,
    weights: str | None = None,
    from_scratch: bool = False,
) -> LoadedSpec:
    """The spec that all of these describe.

    Args:
        preset: Name of a preset; exactly one of it and ``spec_file`` is needed.
        spec_file: A spec of one's own.
        settings: The topmost layers.
        train_data: Data sets to train on in place of what the spec names. Without ``val_data`` there is then
            no evaluation, unless one of these names data for it, or those of a preset are there.
        val_data: To evaluate on, likewise.
        weights: To start from: a file, a run folder, a name or an address.
        from_scratch: Start from random weights, and train all that the preset would keep of trained ones.

    Raises:
        SpecError: With every problem found, or where arguments contradict each other.
        DataError: The training data cannot be used.
    """
    _refuse_two_weights(weights, settings, from_scratch=from_scratch)
    load = partial(load_spec, preset=preset, spec_file=spec_file, from_scratch=from_scratch)
    layers = [*data_layers(train=train_data, val=val_data), *weights_layers(weights)]
    loaded = load(extra_layers=[*layers, *settings])
    if not train_data or val_data is not None:
        return loaded
    if naming := _naming_validation(loaded, train_data):
        own = Layer("--train-data, which names validation data too", {"data": {"val": _dataset(naming[0])}})
        with_own = load(extra_layers=[*layers, own, *settings])
        if len(naming) > 1 and with_own.spec.data.val is not None:
            raise SpecError([_choose_validation(naming)])
        return with_own
    if _has_foreign_validation(loaded):
        none = Layer("--train-data without --val-data", {"data": {"val": None}})
        return load(extra_layers=[*layers, none, *settings])
    return loaded


def data_layers(*, train: Sequence[DataPaths] = (), val: DataPaths | None = None) -> list[Layer]:
    """``--train-data`` and ``--val-data`` as spec layers; the built-in demo data is not drawn then."""
    sets = list(map(_dataset, train))
    parts = {
        "train": sets[0] if len(sets) == 1 else sets,
        "val": {} if val is None else _dataset(val),
    }
    return [
        Layer(f"--{part}-data", {"data": {"demo": None, part: named}})
        for part, named in parts.items()
        if named
    ]


def _dataset(paths: DataPaths) -> dict[str, str | None]:
    annotations, images = (str(Path(path).absolute()) if path else None for path in paths)
    return {"annotations": annotations, "images": images, "split": None}


def weights_layers(weights: str | None) -> list[Layer]:
    """``--weights`` as a spec layer; a run folder stands for its checkpoint.

    One without a checkpoint stays: a run that began with what it had goes on without it. Whoever starts a run
    refuses it.
    """
    if weights is None:
        return []
    try:
        file = weights_of(weights)
    except WeightsError:
        file = weights
    return [Layer("--weights" if file == weights else OF_RUN, {"model": {"weights": file}})]


def _naming_validation(loaded: LoadedSpec, train_data: Sequence[DataPaths]) -> list[DataPaths]:
    """Training data sets that name validation data of their own; none where not only a preset names others.

    Raises:
        DataError: The training data cannot be used.
    """
    sources = loaded.sources
    source = sources.get("data.val.annotations") or sources.get("data.val") or "preset "
    if not source.startswith("preset "):
        return []
    return [paths for paths in train_data if not paths[1] and names_validation(Path(paths[0]))]


def _choose_validation(naming: Sequence[DataPaths]) -> str:
    names = " and ".join(annotations for annotations, _ in naming)
    return (
        f"--train-data: {names} name validation data each; choose one of them with --val-data, or none with "
        "--set data.val=null"
    )


def _has_foreign_validation(loaded: LoadedSpec) -> bool:
    """Whether the validation data are those a preset names, which do not go with training data of one's own.

    Where they are there, as with a part of COCO to train on, they are taken.
    """
    data = loaded.spec.data
    source = loaded.sources.get("data.val.annotations", "")
    if data.val is None or not source.startswith("preset "):
        return False
    return source == "preset demo" or not data.locate("val").annotations.exists()


def _refuse_two_weights(weights: str | None, settings: Sequence[Layer], *, from_scratch: bool) -> None:
    """``--weights`` says what to start from; nothing else may say another thing.

    Raises:
        SpecError: Something does.
    """
    if weights is None:
        return
    others = [
        layer.source
        for layer in settings
        for key, value in leaves(layer.values)
        if key == "model.weights" and value != weights
    ]
    if from_scratch:
        others.append("--from-scratch")
    if others:
        problem = f"--weights {weights}: contradicts {' and '.join(others)}; leave one of them away"
        raise SpecError([problem])

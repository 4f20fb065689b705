"""Options that several commands share, and what they mean together."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hrdet_cli.errors import SpecError

if TYPE_CHECKING:
    from hrdet_cli.specs.layers import Layer
    from hrdet_cli.specs.loading import LoadedSpec

PRESET_PANEL = "Which experiment"


def complete_preset(incomplete: str) -> list[str]:
    """Names of presets that begin so, for the shell."""
    from hrdet_cli.specs.presets import all_presets

    return [name for name in all_presets() if name.startswith(incomplete)]


def complete_setting(incomplete: str) -> list[str]:
    """Keys of specs that begin so, for the shell; it is left to say what they are set to."""
    from hrdet_cli.specs.known_keys import all_keys

    return [f"{key}=" for key in all_keys() if key.startswith(incomplete)]


PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="A preset; see `hrdet presets list`.",
        rich_help_panel=PRESET_PANEL,
        autocompletion=complete_preset,
    ),
]
SpecOption = Annotated[
    Path | None,
    typer.Option(
        "--spec",
        readable=False,
        metavar="FILE",
        help="A spec file of your own.",
        rich_help_panel=PRESET_PANEL,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one value, such as optimisation.num_epochs=24; repeatable.",
        rich_help_panel=PRESET_PANEL,
        autocompletion=complete_setting,
    ),
]
DataPaths = tuple[str, str]
"""Annotations and pictures; the second is empty of a data set that says itself where these are."""

TrainDataOption = Annotated[
    DataPaths | None,
    typer.Option(
        "--train-data",
        metavar="SOURCE [IMAGES]",
        help="Training data: COCO's JSON, and the folder or .zip with the pictures; or YOLO's data.yaml or a "
        "Pascal VOC folder alone.",
        rich_help_panel=PRESET_PANEL,
    ),
]
ValDataOption = Annotated[
    DataPaths | None,
    typer.Option(
        "--val-data",
        metavar="SOURCE [IMAGES]",
        help="Validation data, likewise; by default those that data.yaml or a VOC folder names itself.",
        rich_help_panel=PRESET_PANEL,
    ),
]
FOREIGN_PANEL = "Which detector"

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A run folder (its best checkpoint), a checkpoint, or weights of other code: a file or a name "
        "such as torchvision:fasterrcnn_resnet50_fpn, which need --preset or --spec.",
    ),
]
ClassesOption = Annotated[
    Path | None,
    typer.Option(
        "--classes",
        readable=False,
        metavar="SOURCE",
        help="Annotations, as of --val-data, with the classes of weights that do not name theirs, in order.",
        rich_help_panel=FOREIGN_PANEL,
    ),
]
EmaOption = Annotated[
    bool, typer.Option("--ema", help="Take a run's averaged weights.", rich_help_panel=FOREIGN_PANEL)
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")
]


def data_layers(*, train: DataPaths | None, val: DataPaths | None) -> list["Layer"]:
    """``--train-data`` and ``--val-data`` as spec layers; the built-in demo data is not drawn then."""
    from hrdet_cli.specs.layers import Layer

    parts = {"train": train, "val": val}
    return [
        Layer(f"--{part}-data", {"data": {"demo": None, part: _dataset(paths)}})
        for part, paths in parts.items()
        if paths is not None
    ]


def _dataset(paths: DataPaths) -> dict[str, str | None]:
    annotations, images = (str(Path(path).absolute()) if path else None for path in paths)
    return {"annotations": annotations, "images": images, "split": None}


def weights_layers(weights: str | None) -> list["Layer"]:
    """``--weights`` as a spec layer; a run folder stands for its checkpoint."""
    from hrdet_cli.runs.run_folder import weights_of
    from hrdet_cli.specs.layers import Layer

    if weights is None:
        return []
    return [Layer("--weights", {"model": {"weights": weights_of(weights)}})]


def load_from_options(
    *,
    preset: str | None,
    spec_file: Path | None,
    settings: list[str] | None,
    train_data: DataPaths | None = None,
    val_data: DataPaths | None = None,
    weights: str | None = None,
    from_scratch: bool = False,
) -> "LoadedSpec":
    """The spec that the options describe.

    Raises:
        SpecError: With every problem found, or where options contradict each other.
    """
    from hrdet_cli.specs.layers import Layer
    from hrdet_cli.specs.loading import load_spec

    _refuse_two_weights(weights, settings or [], from_scratch=from_scratch)
    load = partial(
        load_spec,
        preset=preset,
        spec_file=spec_file,
        settings=settings or [],
        from_scratch=from_scratch,
    )
    layers = [*data_layers(train=train_data, val=val_data), *weights_layers(weights)]
    loaded = load(extra_layers=layers)
    if train_data is None or val_data is not None:
        return loaded
    if not train_data[1] and _own_validation_is_meant(loaded, Path(train_data[0])):
        own = Layer("--train-data, which names validation data too", {"data": {"val": _dataset(train_data)}})
        return load(extra_layers=[*layers, own])
    if _has_foreign_validation(loaded):
        return load(extra_layers=[*layers, Layer("--train-data without --val-data", {"data": {"val": None}})])
    return loaded


def _own_validation_is_meant(loaded: "LoadedSpec", train_data: Path) -> bool:
    """Whether training data name validation data of their own, and nobody but a preset names others.

    Raises:
        DataError: The training data cannot be used.
    """
    from hrdet_cli.runs.annotation_sources import names_validation

    sources = loaded.sources
    source = sources.get("data.val.annotations") or sources.get("data.val") or "preset "
    return source.startswith("preset ") and names_validation(train_data)


def _has_foreign_validation(loaded: "LoadedSpec") -> bool:
    """Whether the validation data are those a preset names, which do not go with training data of one's own.

    Where they are there, as with a part of COCO to train on, they are taken.
    """
    data = loaded.spec.data
    source = loaded.sources.get("data.val.annotations", "")
    if data.val is None or not source.startswith("preset "):
        return False
    return source == "preset demo" or not data.locate("val").annotations.exists()


def _refuse_two_weights(weights: str | None, settings: Sequence[str], *, from_scratch: bool) -> None:
    """``--weights`` says what to start from; nothing else may say another thing.

    Raises:
        SpecError: Something does.
    """
    from hrdet_cli.specs.keys import leaves
    from hrdet_cli.specs.layers import setting_layers

    if weights is None:
        return
    others = [
        layer.source
        for layer in setting_layers(settings)
        for key, value in leaves(layer.values)
        if key == "model.weights" and value != weights
    ]
    if from_scratch:
        others.append("--from-scratch")
    if others:
        problem = f"--weights {weights}: contradicts {' and '.join(others)}; leave one of them away"
        raise SpecError([problem])

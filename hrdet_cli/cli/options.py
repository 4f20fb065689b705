"""Options that several commands share, and what they mean together."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
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
    list[str] | None,
    typer.Option(
        "--train-data",
        metavar="SOURCE [IMAGES]",
        help="Training data: COCO's JSON, and the folder or .zip with the pictures; or YOLO's data.yaml or a "
        "Pascal VOC folder alone. Several data sets: repeat it.",
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
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print results and errors alone: no progress, no notes.")
]


def data_sets(words: Sequence[str] | None) -> list[DataPaths]:
    """The data sets of `TrainDataOption`, whose values come one behind the other."""
    return list(zip((words or ())[::2], (words or ())[1::2], strict=True))


def load_from_options(
    *,
    preset: str | None,
    spec_file: Path | None,
    settings: list[str] | None,
    train_data: Sequence[str] | None = None,
    val_data: DataPaths | None = None,
    weights: str | None = None,
    from_scratch: bool = False,
) -> "LoadedSpec":
    """The spec that the options describe.

    Raises:
        SpecError: With every problem found, or where options contradict each other.
    """
    from hrdet_cli.runs.experiment import load_experiment
    from hrdet_cli.specs.layers import setting_layers

    return load_experiment(
        preset=preset,
        spec_file=spec_file,
        settings=setting_layers(settings or []),
        train_data=data_sets(train_data),
        val_data=val_data,
        weights=weights,
        from_scratch=from_scratch,
    )

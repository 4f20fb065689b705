"""The recipe of ``hrdet import``: a configuration of mmdetection becomes a spec file."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hrdet_cli.errors import OutputError, WeightsError
from hrdet_cli.runs.output_files import refuse_unwritable_file, write_text
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.mmdetection.account import Outcome
from hrdet_cli.specs.mmdetection.config_file import read_config
from hrdet_cli.specs.mmdetection.nearest_preset import nearest_preset
from hrdet_cli.specs.mmdetection.translation import Translation, translate
from hrdet_cli.specs.yaml_text import format_yaml
from hrdet_cli.wording import command, counted


@dataclass(frozen=True, slots=True)
class ImportedConfig:
    """What was made of a configuration.

    Attributes:
        config: The file.
        files: Every file that was read.
        generation: The version of mmdetection: 1, 2 or 3; 1 stands for 0 too.
        base: The preset that the spec is based on.
        spec_file: What was written.
        outcomes: What became of every key.
        implied: Values that no key says, but that mmdetection has: by our dotted keys.
        notes: What the user should be told, a sentence each.
    """

    config: Path
    files: tuple[Path, ...]
    generation: int
    base: str
    spec_file: Path
    outcomes: tuple[Outcome, ...]
    implied: Mapping[str, Any]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        outcomes = [
            {key: value for key, value in asdict(outcome).items() if key != "leaves"}
            for outcome in self.outcomes
        ]
        return {
            "config": str(self.config),
            "files": [str(file) for file in self.files],
            "mmdetection": self.generation,
            "base": self.base,
            "spec": str(self.spec_file),
            "keys": outcomes,
            "implied": dict(self.implied),
            "notes": list(self.notes),
        }


def import_config(
    config: Path, *, checkpoint: str | None = None, out: Path | None = None, overwrites: bool = False
) -> ImportedConfig:
    """Read a configuration without running it, and write the spec that says the same.

    Args:
        config: A ``.py`` file of mmdetection 1, 2 or 3.
        checkpoint: Weights for the spec to name: a file, a name or an address.
        out: The file to write; by default it has the configuration's name, in the current folder.
        overwrites: Whether it may be there already.

    Raises:
        SpecError: The configuration cannot be read, or hrdet has no such network.
        WeightsError: The weights cannot be read, or are of another network or other classes.
        OutputError: The spec cannot be written.
    """
    spec_file = out or Path(f"{config.stem}.yaml")
    refuse_unwritable_file(spec_file, option="--out")
    file = read_config(config)
    if checkpoint is not None and Path(checkpoint).exists():
        checkpoint = str(Path(checkpoint).absolute())
    translation = translate(file, weights=checkpoint)
    if spec_file.exists() and not overwrites:
        raise OutputError(f"{spec_file}: is there already; name another with --out, or add --overwrite")
    spec, notes = translation.spec, list(_notes(translation))
    if checkpoint is not None:
        notes += _checked(checkpoint, spec, num_classes=translation.num_classes)
    base, values = nearest_preset(spec, translation.generation)
    launch = command("hrdet", "train", "--spec", spec_file)
    header = f"# {spec.description}, by hrdet import.\n# Launch: {launch}\n"
    write_text(spec_file, header + format_yaml({"base": base, **values}))
    return ImportedConfig(
        config=config,
        files=file.files,
        generation=translation.generation,
        base=base,
        spec_file=spec_file,
        outcomes=translation.outcomes,
        implied=translation.implied,
        notes=tuple(notes),
    )


def _notes(translation: Translation) -> Iterator[str]:
    """What the user should look at."""
    optimisation = translation.spec.optimisation
    if "data.train.annotations" in translation.implied:
        yield "the config names no training data; the spec has COCO's: give --train-data JSON IMAGES"
    if any(outcome.written.endswith("max_iters") for outcome in translation.outcomes):
        yield (
            "the config counts its run in iterations, and the spec has "
            f"{counted(optimisation.num_epochs, 'epoch')}: set optimisation.num_epochs and "
            "optimisation.schedule.drop_epochs"
        )
    if optimisation.learning_rate_scaling == "none":
        rate = optimisation.base_learning_rate
        yield (
            f"the config does not say for how many pictures a step its rate is: {rate:g} is taken as it is. "
            "mmdetection's are for 8 GPUs: with 2 pictures on each, --set "
            "optimisation.learning_rate_scaling=linear --set optimisation.base_batch_size=16"
        )


def _checked(checkpoint: str, spec: ExperimentSpec, *, num_classes: int | None) -> tuple[str, ...]:
    """What there is to tell of weights that fit.

    Raises:
        WeightsError: They do not, or cannot be read.
    """
    from hrdet_cli.engine.weights.loading import describe_architecture, describe_misfits
    from hrdet_cli.runs.weights.inspection import fit_of

    fit = fit_of(checkpoint, spec)
    report = fit.report
    if not report.fits:
        reasons = "; ".join([*describe_architecture(report), *describe_misfits(report)])
        raise WeightsError(f"{checkpoint}: does not fit the config: {reasons}")
    if report.num_classes is not None and num_classes not in (None, report.num_classes):
        theirs = counted(report.num_classes, "class", "classes")
        raise WeightsError(
            f"{checkpoint}: has {theirs}, and the config {num_classes}. To start from it, import the config "
            f"alone and train with: {command('hrdet', 'train', '--spec', 'SPEC', '--weights', checkpoint)}"
        )
    return fit.contradictions

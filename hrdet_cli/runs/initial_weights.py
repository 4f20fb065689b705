"""The weights a run starts from: of a backbone or a whole detector, by whoever wrote them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.norm.fixed import FixedBatchNorm2d
from hrdet_cli.engine.weights.loading import LoadReport, describe_misfits, load_weights
from hrdet_cli.engine.weights.naming.recognition import describe_weights, recognise, to_ours
from hrdet_cli.engine.weights.reading import WeightsFile, read_weights
from hrdet_cli.engine.weights.state_dicts import EXPECTED_KEYS
from hrdet_cli.errors import SpecError, WeightsError
from hrdet_cli.runs.conventions.conventions import contradictions, unlike_its_run
from hrdet_cli.runs.starting_weights import random_weights_advised
from hrdet_cli.runs.trained_detector.checkpoint import spec_of_checkpoint
from hrdet_cli.specs.model import ModelSpec
from hrdet_cli.wording import command, counted, first_and_count


@dataclass(frozen=True, slots=True)
class InitialWeights:
    """What was loaded.

    Attributes:
        description: In a few words.
        notices: What the user should be told, a sentence each.
    """

    description: str
    notices: tuple[str, ...]


def load_initial_weights(
    detector: Detector, model: ModelSpec, *, class_names: Sequence[str]
) -> InitialWeights:
    """Load the weights that a spec names, if it names any.

    Args:
        detector: On the CPU, with random weights.
        model: What it was built from.
        class_names: Classes of the data.

    Raises:
        WeightsError: They cannot be read, do not fit (the detector is as it was), or lack statistics of
            norms that would keep them.
    """
    if model.weights is None:
        return InitialWeights("random", ())
    with random_weights_advised():
        file = read_weights(model.weights)
    writer, contents = recognise(file.tensors, source=model.weights)
    tensors = to_ours(file.tensors, writer, background=model.weights_background)
    report = load_weights(detector, tensors, strict=model.strict_weights, source=model.weights)
    _refuse_fresh_statistics(detector, report, source=model.weights)
    counts = (
        f"{counted(len(report.matched), 'tensor')}, {len(report.left_over) + len(report.surplus)} left over"
    )
    place = "" if file.state_dict_key in (None, *EXPECTED_KEYS) else f"{file.state_dict_key}, "
    return InitialWeights(
        description=f"{model.weights} ({place}{describe_weights(writer, contents)}: {counts})",
        notices=(
            *file.notices(),
            *_average_notices(file),
            *contradictions(file, writer, contents, model),
            *_run_notices(file, model),
            *_norm_notices(report),
            *_class_notices(file, report, class_names),
            *(f"model.strict_weights=false: {misfit}" for misfit in describe_misfits(report)),
        ),
    )


def _refuse_fresh_statistics(detector: Detector, report: LoadReport, *, source: str) -> None:
    """Norms that never look at a batch need statistics of one, or they do nothing at all for a whole run."""
    loaded = frozenset(report.matched)
    fresh = [
        name
        for name, module in detector.named_modules()
        if isinstance(module, FixedBatchNorm2d)
        and not loaded.issuperset((f"{name}.running_mean", f"{name}.running_var"))
    ]
    if fresh:
        raise WeightsError(
            f"weights {source} have no statistics for {counted(len(fresh), 'norm')} that would keep what "
            f"they begin with: {first_and_count(fresh)}. Set norm.kind=batch or sync (and "
            "norm.keep_statistics=false, model.backbone.frozen_stages=0), norms of neck and head to group or "
            "null, or give weights that have these norms"
        )


def _run_notices(file: WeightsFile, model: ModelSpec) -> Iterator[str]:
    text = (file.checkpoint or {}).get("spec")
    if not isinstance(text, str):
        return
    try:
        theirs = spec_of_checkpoint(text, file.source).model
    except SpecError:  # of a later hrdet, say; its tensors fit all the same
        return
    yield from unlike_its_run(file, theirs, model)


def _average_notices(file: WeightsFile) -> Iterator[str]:
    if "ema_model" in (file.checkpoint or {}):
        yield (
            f"weights {file.source}: the raw weights in it are taken, not their average. To start from that: "
            f"{command('hrdet', 'export', file.source)} --ema --to safetensors --out FILE, and give FILE"
        )


def _norm_notices(report: LoadReport) -> Iterator[str]:
    if report.unused_statistics:
        num_unused = len(report.unused_statistics)
        yield f"norm.kind=group: {num_unused} running statistics of the weights are not used"


def _class_notices(file: WeightsFile, report: LoadReport, class_names: Sequence[str]) -> Iterator[str]:
    num_classes = len(class_names)
    if report.num_classes is None:
        return
    if report.remade:
        yield (
            f"weights {file.source} have {counted(report.num_classes, 'class', 'classes')}, the data "
            f"{num_classes}: the last layers of the head start anew ({', '.join(report.remade)})"
        )
    elif report.num_classes == num_classes and file.class_names not in (None, tuple(class_names)):
        number = counted(num_classes, "class", "classes")
        yield (
            f"weights {file.source} are for {number} of other names or in another order "
            f"({', '.join((file.class_names or ())[:3])}, ...): the head starts from them all the same"
        )

"""Comparing weights with a detector, and loading them; all that is wanted fits, or nothing is changed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor

from hrdet_cli.engine.structures import ClassRows
from hrdet_cli.engine.weights.impossible_values import describe_impossible_values
from hrdet_cli.engine.weights.naming.contents import Contents, contents_of
from hrdet_cli.errors import WeightsError
from hrdet_cli.wording import counted, first_and_count

_BATCH_COUNTER = ".num_batches_tracked"
"""Old files and frozen norms lack it, averages of checkpoints have fractions, and nothing depends on it."""
_RUNNING_STATISTICS = (".running_mean", ".running_var")
_CLASSIFIER_PARTS = (
    *("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.", "fc.", "head."),
    *("neck.increase_layers.", "neck.downsample_layers.", "neck.final_layer."),
)
"""What classifiers of ImageNet have behind the backbone; the last three are mmpretrain's HRNets'."""
_MOVES = ".conv_offset."
_MASK_PARTS = ("mask_head.", "roi_head.mask_", "roi_heads.mask_")
_CHECK = (
    "Check that the model and the file are of the same kind and width; "
    "`hrdet weights inspect FILE` shows what the file is."
)
_REMEDY = (
    f"{_CHECK} To take what fits: --set model.strict_weights=false. "
    "To train from random weights: --from-scratch"
)


class WeightedModel(Protocol):
    """What weights are compared with and loaded into, such as ``Detector``."""

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        """Layers whose rows are classes, by name, a classifier first."""

    def state_dict(self) -> dict[str, Any]:
        """Its tensors by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool) -> object:
        """Copy tensors into it."""


@dataclass(frozen=True, slots=True)
class ShapeDifference:
    """A tensor that is there but does not fit."""

    key: str
    found: str
    needed: str

    def __str__(self) -> str:
        return f"{self.key} is {self.found}, needed {self.needed}"


@dataclass(frozen=True, slots=True)
class LoadReport:
    """How weights fit a detector, by the names of its tensors.

    Attributes:
        matched: Tensors that fit.
        missing: Tensors the detector has and the weights lack.
        left_over: Tensors of the weights that the detector has no place for.
        surplus: Those that are expected to be left over: the classifier behind a backbone, batch counters,
            running statistics of norms that keep none, such as GroupNorm.
        differing: Tensors of another shape.
        remade: Tensors of the classifier and the regressor, which keep their fresh values because the weights
            have another number of classes.
        num_classes: Of the weights; None for those of a backbone.
        weights: What is in the weights.
        model: What is in the detector.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    surplus: tuple[str, ...]
    differing: tuple[ShapeDifference, ...]
    remade: tuple[str, ...]
    num_classes: int | None
    weights: Contents
    model: Contents

    @property
    def unused_statistics(self) -> tuple[str, ...]:
        """Running statistics in the surplus: the weights were trained with another kind of norm."""
        return tuple(key for key in self.surplus if key.endswith(_RUNNING_STATISTICS))

    @property
    def fits(self) -> bool:
        """Whether a strict loading succeeds."""
        return not (self.missing or self.left_over or self.differing)


def compare_weights(detector: WeightedModel, tensors: Mapping[str, Tensor]) -> LoadReport:
    """Find out how weights fit a detector, without changing it.

    Args:
        detector: Its ``state_dict`` says what is needed; may be on the meta device.
        tensors: By the names of our tensors; if all start with ``backbone.``, the rest of the detector is not
            missed, nor is what moves the taps of deformable convolutions, which no classifier has: it starts
            with no move.
    """
    state = detector.state_dict()
    only_backbone = not any(key in state and not key.startswith("backbone.") for key in tensors)
    wanted = {key: value for key, value in state.items() if not only_backbone or key.startswith("backbone.")}
    if only_backbone and not any(_MOVES in key for key in tensors):
        wanted = {key: value for key, value in wanted.items() if _MOVES not in key}
    unlike = {key for key in wanted if key in tensors and _unlike(tensors[key], wanted[key])}
    counters = {key for key in unlike if key.endswith(_BATCH_COUNTER)}
    unfit = unlike - counters
    remade = {key for key in unfit if _differs_by_classes(key, tensors, wanted, detector.class_rows)}
    contents = contents_of(tensors)
    unknown = tensors.keys() - state.keys()
    surplus = counters | {
        key
        for key in unknown
        if _is_unused(key, state) or _is_of_classifier(key, is_in_detector=contents.is_detector)
    }
    return LoadReport(
        matched=tuple(key for key in wanted if key in tensors and key not in unlike),
        missing=tuple(key for key in wanted if key not in tensors and not key.endswith(_BATCH_COUNTER)),
        left_over=tuple(key for key in tensors if key in unknown and key not in surplus),
        surplus=tuple(key for key in tensors if key in surplus),
        differing=tuple(
            ShapeDifference(key, _form(tensors[key]), _form(wanted[key]))
            for key in wanted
            if key in unfit - remade
        ),
        remade=tuple(key for key in wanted if key in remade),
        num_classes=_num_classes(tensors, detector.class_rows),
        weights=contents,
        model=contents_of(state),
    )


def load_weights(
    detector: WeightedModel, tensors: Mapping[str, Tensor], *, strict: bool, source: str
) -> LoadReport:
    """Copy weights into a detector.

    A classifier and a regressor for another number of classes keep the values they have, and the report says
    so; the caller tells the user.

    Args:
        detector: Gets the weights, in its own dtype and where it is.
        tensors: As of `compare_weights`.
        strict: Everything must fit; otherwise what fits is taken.
        source: What to call the weights in messages.

    Raises:
        WeightsError: Something does not fit, nothing does, or values are NaN, infinite (in the detector's
            dtype) or negative variances; the detector is as it was.
    """
    report = compare_weights(detector, tensors)
    if not report.matched:
        raise WeightsError(
            f"weights {source}: not one of their {counted(len(tensors), 'tensor')} fits the model. {_CHECK}"
        )
    if strict and not report.fits:
        misfits = (*describe_misfits(report), *describe_architecture(report))
        raise WeightsError("\n".join([f"weights {source} do not fit the model:", *misfits, _REMEDY]))
    _refuse_impossible_values(detector, {key: tensors[key] for key in report.matched}, source)
    detector.load_state_dict({key: tensors[key] for key in report.matched}, strict=False)
    return report


def _refuse_impossible_values(detector: WeightedModel, tensors: Mapping[str, Tensor], source: str) -> None:
    state = detector.state_dict()
    found = describe_impossible_values({key: value.to(state[key].dtype) for key, value in tensors.items()})
    if found is not None:
        raise WeightsError(f"weights {source}: {found}. No detector works with them; use another file.")


def describe_misfits(report: LoadReport) -> Iterator[str]:
    """What does not fit, a line for each kind."""
    num_wanted = len(report.matched) + len(report.missing) + len(report.differing) + len(report.remade)
    if report.missing:
        what = (f"of {num_wanted} tensors is missing", f"of {num_wanted} tensors are missing")
        yield f"{counted(len(report.missing), *what)}: {first_and_count(report.missing)}"
    if report.differing:
        number = counted(len(report.differing), "tensor has", "tensors have")
        yield f"{number} another shape: {first_and_count(report.differing)}"
    if report.left_over:
        shown = first_and_count(report.left_over)
        number = counted(len(report.left_over), "tensor has", "tensors have")
        yield f"{number} no place in the model: {shown}"


def describe_architecture(report: LoadReport) -> Iterator[str]:
    """A line if the weights are those of another detector."""
    theirs, ours = report.weights, report.model
    if theirs.is_detector and any(key.startswith(_MASK_PARTS) for key in report.left_over):
        yield (
            f"These are a {replace(theirs, has_masks=True)}'s; its boxes alone: --set "
            "model.strict_weights=false, or weights convert --loose"
        )
    elif theirs.is_detector and ours == replace(theirs, has_masks=True):
        yield (
            f"These are a {theirs}'s, which has no masks. To train the mask branch on top of it: --set "
            "model.strict_weights=false"
        )
    elif theirs.is_detector and ours.is_detector and theirs != ours:
        yield f"These are of {_on_its_backbone(theirs)}, and the model is {_on_its_backbone(ours)}."


def _on_its_backbone(contents: Contents) -> str:
    return str(contents) if contents.backbone is None else f"{contents} on {contents.backbone}"


def _unlike(found: Tensor, needed: Tensor) -> bool:
    return found.shape != needed.shape or found.is_floating_point() != needed.is_floating_point()


def _num_classes(tensors: Mapping[str, Tensor], class_rows: Mapping[str, ClassRows]) -> int | None:
    """Number of classes by the classifier's bias; None without one."""
    classifier = next(iter(class_rows), None)
    bias = tensors.get(f"{classifier}.bias")
    if classifier is None or bias is None or bias.dim() != 1:
        return None
    rows = class_rows[classifier]
    return (len(bias) - rows.others) // rows.per_class if len(bias) >= rows.others else None


def _differs_by_classes(
    key: str,
    tensors: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    class_rows: Mapping[str, ClassRows],
) -> bool:
    """Whether a tensor has rows of classes, as it should, but for another number of them."""
    rows = class_rows.get(key.rpartition(".")[0])
    found, needed = tensors[key], wanted[key]
    before, after = _num_classes(tensors, class_rows), _num_classes(wanted, class_rows)
    if rows is None or before is None or after is None or before == after:
        return False
    return (
        found.shape[:1] == (rows.num_rows(before),)
        and needed.shape[:1] == (rows.num_rows(after),)
        and found.shape[1:] == needed.shape[1:]
    )


def _is_unused(key: str, state: Mapping[str, Tensor]) -> bool:
    """Whether it is a counter, or a statistic of a norm that keeps none."""
    is_statistic = key.endswith(_RUNNING_STATISTICS) and f"{key.rpartition('.')[0]}.weight" in state
    return is_statistic or key.endswith(_BATCH_COUNTER)


def _is_of_classifier(key: str, *, is_in_detector: bool) -> bool:
    """Whether it lies behind a backbone; what has such a name beside a detector's is of its head."""
    name = key.removeprefix("backbone.")
    return name.startswith(_CLASSIFIER_PARTS) and not (is_in_detector and name == key)


def _form(tensor: Tensor) -> str:
    kind = "" if tensor.is_floating_point() else f" {str(tensor.dtype).removeprefix('torch.')}"
    return f"{tuple(tensor.shape)}{kind}"

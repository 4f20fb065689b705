"""The whole of an experiment, and the checks that span its parts."""

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from hrdet_cli.specs.augmentation import AugmentationSpec, ResizeCropSpec, ResizeSpec, ScaleJitterSpec
from hrdet_cli.specs.base import MAX_NAME_BYTES, MAX_PATH_BYTES, LongShort, Problem, Spec
from hrdet_cli.specs.compilation import compilation_problems
from hrdet_cli.specs.data import CanvasesPaddingSpec, DataSpec, FixedPaddingSpec, PaddingSpec
from hrdet_cli.specs.model import ModelSpec
from hrdet_cli.specs.norm import BatchNormSpec, FrozenNormSpec, NormSpec, SyncBatchNormSpec
from hrdet_cli.specs.optimisation import OptimisationSpec
from hrdet_cli.specs.run import EvaluationSpec, RunSpec
from hrdet_cli.specs.yaml_text import shown

CANVAS_DIVISOR_PIXELS = 32
MIN_CANVAS_PIXELS = 64


class ExperimentSpec(Spec):
    """Everything that decides a run's result."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)
    """Names the run folder; letters, digits, dots, dashes and underscores, 200 at most."""
    description: str = ""
    """What the experiment is, in a line."""
    model: ModelSpec = ModelSpec()
    """The detector."""
    norm: NormSpec = BatchNormSpec()
    """Its normalisation."""
    data: DataSpec
    """The data set and how it is read."""
    augmentation: AugmentationSpec
    """What is done to training pictures."""
    padding: PaddingSpec
    """How training pictures become batches."""
    optimisation: OptimisationSpec = OptimisationSpec()
    """How the weights are changed."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """How pictures are evaluated."""
    run: RunSpec = RunSpec()
    """Seed, device, precision and what is written when."""

    @property
    def best_by(self) -> Literal["box", "mask", "recall", "loss"]:
        """`evaluation.best_by` where `auto` is resolved."""
        if self.evaluation.best_by == "auto":
            return "box" if self.model.head.tells_classes else "recall"
        return self.evaluation.best_by

    def problems(self) -> Iterator[Problem]:
        """Parts that do not go together."""
        yield from _norm_problems(self)
        yield from _padding_problems(self)
        yield from _scale_problems(self)
        yield from _canvas_problems(self)
        yield from _paste_problems(self)
        yield from _weight_problems(self)
        yield from _evaluation_problems(self)
        yield from _label_map_problems(self)
        yield from compilation_problems(
            self.run,
            model=self.model,
            norm=self.norm,
            padding=self.padding,
            optimisation=self.optimisation,
        )


def _evaluation_problems(spec: ExperimentSpec) -> Iterator[Problem]:
    yield from _idle_evaluation_problems(spec)
    if spec.evaluation.best_by == "loss" and not spec.evaluation.with_loss:
        yield (
            "evaluation.best_by",
            "'loss' is only known with evaluation.with_loss=true; set that too, or evaluation.best_by=auto",
        )
    views = spec.evaluation.test_time_augmentation
    if views is not None and spec.evaluation.with_loss:
        yield (
            "evaluation.with_loss",
            "true is not for evaluation.test_time_augmentation, which would count a picture's losses several "
            "times; set evaluation.with_loss=false, or evaluation.test_time_augmentation=null",
        )
    if views is not None and not views.flip and views.scales_pixels is None:
        yield (
            "evaluation.test_time_augmentation",
            "neither has scales_pixels nor flips, so it does nothing; set it to null",
        )
    label_maps = spec.model.head.label_maps
    if spec.evaluation.with_loss and label_maps is not None:
        yield (
            "evaluation.with_loss",
            f"true is not for {label_maps.key}, whose loss needs label maps, which validation pictures lack; "
            f"set evaluation.with_loss=false, or {label_maps.key}=null",
        )
    if spec.evaluation.best_by == "mask" and not spec.model.head.has_masks:
        yield (
            "evaluation.best_by",
            f"'mask' is for detectors that find masks, and model.head.kind={spec.model.head.kind} is set to "
            "find boxes alone; set evaluation.best_by=box, or model.head.mask={} where the head has one",
        )
    if spec.evaluation.best_by == "recall" and spec.model.head.tells_classes:
        yield (
            "evaluation.best_by",
            f"'recall' is for heads that only propose, and model.head.kind={spec.model.head.kind} tells "
            "classes apart; set evaluation.best_by=box, or model.head.kind=rpn",
        )


def _idle_evaluation_problems(spec: ExperimentSpec) -> Iterator[Problem]:
    """What is to be done at evaluations, where there are none."""
    evaluation, reason = spec.evaluation, ""
    if evaluation.every_num_epochs == 0:
        reason = "evaluation.every_num_epochs=0 never evaluates"
    elif spec.data.val is None:
        reason = "there are no validation data (data.val is null)"
    if reason and evaluation.patience is not None:
        yield "evaluation.patience", f"does nothing where {reason}; set it to null"
    if reason and evaluation.with_loss:
        yield "evaluation.with_loss", f"does nothing where {reason}; set it to false"


def _label_map_problems(spec: ExperimentSpec) -> Iterator[Problem]:
    section = spec.model.head.label_maps
    lacking = [number for number, one in enumerate(spec.data.training_sets) if one.label_maps is None]
    if section is not None and lacking:
        yield (
            f"{spec.data.key_of('train', lacking[0])}.label_maps",
            f"is needed by {section.key}, which learns what each pixel belongs to; set it to the folder of "
            f"the training pictures' label maps, or {section.key}=null",
        )


def _norm_problems(spec: ExperimentSpec) -> Iterator[Problem]:
    norm = spec.norm
    has_fixed_statistics = isinstance(norm, BatchNormSpec) and norm.keep_statistics
    if isinstance(norm, BatchNormSpec | SyncBatchNormSpec) and norm.epsilon == 0 and not has_fixed_statistics:
        yield (
            "norm.epsilon",
            "0 is only for statistics that stay as they are: a channel of equal pixels has no variance; "
            "set norm.kind=frozen, or norm.epsilon=1e-5",
        )
    if not isinstance(norm, SyncBatchNormSpec) or norm.back_end not in ("torch", "apex"):
        return
    if norm.statistics == "valid":
        yield (
            "norm.statistics",
            f"'valid' is not for norm.back_end '{norm.back_end}', which counts all pixels; "
            "set norm.back_end=coalesced or norm.statistics=all",
        )
    for key, choice in spec.model.head.region_norms.items():
        if choice == "batch":
            yield (
                "norm.back_end",
                f"'{norm.back_end}' counts regions that are padding, so {key} cannot be 'batch'; "
                f"set norm.back_end=coalesced, or {key} to group or null",
            )


def _padding_problems(spec: ExperimentSpec) -> Iterator[Problem]:
    """Anchors and points that depend on the padding, where nothing else does."""
    norm, anchors, points = spec.norm, spec.model.head.anchors, spec.model.head.points
    if not isinstance(norm, BatchNormSpec | SyncBatchNormSpec) or norm.statistics == "all":
        return
    settings: list[tuple[str, str, str]] = []
    if anchors is not None:
        settings.append((f"{anchors.key}.anchor_area", anchors.spec.anchor_area, "picture"))
        settings.append((f"{anchors.key}.anchor_step", anchors.spec.anchor_step, "stride"))
    if points is not None:
        settings.append((f"{points.key}.point_area", points.spec.point_area, "picture"))
        settings.append((f"{points.key}.point_step", points.spec.point_step, "stride"))
    for key, value, needed in settings:
        if value != needed:
            what = "points" if ".point_" in key else "anchors"
            yield (
                key,
                f"'{value}' makes {what} depend on the padding, but with norm.statistics=valid nothing "
                f"does; set {key}={needed} or norm.statistics=all",
            )


def _scale_problems(spec: ExperimentSpec) -> Iterator[Problem]:
    augmentation = spec.augmentation
    if isinstance(augmentation, ResizeSpec) and augmentation.scale_mode == "range":
        scales = augmentation.scales_pixels
        if len(scales) != 2:
            yield (
                "augmentation.scales_pixels",
                f"scale_mode 'range' draws between exactly two scales, not {len(scales)}",
            )


def _canvas_problems(spec: ExperimentSpec) -> Iterator[Problem]:
    padding = spec.padding
    if spec.augmentation.extras.turn_probability:
        yield from _turn_problems(padding)
    if isinstance(spec.augmentation, ScaleJitterSpec):
        problems = list(_square_problems(spec.augmentation.edge_pixels, padding))
        if problems:
            yield from problems
            return
    if isinstance(padding, FixedPaddingSpec):
        yield from _canvas_list_problems("padding.canvas_pixels", [padding.canvas_pixels], spec.augmentation)
    elif isinstance(padding, CanvasesPaddingSpec) and padding.canvases_pixels is not None:
        if padding.num_canvases is not None:
            yield (
                "padding.num_canvases",
                "is for canvases that are chosen, but canvases_pixels names them; set one of the two to null",
            )
        yield from _canvas_list_problems(
            "padding.canvases_pixels", padding.canvases_pixels, spec.augmentation
        )


def _paste_problems(spec: "ExperimentSpec") -> Iterator[Problem]:
    """Objects that are pasted by masks which nobody has read."""
    if spec.augmentation.extras.paste_probability and not spec.model.head.has_masks:
        yield (
            "augmentation.extras.copy_paste",
            f"pastes objects by their masks, and model.head.kind={spec.model.head.kind} is set to find boxes "
            "alone; set augmentation.extras.copy_paste=null, or model.head.mask={} where the head has one",
        )


def _turn_problems(padding: PaddingSpec) -> Iterator[Problem]:
    """Canvases on which pictures that lie on their side do not go with the others."""
    is_square = isinstance(padding, FixedPaddingSpec) and len(set(padding.canvas_pixels)) == 1
    if not is_square and isinstance(padding, FixedPaddingSpec | CanvasesPaddingSpec):
        yield (
            "augmentation.extras.turn_probability",
            "turned pictures lie on a square or on canvases of their batches; set a padding.canvas_pixels of "
            "equal edges, padding.policy=batch, or augmentation.extras.turn_probability=0",
        )


def _square_problems(edge: int, padding: PaddingSpec) -> Iterator[Problem]:
    """Paddings that do not go with pictures which are cut to a square."""
    square = f"padding={{policy: fixed, canvas_pixels: [{edge}, {edge}]}}"
    if isinstance(padding, FixedPaddingSpec) and padding.canvas_pixels != (edge, edge):
        yield (
            "padding.canvas_pixels",
            f"{list(padding.canvas_pixels)} is not the square that scale-jitter cuts to, "
            f"augmentation.edge_pixels={edge}; set {square}",
        )
    elif not isinstance(padding, FixedPaddingSpec | CanvasesPaddingSpec):
        yield (
            "padding.policy",
            f"'{padding.policy}' is not for scale-jitter, whose pictures have all sizes up to a square; set "
            f"{square}, or padding.policy=canvases",
        )


def _canvas_list_problems(
    key: str, canvases: Sequence[LongShort], augmentation: AugmentationSpec
) -> Iterator[Problem]:
    """Canvases on which the network or the largest pictures do not fit."""
    for canvas in canvases:
        if any(edge % CANVAS_DIVISOR_PIXELS for edge in canvas):
            yield key, f"{list(canvas)}: both edges must be multiples of {CANVAS_DIVISOR_PIXELS}"
        if min(canvas) < MIN_CANVAS_PIXELS:
            least = MIN_CANVAS_PIXELS
            yield key, f"{list(canvas)}: the pyramid's coarsest level needs edges of at least {least}"
    too_large = [
        (what, size)
        for what, size in _largest_pictures(augmentation)
        if not any(size[0] <= long and size[1] <= short for long, short in canvases)
    ]
    if too_large:
        what, size = max(too_large, key=lambda named: named[1][0] * named[1][1])
        yield key, _too_small(canvases, what, size)


def _too_small(canvases: Sequence[LongShort], what: str, size: LongShort) -> str:
    if len(canvases) == 1:
        return f"{list(canvases[0])} is smaller than {what} {list(size)}; enlarge it"
    return f"none of them holds {what} {list(size)}; add a larger one"


def _largest_pictures(augmentation: AugmentationSpec) -> Iterator[tuple[str, LongShort]]:
    if isinstance(augmentation, ResizeCropSpec):
        yield "augmentation.crop_pixels", augmentation.crop_pixels
    elif isinstance(augmentation, ScaleJitterSpec):
        yield "the square of augmentation.edge_pixels,", (augmentation.edge_pixels, augmentation.edge_pixels)
    elif augmentation.scale_mode == "range":
        longs, shorts = zip(*augmentation.scales_pixels, strict=True)
        yield "the largest of augmentation.scales_pixels,", (max(longs), max(shorts))
    else:
        for scale in augmentation.scales_pixels:
            yield "the scale in augmentation.scales_pixels,", scale


def _weight_problems(spec: ExperimentSpec) -> Iterator[Problem]:
    key, weights = "model.weights", spec.model.weights
    if weights is not None:
        if len(weights) > MAX_PATH_BYTES or max(map(len, weights.split("/"))) > MAX_NAME_BYTES:
            yield key, f"{shown(weights)} is longer than a file's name can be"
        elif not weights.strip() or weights.endswith((":", "/")):
            yield (
                key,
                f"{weights!r} names none; give a file, a name of `hrdet weights list`, timm:NAME, "
                "hf:OWNER/NAME, URL or null",
            )
        return
    keeping: dict[str, str] = {}
    if isinstance(spec.norm, FrozenNormSpec):
        keeping["norm.kind=frozen"] = "norm.kind=batch"
    if isinstance(spec.norm, BatchNormSpec) and spec.norm.keep_statistics:
        keeping["norm.keep_statistics=true"] = "norm.keep_statistics=false"
    if (num_frozen := spec.model.backbone.frozen_stages) > 0:
        keeping[f"model.backbone.frozen_stages={num_frozen}"] = "model.backbone.frozen_stages=0"
    if keeping:
        remedies = " ".join(f"--set {remedy}" for remedy in keeping.values())
        yield (
            key,
            f"is null, but {' and '.join(keeping)} would keep random weights as they are; give weights, or "
            f"train everything: hrdet train --from-scratch, elsewhere {remedies}",
        )

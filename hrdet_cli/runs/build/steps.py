"""From spec to steps: what is decided about batches before torch is needed."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.augmentations import Augmentation, ResizeAugmentation, ResizeCropAugmentation
from hrdet_cli.engine.data.canvas_choice import choose_canvases
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.padding import FixedCanvas, PaddingPolicy, SmallestCanvas, StepCanvases
from hrdet_cli.engine.data.sampling import class_aware_rates, repeat_factors, with_shares
from hrdet_cli.engine.data.scale_jitter import ScaleJitterAugmentation
from hrdet_cli.engine.data.shape_classes import count_sizes
from hrdet_cli.engine.data.steps import TrainingSteps
from hrdet_cli.engine.data.transforms import Resizing
from hrdet_cli.engine.data.turning import TurningAugmentation, jitter_of
from hrdet_cli.engine.geometry import Scale, Size
from hrdet_cli.errors import DataError
from hrdet_cli.specs.augmentation import AugmentationSpec, ResizeCropSpec, ScaleJitterSpec
from hrdet_cli.specs.data import ClassAwareSpec, DataSpec, RepeatFactorSpec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.padding import CanvasesPaddingSpec, FixedPaddingSpec, PaddingSpec


def build_steps(spec: ExperimentSpec, annotations: CocoAnnotations, *, num_processes: int) -> TrainingSteps:
    """The steps of a training run.

    Args:
        spec: The experiment.
        annotations: Of the training part.
        num_processes: Training processes over all nodes.

    Raises:
        DataError: No picture is left to train on, or one fits no canvas.
    """
    indices = training_indices(annotations, keep_pictures_without_boxes=spec.data.keep_pictures_without_boxes)
    augmentation = build_augmentation(spec.augmentation, build_resizing(spec))
    return TrainingSteps(
        annotations=annotations,
        indices=indices,
        augmentation=augmentation,
        padding=build_padding(spec.padding, augmentation, count_sizes(annotations, indices)),
        batch_size=spec.data.num_pictures_per_process * num_processes,
        seed=spec.run.seed,
        rates=build_rates(spec.data, annotations, indices),
        pastes=spec.augmentation.extras.paste_probability > 0,
    )


def training_indices(annotations: CocoAnnotations, *, keep_pictures_without_boxes: bool) -> np.ndarray:
    """Indices of the pictures that take part in training.

    Raises:
        DataError: None is left.
    """
    if keep_pictures_without_boxes:
        return np.arange(len(annotations))
    indices = np.flatnonzero(annotations.num_boxes > 0)
    if not len(indices):
        raise DataError(
            f"{annotations.title}: no picture has a box to train on; "
            "set data.keep_pictures_without_boxes=true to train on empty pictures"
        )
    return indices


def build_rates(
    data: DataSpec, annotations: CocoAnnotations, indices: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """How often an epoch is to show each of the pictures that take part; None where each comes once."""
    sampling, rates = data.sampling, None
    if isinstance(sampling, RepeatFactorSpec):
        rates = repeat_factors(annotations, indices, threshold=sampling.threshold)
    elif isinstance(sampling, ClassAwareSpec):
        rates = class_aware_rates(annotations, indices)
    if data.shares is None or annotations.set_numbers is None:
        return rates
    rates = np.ones(len(indices)) if rates is None else rates
    return with_shares(rates, annotations.set_numbers[indices], data.shares)


def with_batch_size(spec: ExperimentSpec, num_pictures: int) -> ExperimentSpec:
    """A spec with another number of pictures in each process's step."""
    data = spec.data.model_copy(update={"batch_size_per_process": num_pictures})
    return spec.model_copy(update={"data": data})


def build_resizing(spec: ExperimentSpec) -> Resizing:
    """The conventions by which all pictures of an experiment are resized."""
    return Resizing(
        pixel_filter=spec.data.resize_filter,
        rounding=spec.data.resize_rounding,
        box_corners=spec.model.box_corners,
    )


def build_augmentation(augmentation: AugmentationSpec, resizing: Resizing) -> Augmentation:
    """How training pictures are placed."""
    upright, extras = _build_upright(augmentation, resizing), augmentation.extras
    if not (extras.vertical_flip_probability or extras.turn_probability):
        return upright
    return TurningAugmentation(
        upright=upright,
        flip_probability=extras.vertical_flip_probability,
        turn_probability=extras.turn_probability,
    )


def _build_upright(augmentation: AugmentationSpec, resizing: Resizing) -> Augmentation:
    if isinstance(augmentation, ScaleJitterSpec):
        return ScaleJitterAugmentation(
            edge=augmentation.edge_pixels,
            factors=augmentation.scale_range,
            flip_probability=augmentation.flip_probability,
            resizing=resizing,
        )
    scales = tuple(Scale(*edges) for edges in augmentation.scales_pixels)
    if isinstance(augmentation, ResizeCropSpec):
        return ResizeCropAugmentation(
            scales=scales,
            crop=Scale(*augmentation.crop_pixels),
            flip_probability=augmentation.flip_probability,
            jitter_rows=augmentation.jitter_rows_pixels,
            jitter_columns=augmentation.jitter_columns_pixels,
            resizing=resizing,
        )
    return ResizeAugmentation(
        scales=scales,
        mode=augmentation.scale_mode,
        flip_probability=augmentation.flip_probability,
        resizing=resizing,
    )


def build_padding(
    padding: PaddingSpec, augmentation: Augmentation, count_by_size: Mapping[Size, int]
) -> PaddingPolicy:
    """How training pictures become batches; chooses canvases for the pictures' sizes where none are named."""
    if isinstance(padding, FixedPaddingSpec):
        long, short = padding.canvas_pixels
        return FixedCanvas(long=long, short=short)
    if isinstance(padding, CanvasesPaddingSpec):
        if padding.canvases_pixels is not None:
            canvases = tuple(Scale(*edges) for edges in padding.canvases_pixels)
        else:
            canvases = choose_canvases(count_by_size, augmentation, num_canvases=padding.num_to_choose)
        return StepCanvases(canvases=canvases, shares_scale=jitter_of(augmentation) is None)
    return SmallestCanvas(divisor=padding.divisor_pixels)

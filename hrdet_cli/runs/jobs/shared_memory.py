"""How much shared memory the data workers of a node need, told from a spec without its data."""

from collections.abc import Iterator

from hrdet_cli.engine.data.mask_frames import FRAME_CELLS
from hrdet_cli.engine.data.padding import rounded_up
from hrdet_cli.runs.worker_rings import BYTES_PER_PIXEL, shared_bytes_per_process
from hrdet_cli.specs.augmentation import ResizeCropSpec, ScaleJitterSpec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.padding import BatchPaddingSpec, CanvasesPaddingSpec, FixedPaddingSpec
from hrdet_cli.specs.run import EvaluationSpec

ASSUMED_BOX_ROWS = 128
"""Rows of ground truth of a picture with masks: COCO's fullest picture has 93 objects."""


def shared_bytes_per_node(spec: ExperimentSpec, *, num_gpus: int) -> int:
    """Shared memory of the processes of a node, one for each GPU.

    Args:
        spec: Its number of pictures a process must be known.
        num_gpus: Of a node.

    Raises:
        SpecError: ``data.batch_size_per_process`` is auto.
    """
    evaluation = spec.evaluation
    mask_bytes = ASSUMED_BOX_ROWS * FRAME_CELLS**2 if spec.model.head.has_masks else 0
    of_training = BYTES_PER_PIXEL * largest_canvas_pixels(spec) + mask_bytes
    of_evaluation = BYTES_PER_PIXEL * _largest_view_pixels(evaluation)
    of_evaluation += mask_bytes if evaluation.with_loss else 0
    return num_gpus * shared_bytes_per_process(
        num_workers=spec.data.num_workers,
        training_bytes=spec.data.num_pictures_per_process * of_training,
        evaluation_bytes=evaluation.batch_size * of_evaluation,
    )


def _largest_view_pixels(evaluation: EvaluationSpec) -> int:
    """Pixels of the largest canvas that a picture is looked at on."""
    return max(rounded_up(long) * rounded_up(short) for long, short in evaluation.scales_of_views)


def largest_canvas_pixels(spec: ExperimentSpec) -> int:
    """Pixels of the largest canvas that a batch of training may lie on, whatever the pictures."""
    return max(long * short for long, short in _canvases(spec))


def _canvases(spec: ExperimentSpec) -> Iterator[tuple[int, int]]:
    padding = spec.padding
    if isinstance(padding, FixedPaddingSpec):
        yield padding.canvas_pixels
        return
    if isinstance(padding, CanvasesPaddingSpec) and padding.canvases_pixels is not None:
        yield from padding.canvases_pixels
        return
    divisor = padding.divisor_pixels if isinstance(padding, BatchPaddingSpec) else 32
    for long, short in _largest_placed(spec):
        yield rounded_up(long, divisor), rounded_up(short, divisor)


def _largest_placed(spec: ExperimentSpec) -> Iterator[tuple[int, int]]:
    """(long, short) that no picture on a canvas is larger than."""
    augmentation = spec.augmentation
    if isinstance(augmentation, ScaleJitterSpec):
        yield augmentation.edge_pixels, augmentation.edge_pixels
    elif isinstance(augmentation, ResizeCropSpec):
        yield augmentation.crop_pixels
    else:
        yield from augmentation.scales_pixels

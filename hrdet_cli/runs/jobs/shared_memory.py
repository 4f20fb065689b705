"""How much shared memory the data workers of a node need, told from a spec without its data."""

from collections.abc import Iterator

from hrdet_cli.engine.data.mask_frames import FRAME_CELLS
from hrdet_cli.engine.data.padding import rounded_up
from hrdet_cli.runs.worker_rings import BYTES_PER_PIXEL, shared_bytes_per_process
from hrdet_cli.specs.augmentation import ResizeCropSpec, ScaleJitterSpec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.padding import BatchPaddingSpec, CanvasesPaddingSpec, FixedPaddingSpec

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
    bytes_per_picture = BYTES_PER_PIXEL * largest_canvas_pixels(spec)
    if spec.model.head.has_masks:
        bytes_per_picture += ASSUMED_BOX_ROWS * FRAME_CELLS**2
    of_training = spec.data.num_pictures_per_process * bytes_per_picture
    long, short = (rounded_up(edge) for edge in spec.evaluation.scale_pixels)
    of_evaluation = spec.evaluation.batch_size * BYTES_PER_PIXEL * long * short
    return num_gpus * shared_bytes_per_process(
        num_workers=spec.data.num_workers, training_bytes=of_training, evaluation_bytes=of_evaluation
    )


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

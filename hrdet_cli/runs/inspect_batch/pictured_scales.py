"""The pictures of a batch at every scale, drawn."""

from PIL import Image

from hrdet_cli.engine.data.collation import pad_pictures
from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.distributed.ranks import World
from hrdet_cli.engine.visualisation.scale_sheet import PicturesAtScale, draw_scale_sheet
from hrdet_cli.runs.build.steps import build_augmentation, build_resizing, build_steps
from hrdet_cli.runs.dataset.part import DatasetPart
from hrdet_cli.runs.inspect_batch.scale_summary import listed_scales
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.extras import ExtrasSpec

_MOST_PICTURES, _MOST_SCALES = 5, 5


def picture_scales(spec: ExperimentSpec, part: DatasetPart, *, epoch: int, num_processes: int) -> Image.Image:
    """Draw pictures of the first process's first batch at every scale, on the canvas it would have there.

    Nothing else is done to pictures, so that one looks the same at every scale.

    Args:
        spec: The experiment.
        part: Its training data.
        epoch: Counted from 0.
        num_processes: How many share a step.

    Raises:
        DataError: A picture is missing or damaged, or fits no canvas.
    """
    plain = spec.augmentation.model_copy(update={"flip_probability": 0.0, "extras": ExtrasSpec()})
    augmentation = build_augmentation(plain, build_resizing(spec))
    annotations = part.annotations
    steps = build_steps(spec, annotations, num_processes=num_processes)
    first = next(steps.requests(epoch, World(0, num_processes)))
    sharing_canvas = first.indices if first.canvas is None else steps.order_of(epoch).pictures[0].tolist()
    dataset = PictureDataset(
        annotations=annotations,
        images=part.images,
        augmentation=augmentation,
        seed=spec.run.seed,
        with_masks=steps.with_masks,
    )
    scales = listed_scales(augmentation, most=_MOST_SCALES)
    pictures = []
    for scale in scales:
        placed = [augmentation.placed_size(annotations.size_of(index), scale) for index in sharing_canvas]
        samples = [dataset.sample(epoch, showing, scale=scale) for showing in first.showings[:_MOST_PICTURES]]
        pictures.append(PicturesAtScale(scale, pad_pictures(samples, steps.padding.canvas_for(placed))))
    num_scales = len(set(augmentation.typical_scales()))
    note = f"{len(scales)} of {num_scales} scales" if len(scales) < num_scales else ""
    return draw_scale_sheet(pictures, annotations.class_names, note=note)

"""From spec to batches: the loaders of training and evaluation."""

import torch

from hrdet_cli.engine.data.augmentations import ResizeAugmentation
from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.data.decoded_pictures import DecodedPictures
from hrdet_cli.engine.data.loader import EvaluationLoader, TrainingLoader
from hrdet_cli.engine.data.padding import SmallestCanvas
from hrdet_cli.engine.data.views import Views
from hrdet_cli.engine.distributed.world import World, current_world
from hrdet_cli.engine.evaluation.merging import ViewMerging
from hrdet_cli.engine.geometry import Scale
from hrdet_cli.runs.build.pixel_changes import build_pixel_changes
from hrdet_cli.runs.build.steps import build_augmentation, build_resizing, build_steps
from hrdet_cli.runs.dataset.part import DatasetPart
from hrdet_cli.runs.tiles import cut_pictures, most_pixels
from hrdet_cli.specs.data import DataSpec
from hrdet_cli.specs.experiment import ExperimentSpec

_MEGABYTE = 2**20


def build_training_loader(
    spec: ExperimentSpec, part: DatasetPart, device: torch.device, *, world: World | None = None
) -> TrainingLoader:
    """Training batches of this process, or of another one that shows what it would get.

    Targets have masks where the annotations were loaded with them, and label maps where they were opened.
    """
    world = world or current_world()
    return TrainingLoader(
        dataset=PictureDataset(
            annotations=part.annotations,
            images=part.images,
            augmentation=build_augmentation(spec.augmentation, build_resizing(spec)),
            seed=spec.run.seed,
            with_masks=part.annotations.segmentations is not None,
            label_maps=part.label_maps,
            pixel_changes=build_pixel_changes(spec.augmentation.extras),
            paste_probability=spec.augmentation.extras.paste_probability,
            skips_broken=spec.data.broken_pictures == "skip",
            decoded=build_decoded_pictures(spec.data),
        ),
        steps=build_steps(spec, part.annotations, num_processes=world.size),
        world=world,
        num_workers=spec.data.num_workers,
        device=device,
        skips_broken=spec.data.broken_pictures == "skip",
        has_equal_rows=spec.run.compile == "step",  # else there would be a graph for each number of rows
    )


def build_evaluation_loader(
    spec: ExperimentSpec,
    part: DatasetPart,
    device: torch.device,
    *,
    leaves_out_broken: bool = False,
    with_masks: bool = False,
) -> EvaluationLoader:
    """This process's share of the views of a part's pictures; masks are for losses alone.

    A picture that is cut has views of each tile.
    """
    annotations, _ = cut_pictures(part.annotations, spec.data)
    decoded = build_decoded_pictures(spec.data)
    return EvaluationLoader(
        dataset=Views(
            [
                PictureDataset(
                    annotations=annotations,
                    images=part.images,
                    augmentation=augmentation,
                    seed=spec.run.seed,
                    with_masks=with_masks,
                    decoded=decoded,
                )
                for augmentation in build_ways(spec)
            ]
        ),
        batch_size=spec.evaluation.batch_size,
        world=current_world(),
        padding=SmallestCanvas(),
        num_workers=spec.data.num_workers,
        device=device,
        leaves_out_broken=leaves_out_broken,
    )


def build_decoded_pictures(data: DataSpec) -> DecodedPictures | None:
    """What keeps decoded pictures for other tiles of them; None where pictures are taken whole."""
    if data.tiles is None:
        return None
    return DecodedPictures(most_bytes=data.tiles.cache_megabytes * _MEGABYTE, max_pixels=most_pixels(data))


def build_ways(spec: ExperimentSpec) -> tuple[ResizeAugmentation, ...]:
    """The ways in which pictures are placed that are detected in, without any chance."""
    more = spec.evaluation.test_time_augmentation
    return tuple(
        ResizeAugmentation(
            scales=(Scale(*scale),),
            mode="choice",
            flip_probability=float(is_flipped),
            resizing=build_resizing(spec),
        )
        for scale in spec.evaluation.scales_of_views
        for is_flipped in ((False, True) if more and more.flip else (False,))
    )


def build_merging(spec: ExperimentSpec) -> ViewMerging:
    """How detections of several views of a picture become those of the picture."""
    head = spec.model.head
    return ViewMerging(nms_iou=head.duplicate_iou, max_detections=head.limits[0].value)

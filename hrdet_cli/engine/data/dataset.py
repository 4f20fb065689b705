"""Pictures with their ground truth, decoded, augmented and placed on demand."""

import torch
from torch.utils.data import Dataset

from hrdet_cli.engine.data.batch import PictureRecord, Sample
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.decoding import decode_rgb
from hrdet_cli.engine.data.images import ImageSource
from hrdet_cli.engine.data.keys import generator_for, picture_key
from hrdet_cli.engine.data.pixels import move_pixels
from hrdet_cli.engine.data.transforms import Augmentation, Placement, move_boxes


class PictureDataset(Dataset[Sample]):
    """Samples of an annotation file, each a pure function of (seed, epoch, index).

    A crop keeps the targets whose centre lies inside it, as SimpleDet does.  Crowd regions are areas rather
    than
    things: whatever part of one the crop shows stays an ignored region.

    Attributes:
        annotations: The ground truth.
        seed: The run's seed.
    """

    def __init__(
        self, *, annotations: CocoAnnotations, images: ImageSource, augmentation: Augmentation, seed: int
    ) -> None:
        self.annotations = annotations
        self.seed = seed
        self._images = images
        self._augmentation = augmentation

    def __len__(self) -> int:
        """Number of pictures in the annotation file."""
        return len(self.annotations)

    def placement_of(self, epoch: int, index: int) -> Placement:
        """Where picture ``index`` goes in epoch ``epoch``; reads no picture."""
        size = self.annotations.size_of(index)
        boxes, _ = self.annotations.targets_of(index)
        return self._augmentation.place(size, boxes, generator_for(self._key(epoch, index)))

    def __getitem__(self, epoch_and_index: tuple[int, int]) -> Sample:
        """The sample of one picture in one epoch.

        Raises:
            DataError: The picture is missing, damaged or not of its annotated size.
        """
        epoch, index = epoch_and_index
        name = str(self.annotations.file_names[index])
        original = self.annotations.size_of(index)
        placement = self.placement_of(epoch, index)
        pixels = decode_rgb(self._images.read(name), expected=original, name=name)
        boxes, labels = self.annotations.targets_of(index)
        moved, is_kept = move_boxes(boxes, original, placement)
        crowd, _ = move_boxes(self.annotations.crowd_boxes_of(index), original, placement)
        is_seen = (crowd[:, 2:] > crowd[:, :2]).all(axis=1)
        return Sample(
            pixels=move_pixels(pixels, placement),
            boxes=torch.from_numpy(moved[is_kept]),
            labels=torch.from_numpy(labels[is_kept]),
            key=self._key(epoch, index),
            record=PictureRecord(
                index=index,
                image_id=int(self.annotations.image_ids[index]),
                file_name=name,
                original=original,
                placement=placement,
                ignored_boxes=torch.from_numpy(crowd[is_seen]),
            ),
        )

    def _key(self, epoch: int, index: int) -> int:
        return picture_key(seed=self.seed, epoch=epoch, index=index)

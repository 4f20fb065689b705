"""Pictures with their ground truth, decoded, augmented and placed on demand."""

import torch

from hrdet_cli.engine.data.augmentations import Augmentation
from hrdet_cli.engine.data.batch import PictureRecord, Sample
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.decoding import decode_picture
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.label_maps import LabelMaps
from hrdet_cli.engine.data.mask_frames import draw_frames
from hrdet_cli.engine.data.pixels import move_pixels
from hrdet_cli.engine.data.showings import Showing
from hrdet_cli.engine.data.steps import place_picture
from hrdet_cli.engine.data.transforms import Placement, move_boxes
from hrdet_cli.engine.geometry import Scale


class PictureDataset:
    """Samples of an annotation file, each a pure function of (seed, epoch, showing).

    A crop keeps the targets whose centre lies inside it, as SimpleDet does.  Crowd regions are areas rather
    than things: whatever part of one the crop shows stays an ignored region.

    Attributes:
        annotations: The ground truth.
        augmentation: How pictures are placed.
        seed: The run's seed.
        with_masks: Whether targets have masks, as only training needs them; the annotations then have
            segmentations.
        label_maps: Those of the pictures; None where nobody needs them.
    """

    def __init__(
        self,
        *,
        annotations: CocoAnnotations,
        images: ImageSource,
        augmentation: Augmentation,
        seed: int,
        with_masks: bool = False,
        label_maps: LabelMaps | None = None,
    ) -> None:
        self.annotations = annotations
        self.with_masks = with_masks
        self.label_maps = label_maps
        self.seed = seed
        self.augmentation = augmentation
        self._images = images

    def __len__(self) -> int:
        """Number of pictures in the annotation file."""
        return len(self.annotations)

    def name_of(self, index: int) -> str:
        """The file of picture ``index``."""
        return str(self.annotations.file_names[index])

    def placement_of(self, epoch: int, showing: Showing, *, scale: Scale | None = None) -> Placement:
        """Where a picture goes in an epoch; reads no picture.

        Args:
            epoch: Counted from 0.
            showing: Which picture, and which of its showings.
            scale: That of the picture's step; None draws one for the picture alone.
        """
        return place_picture(
            self.annotations, self.augmentation, seed=self.seed, epoch=epoch, showing=showing, scale=scale
        )

    def sample(self, epoch: int, showing: Showing, *, scale: Scale | None = None) -> Sample:
        """The sample of one showing of a picture; the arguments are those of ``placement_of``.

        Raises:
            DataError: The picture, or its label map, is missing, damaged or not of its annotated size.
        """
        index = showing.index
        name = self.name_of(index)
        original = self.annotations.size_of(index)
        placement = self.placement_of(epoch, showing, scale=scale)
        pixels, damage = decode_picture(self._images.read(name), expected=original, name=name)
        boxes, labels = self.annotations.targets_of(index)
        moved, is_kept = move_boxes(boxes, original, placement)
        crowd, _ = move_boxes(self.annotations.crowd_of(index)[0], original, placement)
        is_seen = (crowd[:, 2:] > crowd[:, :2]).all(axis=1)
        masks = None
        if self.with_masks:
            segmentations = self.annotations.segmentations_of(index, is_kept)
            masks = torch.from_numpy(draw_frames(segmentations, moved[is_kept], original, placement))
        semantic = None
        if self.label_maps is not None:
            semantic = torch.from_numpy(self.label_maps.read(name, original, placement))
        return Sample(
            pixels=move_pixels(pixels, placement),
            boxes=torch.from_numpy(moved[is_kept]),
            labels=torch.from_numpy(labels[is_kept]),
            key=showing.key(seed=self.seed, epoch=epoch),
            record=PictureRecord(
                index=index,
                image_id=int(self.annotations.image_ids[index]),
                file_name=name,
                original=original,
                placement=placement,
                ignored_boxes=torch.from_numpy(crowd[is_seen]),
            ),
            damage=damage,
            masks=masks,
            semantic=semantic,
        )

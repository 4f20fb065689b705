"""Pictures with their ground truth, decoded, augmented and placed on demand."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from hrdet_cli.engine.data.augmentations import Augmentation
from hrdet_cli.engine.data.batch import PictureRecord, Sample
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.copy_paste import DrawnPicture, paste_objects
from hrdet_cli.engine.data.decoded_pictures import DecodedPictures
from hrdet_cli.engine.data.decoding import DecodedPicture, decode_picture
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.keys import generator_for, paste_key, pixels_key
from hrdet_cli.engine.data.label_maps import LabelMaps
from hrdet_cli.engine.data.mask_frames import draw_frames
from hrdet_cli.engine.data.object_bitmaps import tighten_boxes
from hrdet_cli.engine.data.pixel_changes import PixelChange, change_pixels
from hrdet_cli.engine.data.pixels import cut_pixels, move_pixels, settle_pixels
from hrdet_cli.engine.data.segmentations import Segmentations
from hrdet_cli.engine.data.showings import Showing
from hrdet_cli.engine.data.step_layout import place_picture
from hrdet_cli.engine.data.transforms import Placement, move_boxes
from hrdet_cli.engine.geometry import Scale, Size, Window
from hrdet_cli.errors import DataError

_MOST_SOURCES = 100


class PictureDataset:
    """Samples of an annotation file, each a pure function of (seed, epoch, showing).

    A crop keeps targets by its own rule.  Crowd regions are areas rather than things: whatever part of one
    the crop shows stays an ignored region.

    Attributes:
        annotations: The ground truth.
        augmentation: How pictures are placed.
        seed: The run's seed.
        with_masks: Whether targets have masks, as only training needs them; the annotations then have
            segmentations.
        label_maps: Those of the pictures; None where nobody needs them.
        pixel_changes: What is done to colours and sharpness, after the picture was placed.
        paste_probability: Chance that objects of another picture are put onto one; only with masks.
        skips_broken: Whether objects of yet another picture are pasted where one cannot be read.

    Args:
        images: Where the pictures are.
        decoded: Keeps some of them for other tiles of them; None keeps none.
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
        pixel_changes: Sequence[PixelChange] = (),
        paste_probability: float = 0.0,
        skips_broken: bool = False,
        decoded: DecodedPictures | None = None,
    ) -> None:
        self.annotations = annotations
        self.with_masks = with_masks
        self.label_maps = label_maps
        self.pixel_changes = tuple(pixel_changes)
        self.paste_probability = paste_probability
        self.skips_broken = skips_broken
        self.seed = seed
        self.augmentation = augmentation
        self._images = images
        self._decoded = decoded
        pastes = with_masks and paste_probability > 0
        self._sources = np.flatnonzero(annotations.num_boxes) if pastes else np.zeros(0, dtype=np.int64)

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

    def sample(
        self, epoch: int, showing: Showing, *, scale: Scale | None = None, room: Tensor | None = None
    ) -> Sample:
        """The sample of one showing of a picture.

        Args:
            epoch: As of ``placement_of``.
            showing: Likewise.
            scale: Likewise.
            room: ``(B,)`` uint8 memory, at the beginning of which the pixels will be; B is at least their
                number. None takes new memory.

        Raises:
            DataError: The picture, one whose objects are pasted onto it, or a label map is missing, damaged
                or not of its annotated size.
        """
        key = showing.key(seed=self.seed, epoch=epoch)
        placement = self.placement_of(epoch, showing, scale=scale)
        sample, segmentations = self._place(showing.index, placement, key, room)
        if segmentations is not None and len(self._sources):
            sample = self._paste(DrawnPicture(sample, segmentations), scale)
        if self.pixel_changes:
            pixels, words = change_pixels(sample.pixels, self.pixel_changes, generator_for(pixels_key(key)))
            record = replace(sample.record, changes=(*sample.record.changes, *words))
            sample = replace(sample, pixels=pixels, record=record)
        return sample if room is None else replace(sample, pixels=settle_pixels(sample.pixels, room))

    def _paste(self, onto: DrawnPicture, scale: Scale | None) -> Sample:
        """A picture with objects of another one or, as chance has it, without."""
        generator = generator_for(paste_key(onto.sample.key))
        if generator.random() >= self.paste_probability:
            return onto.sample
        return paste_objects(onto, self._draw_source(generator, scale), generator)

    def _draw_source(self, generator: np.random.Generator, scale: Scale | None) -> DrawnPicture:
        """Any picture with targets, placed anew, whose objects go onto another.

        Raises:
            DataError: It cannot be read, nor, where that is wanted, any of many others.
        """
        num_left = _MOST_SOURCES if self.skips_broken else 1
        while True:
            num_left -= 1
            try:
                return self._place_source(generator, scale)
            except DataError:  # its own turn will name it
                if not num_left:
                    raise

    def _place_source(self, generator: np.random.Generator, scale: Scale | None) -> DrawnPicture:
        index = int(self._sources[generator.integers(len(self._sources))])
        size, (boxes, _) = self.annotations.size_of(index), self.annotations.targets_of(index)
        placement = self.augmentation.place(size, boxes, generator, scale=scale)
        sample, segmentations = self._place(index, placement, key=0)
        if segmentations is None:
            raise ValueError("objects are pasted by their masks, and there are none")
        return DrawnPicture(sample, segmentations)

    def _place(
        self, index: int, placement: Placement, key: int, room: Tensor | None = None
    ) -> tuple[Sample, Segmentations | None]:
        """A picture where its placement says, and the segmentations of its targets if they have masks."""
        name, original = self.name_of(index), self.annotations.size_of(index)
        window = self.annotations.window_of(index)
        pixels, damage = self._decode(name, original, window)
        boxes, labels = self.annotations.targets_of(index)
        moved, is_kept = move_boxes(boxes, original, placement)
        crowd, _ = move_boxes(self.annotations.crowd_of(index)[0], original, placement)
        is_seen = (crowd[:, 2:] > crowd[:, :2]).all(axis=1)
        moved, labels = moved[is_kept], labels[is_kept]
        segmentations = self.annotations.segmentations_of(index, is_kept) if self.with_masks else None
        masks = semantic = None
        if segmentations is not None:
            if placement.is_cut and placement.crop is not None and placement.crop.keeps == "shown":
                moved, is_shown = tighten_boxes(moved, segmentations, original, placement)
                moved, labels = moved[is_shown], labels[is_shown]
                segmentations = segmentations.take(np.flatnonzero(is_shown))
            masks = torch.from_numpy(draw_frames(segmentations, moved, original, placement))
        if self.label_maps is not None:
            semantic = torch.from_numpy(self.label_maps.read(name, original, placement, window))
        sample = Sample(
            pixels=move_pixels(pixels, placement, room),
            boxes=torch.from_numpy(moved),
            labels=torch.from_numpy(labels),
            key=key,
            record=PictureRecord(
                index=index,
                image_id=int(self.annotations.image_ids[index]),
                file_name=name,
                original=original,
                placement=placement,
                ignored_boxes=torch.from_numpy(crowd[is_seen]),
                window=window,
            ),
            damage=damage,
            masks=masks,
            semantic=semantic,
        )
        return sample, segmentations

    def _decode(self, name: str, original: Size, window: Window | None) -> DecodedPicture:
        """A picture, or the tile of it that a window shows."""
        whole = original if window is None else window.whole
        if self._decoded is None:
            picture = decode_picture(self._images.read(name), expected=whole, name=name)
        else:
            picture = self._decoded.get(name, whole, partial(self._images.read, name))
        return picture if window is None else picture._replace(pixels=cut_pixels(picture.pixels, window))

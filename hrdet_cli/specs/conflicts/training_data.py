"""Label maps and masks that training needs, and the spec does not read."""

from collections.abc import Iterator

from hrdet_cli.specs.augmentation import AugmentationSpec
from hrdet_cli.specs.base import Problem
from hrdet_cli.specs.data import DataSpec
from hrdet_cli.specs.heads.head import HeadSpec


def label_map_problems(data: DataSpec, head: HeadSpec) -> Iterator[Problem]:
    """Label maps that a head needs and nobody names."""
    section = head.label_maps
    lacking = [number for number, one in enumerate(data.training_sets) if one.label_maps is None]
    if section is not None and lacking:
        yield (
            f"{data.key_of('train', lacking[0])}.label_maps",
            f"is needed by {section.key}, which learns what each pixel belongs to; set it to the folder of "
            f"the training pictures' label maps, or {section.key}=null",
        )


def paste_problems(augmentation: AugmentationSpec, head: HeadSpec) -> Iterator[Problem]:
    """Objects that are pasted by masks which nobody has read."""
    if augmentation.extras.paste_probability and not head.has_masks:
        yield (
            "augmentation.extras.copy_paste",
            f"pastes objects by their masks, and model.head.kind={head.kind} is set to find boxes "
            "alone; set augmentation.extras.copy_paste=null, or model.head.mask={} where the head has one",
        )

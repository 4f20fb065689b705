"""How ``hrdet check-data`` looks. Does not import torch."""

from dataclasses import dataclass

from hrdet_cli.engine.data.box_forms import BoxForm
from hrdet_cli.engine.data.pillow_limits import MAX_PICTURE_PIXELS
from hrdet_cli.runs.doctor.limits import ControlGroups, count_cores


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How to look.

    Attributes:
        opens_pictures: Decode every picture, not only look whether it is there.
        num_workers: Processes that decode, at most one for each core that may be used; None takes as many.
        num_shown: How many problems of each kind to describe; None describes all.
        box_form: The form of the boxes, where it is known; COCO's own says that they are not to be judged.
        masks_matter: Whether the head has masks, so that broken ones are errors.
        num_labels: Labels that the training pictures' label maps may have; None leaves the maps alone.
        max_pixels: Larger pictures cannot be used.
    """

    opens_pictures: bool = True
    num_workers: int | None = None
    num_shown: int | None = None
    box_form: BoxForm | None = None
    masks_matter: bool = False
    num_labels: int | None = None
    max_pixels: int = MAX_PICTURE_PIXELS

    def count_workers(self) -> int:
        """Processes that decode, on this machine."""
        num_cores = max(1, int(count_cores(ControlGroups()).usable))
        return num_cores if self.num_workers is None else min(self.num_workers, num_cores)

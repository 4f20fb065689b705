"""What kinds of detectors differ in: all that comes after the pyramid."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.structures import Candidates, ClassRows, Detections, ImageBatch, Targets


class Head(Protocol):
    """Pyramid in, losses or detections out.

    A head is no module. It says what modules it is made of, and the detector holds them beside backbone and
    neck, so that a tensor has the same name in a checkpoint whichever detector it is in.
    """

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """All that trains, is moved to a device and is saved, by the names that tensors start with."""

    @property
    def selector(self) -> DetectionSelector:
        """Makes detections of the candidates."""

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        """Layers whose rows are classes, by the names they have in the detector, a classifier first.

        They start anew where weights of other classes are loaded.
        """

    @property
    def matching_loss(self) -> str:
        """Name of a loss that is zero in a step in which nothing matched a box of the ground truth."""

    def prepare(self, pyramid: Pyramid) -> Pyramid:
        """The pyramid with what the head makes of it once, for all that comes after.

        Args:
            pyramid: As the neck made it. Returned as it is by a head that has nothing to add.
        """

    def losses(self, pyramid: Pyramid, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
        """Float32 scalars by name, to be summed.

        Every parameter of the head gets a gradient, of zero if there is nothing to learn.

        Args:
            pyramid: Of N pictures, prepared.
            images: Their sizes, and the keys that random choices are functions of.
            targets: Their ground truth, at least one row (which may be padding).
        """

    def candidates(self, pyramid: Pyramid, sizes: Tensor) -> Candidates:
        """What there may be, before any is selected; static shapes, so that it can be exported.

        Args:
            pyramid: Of N pictures, prepared.
            sizes: ``(N, 2)`` int64, height and width of each picture.
        """

    def complete(self, pyramid: Pyramid, found: Detections) -> Detections:
        """What else the head says of the detections that were selected, such as masks.

        Args:
            pyramid: The one that the candidates were made of.
            found: In N pictures. Returned as it is by a head that has nothing to add.
        """

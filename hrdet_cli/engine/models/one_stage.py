"""The head of detectors that look once: classes and boxes from every cell of the pyramid."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.dense.fcos import FcosHead
from hrdet_cli.engine.models.dense.retina import RetinaHead
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.structures import Candidates, ClassRows, Detections, ImageBatch, Targets


@dataclass(frozen=True, kw_only=True, slots=True)
class OneStageHead:
    """A dense head and the selection of what it finds; see ``Head``.

    Attributes:
        name: What the names of the dense head's tensors start with.
        dense: Predicts everywhere.
        selector: Makes detections of the candidates.
    """

    name: str
    dense: RetinaHead | FcosHead
    selector: DetectionSelector

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The dense head."""
        return {self.name: self.dense}

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        """Those of the dense head."""
        return {f"{self.name}.{layer}": rows for layer, rows in self.dense.class_rows.items()}

    @property
    def matching_loss(self) -> str:
        """The one on boxes, which positives alone have."""
        return self.dense.matching_loss

    def prepare(self, pyramid: Pyramid) -> Pyramid:
        """Nothing is added; see ``Head``."""
        return pyramid

    def losses(self, pyramid: Pyramid, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
        """Those of the dense head; arguments as of ``Head``."""
        return self.dense.losses(pyramid, images, targets)

    def candidates(self, pyramid: Pyramid, sizes: Tensor) -> Candidates:
        """The best of each level; arguments as of ``Head``."""
        return self.dense.candidates(pyramid, sizes)

    def complete(self, pyramid: Pyramid, found: Detections) -> Detections:  # noqa: ARG002 - as Head has it
        """Nothing but boxes, which are found already."""
        return found

"""What every kind of head tells about itself, so that nothing else asks which kind it is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from hrdet_cli.specs.base import Spec
from hrdet_cli.specs.heads.anchors import AnchorSpec
from hrdet_cli.specs.heads.boxes import SelectionSpec
from hrdet_cli.specs.heads.masks import MaskSpec
from hrdet_cli.specs.heads.points import PointSpec
from hrdet_cli.specs.heads.semantic import SemanticSpec
from hrdet_cli.specs.norm import PartNorm

SpecT = TypeVar("SpecT", bound=Spec)


@dataclass(frozen=True, slots=True)
class Section(Generic[SpecT]):
    """A section of a head, and where it is.

    Attributes:
        key: The dotted key of the section, such as ``model.head.rpn``.
        spec: Its values.
    """

    key: str
    spec: SpecT


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of boxes of a picture that a step of the detector does not go beyond in evaluation.

    Attributes:
        key: Its dotted key.
        value: The number.
        per_object: So many for each object of a picture are enough.
        is_of_level: Whether each level of the pyramid has so many.
    """

    key: str
    value: int
    per_object: int
    is_of_level: bool = False


class HeadSpec(Spec, ABC):
    """The base of the kinds of heads."""

    kind: str
    """The kind of detector."""

    @property
    @abstractmethod
    def finest_stride(self) -> Literal[4, 8]:
        """Pixels of the picture for a cell of the finest of the five levels that the head works on."""

    @property
    def region_norms(self) -> Mapping[str, PartNorm]:
        """The norms that count regions, not pixels, by their dotted keys."""
        return {}

    @property
    @abstractmethod
    def selection(self) -> Section[SelectionSpec] | None:
        """What makes detections of candidates; None where all are detections."""

    @property
    @abstractmethod
    def duplicate_iou(self) -> float:
        """Of two detections of a class that overlap by more, one is left out."""

    @property
    @abstractmethod
    def anchors(self) -> Section[AnchorSpec] | None:
        """The anchors that boxes are matched with; None where there are none."""

    @property
    def points(self) -> Section[PointSpec] | None:
        """The points that boxes are matched with; None where there are none."""
        return None

    @property
    @abstractmethod
    def limits(self) -> tuple[Limit, ...]:
        """What keeps objects of crowded pictures from being found, the last step first."""

    @property
    def tells_classes(self) -> bool:
        """Whether detections are of the data's classes; else all are of one, as what is learnt from is."""
        return True

    @property
    def masks(self) -> Section[MaskSpec] | None:
        """What finds the masks of detections; None where boxes are all."""
        return None

    @property
    def label_maps(self) -> Section[SemanticSpec] | None:
        """What learns from label maps of training pictures; None where nothing does."""
        return None

    @property
    def num_labels(self) -> int | None:
        """Labels that label maps may have; None where nothing learns from them."""
        return None if self.label_maps is None else self.label_maps.spec.num_labels

    @property
    def has_masks(self) -> bool:
        """Whether detections have masks."""
        return self.masks is not None


def detection_limit(selection: Section[SelectionSpec]) -> Limit:
    """How many detections are kept."""
    return Limit(f"{selection.key}.max_detections", selection.spec.max_detections, per_object=1)

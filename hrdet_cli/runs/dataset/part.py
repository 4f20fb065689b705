"""The opened parts of a data set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.label_maps import LabelMaps
from hrdet_cli.runs.dataset.location import LocatedPart


@dataclass(frozen=True, slots=True)
class DatasetPart:
    """Annotations and the pictures they speak of, all of them present.

    With tiles, training pictures are tiles already. Those that are scored are whole, and are cut for the
    detector alone.

    Attributes:
        located: Where both are; of several data sets, the first one.
        notices: What the user should know of the pictures' names and of the annotations.
        label_maps: Of training pictures, where they are needed.
        joined_roots: Of several data sets, where the pictures of each are, by what their names begin with.
    """

    annotations: CocoAnnotations
    images: ImageSource
    located: LocatedPart
    notices: tuple[str, ...] = ()
    label_maps: LabelMaps | None = None
    joined_roots: Mapping[str, Path] = field(default_factory=dict)

    @property
    def roots(self) -> Mapping[str, Path]:
        """Where the pictures are, by what their names begin with."""
        return self.joined_roots or {"": self.located.images}


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Both parts of a data set, with the same classes; without validation data there is one."""

    train: DatasetPart
    val: DatasetPart | None

    @property
    def notices(self) -> tuple[str, ...]:
        """Those of both parts."""
        parts = [part for part in (self.train, self.val) if part is not None]
        return tuple(dict.fromkeys(notice for part in parts for notice in part.notices))

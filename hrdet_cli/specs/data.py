"""Which pictures a run sees."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, NonNegativeInt, PositiveFloat, PositiveInt, Tag

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.base import Problem, Spec, SpecPath
from hrdet_cli.specs.tiles import TilesSpec

MAX_BATCH_SIZE = 4096
PartName = Literal["train", "val"]


def _refuse_other_sizes(value: object) -> object:
    if value == "auto" or (isinstance(value, int) and 0 < value <= MAX_BATCH_SIZE):
        return value
    raise ValueError(f"is a number from 1 to {MAX_BATCH_SIZE}, or auto")


BatchSize = Annotated[PositiveInt | Literal["auto"], BeforeValidator(_refuse_other_sizes)]
"""A number of pictures, or `auto`."""


class DatasetSpec(Spec):
    """Pictures with annotations."""

    annotations: SpecPath
    """COCO JSON file, YOLO's `data.yaml` or its folder, or the folder of a Pascal VOC data set; a relative
    path starts at `data.root`."""
    images: SpecPath | None = None
    """Folder or .zip with the pictures of a COCO file; null for the other formats, which say themselves where
    their pictures are. A relative path starts at `data.root`."""
    split: Annotated[str, Field(min_length=1)] | None = None
    """Part of a YOLO or VOC data set: a key of `data.yaml`, or an image set; null takes `train` to train on
    and `val` to evaluate on, and all of a VOC folder without image sets. A COCO file has no parts."""

    def problems(self) -> Iterator[Problem]:
        """A COCO file goes with its pictures, as its name may tell before it is looked at."""
        if self.annotations.suffix.lower() == ".json" and self.images is None:
            yield "images", "is missing: COCO's JSON does not say where its pictures are"


class TrainingSetSpec(DatasetSpec):
    """Pictures to train on."""

    label_maps: SpecPath | None = None
    """Folder or .zip with a PNG for each picture, of its size and name, whose pixels say what kind of thing
    or stuff they belong to (COCO's stuffthingmaps; 255 is none): read for a head with a semantic branch. A
    relative path starts at `data.root`."""


ONE_SET, SEVERAL_SETS = "one data set", "several data sets"


def _how_many(value: object) -> str:
    return SEVERAL_SETS if isinstance(value, list | tuple) else ONE_SET


TrainingSets = Annotated[
    Annotated[TrainingSetSpec, Tag(ONE_SET)]
    | Annotated[tuple[TrainingSetSpec, ...], Field(min_length=1), Tag(SEVERAL_SETS)],
    Discriminator(_how_many),
]
"""A data set, or a list of them."""


class DemoDataSpec(Spec):
    """Built-in pictures that are drawn into `data.root` when they are not there yet."""

    seed: NonNegativeInt = 0
    """Every picture is a function of it."""
    num_train_images: PositiveInt
    """Pictures in the training part."""
    num_val_images: PositiveInt
    """Pictures in the validation part."""


class ShuffleSpec(Spec):
    """Every picture once an epoch, in an order drawn anew."""

    kind: Literal["shuffle"] = "shuffle"
    """How often pictures are shown."""


class ClassAwareSpec(Spec):
    """As often a picture of one class as of any other; pictures without a class once an epoch."""

    kind: Literal["class-aware"]
    """How often pictures are shown."""


class RepeatFactorSpec(Spec):
    """Pictures of rare classes more often than once an epoch, as in LVIS."""

    kind: Literal["repeat-factor"]
    """How often pictures are shown."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.001
    """Pictures come sqrt(threshold / f) times as often where they have a class that only a smaller share f of
    the pictures has. LVIS's is 0.001."""


SamplingSpec = Annotated[ShuffleSpec | ClassAwareSpec | RepeatFactorSpec, Field(discriminator="kind")]
"""Every kind of sampling, the default kind first."""


class DataSpec(Spec):
    """The data set and how it is read."""

    root: SpecPath = Path()
    """Where relative paths of the data set start; itself relative to the folder the command runs in."""
    train: TrainingSets
    """Pictures to train on: a data set, or a list of several, joined by the names of their classes."""
    val: DatasetSpec | None = None
    """Pictures to evaluate on; null evaluates nothing, so that there is no best checkpoint."""
    demo: DemoDataSpec | None = None
    """Draw the built-in demo data into `data.root` first; null for data of your own."""
    batch_size_per_process: BatchSize = 2
    """Pictures per training step on each process; `auto` looks for the most that fit on the GPU before the
    run begins, and the run's own spec then has the number."""
    sampling: SamplingSpec = ShuffleSpec()
    """How often an epoch shows each picture."""
    shares: tuple[PositiveFloat, ...] | None = None
    """Of several data sets in `train`, how much of an epoch each is, relative to the others; null shows each
    picture as often as `sampling` says, whatever data set it is in."""
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the categories to train and evaluate on, in the order of the detector's classes; null for all
    that the annotations have, in theirs. Boxes of others are as if they were not there."""
    num_workers: Annotated[int, Field(ge=0, le=1024)] = 2
    """Worker processes that read pictures for each training process; 0 reads in the process itself."""
    resize_filter: Literal["antialias", "bilinear", "opencv"] = "antialias"
    """`antialias` averages over what becomes one pixel when pictures shrink, as Pillow does; `bilinear` looks
    at four pixels whatever the scale, as torchvision's detectors and the code of 2019 do; `opencv` too, in
    the arithmetic of OpenCV, to the bit what mmdetection 2 and 3 feed their detectors, in more time."""
    resize_rounding: Literal["half-up", "down"] = "half-up"
    """How the edges of a resized picture become whole pixels: `half-up` as mmdetection, `down` as
    torchvision's detectors."""
    tiles: TilesSpec | None = None
    """Cut large pictures into tiles, in training, evaluation and `hrdet predict`; null takes them whole."""
    keep_pictures_without_boxes: bool = False
    """Train on pictures that have no box (or only crowd regions) too; by default they are left out."""
    broken_pictures: Literal["error", "skip"] = "error"
    """What a picture does that turns out to be unreadable, of another size than annotated, or gone: `error`
    saves and ends a training run, and ends `hrdet eval`; `skip` trains on another one in its place, names it
    once in run.json, and evaluates the others. The evaluations of a training run leave it out in any case
    and say so. Pictures that are missing before the run starts are an error in any case."""

    def problems(self) -> Iterator[Problem]:
        """Classes that are named twice, and shares of other data sets than there are."""
        yield from super().problems()
        repeated = [name for name, count in Counter(self.classes or ()).items() if count > 1]
        if repeated:
            yield "classes", f"names {', '.join(map(repr, repeated))} more than once; name each once"
        num_sets = len(self.training_sets)
        if self.shares is not None and len(self.shares) != num_sets:
            yield (
                "shares",
                f"are {len(self.shares)}, but data.train has {num_sets}; give one for each data set",
            )

    @property
    def training_sets(self) -> tuple[TrainingSetSpec, ...]:
        """`train` as a list, of one data set too."""
        return self.train if isinstance(self.train, tuple) else (self.train,)

    @property
    def num_pictures_per_process(self) -> int:
        """`batch_size_per_process` where it is a number.

        Raises:
            SpecError: It is still to be found.
        """
        if self.batch_size_per_process == "auto":
            raise SpecError(
                [
                    "data.batch_size_per_process: is auto, which only `hrdet train` makes a number of, on a "
                    "GPU; add --set data.batch_size_per_process=N"
                ]
            )
        return self.batch_size_per_process

    def key_of(self, part: PartName, number: int = 0) -> str:
        """The dotted key of a part's data set: ``data.val``, ``data.train``, or ``data.train.1``."""
        is_item = part == "train" and isinstance(self.train, tuple)
        return f"data.{part}.{number}" if is_item else f"data.{part}"

    def locate_label_maps(self, number: int = 0) -> Path | None:
        """The label maps of a training data set with `data.root` in front; None where none are named."""
        maps = self.training_sets[number].label_maps
        return None if maps is None else self.root / maps

    def locate(self, part: PartName, number: int = 0) -> DatasetSpec:
        """The paths of a part's data set with `data.root` in front.

        Args:
            part: Which part.
            number: Which of several data sets of it, counted from 0.

        Raises:
            SpecError: The spec has no such part.
        """
        dataset = self.training_sets[number] if part == "train" else self.val
        if dataset is None:
            raise SpecError([f"data.{part}: is null; name data with --{part}-data JSON IMAGES"])
        return DatasetSpec(
            annotations=self.root / dataset.annotations,
            images=None if dataset.images is None else self.root / dataset.images,
            split=dataset.split,
        )

"""Pictures per second on one core, against two data paths of others and against the work that none can avoid.

All make the same batches of the same pictures, with the same sizes and flips, in turn. What counts is CPU
time: all files are in the page cache, and other work on the machine then disturbs little.

A worker's part is what it hands over, without padding, as mmdetection's workers do. The whole has the canvas
in it, as the path of 2019 has, filled by a CPU; a GPU fills its own.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median

import cv2
import torch
from torch import Tensor

from hrdet_cli.engine.data.batch import PictureRecord
from hrdet_cli.engine.data.decoding import decode_rgb
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.loader import TrainingLoader
from hrdet_cli.engine.data.pixels import move_pixels
from hrdet_cli.engine.data.unpadded_batch import UnpaddedBatch
from hrdet_cli.engine.distributed.world import World
from hrdet_cli.engine.geometry import Size
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.dataset.opening import open_part
from hrdet_cli.specs.loading import load_spec

from . import path_of_2019, path_of_mmdet3
from .pictures import ANNOTATIONS, FOLDER, write_archive, write_pictures
from .reporting import show_table

PRESET = "hrnet-w18-mstrain-pad"
NUM_COCO_PICTURES = 118_287
HEIGHT, WIDTH = 480, 640

OURS, OURS_ZIP = "hrdet, from a folder", "hrdet, from a zip"
WORKER = "hrdet's worker, from a folder"
DECODE, WORK = "decode alone", "decode and resize alone"
OLD, OLD_ZIP = "2019, from a folder", "2019, from a zip"
MMDET = "mmdetection 3, from a folder"

SecondsByWay = Mapping[str, list[float]]
"""Of one picture, batch by batch."""


@dataclass(frozen=True)
class Goal:
    """How many times the time of one way another one takes."""

    of: str
    to: str
    wanted: str


GOALS = (
    Goal(OLD, OURS, ">= 9x"),
    Goal(OLD_ZIP, OURS_ZIP, ">= 200x"),
    Goal(MMDET, WORKER, ">= 1.3x"),
    Goal(WORKER, WORK, "<= 1.2x"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3, help="epochs over these pictures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        mean_bytes = write_pictures(root, count=arguments.pictures, height=HEIGHT, width=WIDTH, num_boxes=8)
        write_archive(root / f"{FOLDER}.zip", root / FOLDER, num_entries=NUM_COCO_PICTURES)
        ways = Ways(root)
        seconds = measure(ways, num_rounds=arguments.rounds)
        opening = cpu_seconds(lambda: open_images(root / f"{FOLDER}.zip"))
        num_bytes = ways.compare_bytes()
    show_table(
        f"One core, {PRESET}, {WIDTH}x{HEIGHT} JPEGs of {mean_bytes / 1000:.0f} kB, "
        f"zip of {NUM_COCO_PICTURES:,} files",
        ["", "pictures/s", "ms a picture"],
        [[way, f"{1 / median(of):.3g}", f"{1000 * median(of):.2f}"] for way, of in seconds.items()],
        notes=[
            f"hrdet reads the zip's directory once, in {opening:.2f} s; 2019 for each picture.",
            "hrdet and 2019 end with a padded batch, workers with pictures that the device pads.",
        ],
    )
    show_table(
        "Time of one to that of another, medians over batches",
        ["", "ratio", "goal"],
        [*ratios(seconds), ["bytes to the device, hrdet : 2019", f"{num_bytes:.4f}x", "<= 0.15x"]],
    )


@dataclass(frozen=True)
class Work:
    """A batch to be made: its pictures, how they are placed, and the canvas."""

    records: Sequence[PictureRecord]
    canvas: Size

    @property
    def first(self) -> "Work":
        """The first picture alone."""
        return Work(self.records[:1], self.canvas)


class Ways:
    """All ways to make the batches of an epoch."""

    def __init__(self, root: Path) -> None:
        folder, archive = root / FOLDER, root / f"{FOLDER}.zip"
        self._plain, self._zipped = make_loader(root, images=folder), make_loader(root, images=archive)
        self._worker = make_loader(root, images=folder)
        self._read = path_of_2019.reader_of_folder(folder)
        self._read_member = path_of_2019.reader_of_zip(archive)
        self._from_folder = self._from_zip = self._plain.batches(0)
        self._unpadded = unpadded(self._worker, 0)

    def begin(self, epoch: int) -> list[Work]:
        """Begin an epoch; gives its batches in their order."""
        batches = [Work(batch.records, batch.images.canvas) for batch in self._plain.batches(epoch)]
        self._from_folder, self._from_zip = self._plain.batches(epoch), self._zipped.batches(epoch)
        self._unpadded = unpadded(self._worker, epoch)
        return batches

    def in_turn(self, work: Work) -> dict[str, Callable[[], object]]:
        """How to make the next batch."""
        return {
            OURS: lambda: next(self._from_folder),
            OURS_ZIP: lambda: next(self._from_zip),
            WORKER: lambda: next(self._unpadded),
            DECODE: lambda: [self._decode(record) for record in work.records],
            WORK: lambda: [move_pixels(self._decode(record), record.placement) for record in work.records],
            MMDET: lambda: path_of_mmdet3.make_batch(work.records, self._read),
            OLD: lambda: path_of_2019.make_batch(work.records, self._read, work.canvas),
            OLD_ZIP: lambda: path_of_2019.make_batch(work.first.records, self._read_member, work.canvas),
        }

    def compare_bytes(self) -> float:
        """Bytes that go to the device for a batch, ground truth and all, to those of 2019's pixels."""
        ours = theirs = 0
        for batch in unpadded(self._worker, 0):
            targets = [getattr(batch.targets, field.name) for field in fields(batch.targets)]
            ours += sum(part.nbytes for part in [*batch.pictures, *targets] if part is not None)
            theirs += path_of_2019.make_batch(batch.records, self._read, batch.canvas).nbytes
        return ours / theirs

    def _decode(self, record: PictureRecord) -> Tensor:
        return decode_rgb(self._read(record.file_name), expected=record.original, name=record.file_name)


def measure(ways: Ways, *, num_rounds: int) -> SecondsByWay:
    """Make every batch in each way, one after the other."""
    seconds: dict[str, list[float]] = {}
    for epoch in range(num_rounds + 1):
        for work in ways.begin(epoch):
            for way, make in ways.in_turn(work).items():
                num_pictures = 1 if way == OLD_ZIP else len(work.records)
                spent = cpu_seconds(make) / num_pictures
                if epoch > 0:  # the first round warms up
                    seconds.setdefault(way, []).append(spent)
    return seconds


def ratios(seconds: SecondsByWay) -> list[list[str]]:
    """A row for each goal, with the median over the batches."""
    return [
        [
            f"{goal.of} : {goal.to}",
            f"{median(of / to for of, to in zip(seconds[goal.of], seconds[goal.to], strict=True)):.3g}x",
            goal.wanted,
        ]
        for goal in GOALS
    ]


def make_loader(root: Path, *, images: Path) -> TrainingLoader:
    """The preset's loader, in this process."""
    spec = load_spec(
        preset=PRESET,
        settings=[
            f"data.root={root}",
            f"data.train={{annotations: {ANNOTATIONS}, images: {images.name}}}",
            "data.num_workers=0",
        ],
    ).spec
    return build_training_loader(spec, open_part(spec.data, "train"), torch.device("cpu"))


def unpadded(loader: TrainingLoader, epoch: int) -> Iterator[UnpaddedBatch]:
    """What the loader's workers make of an epoch, made here."""
    return loader._workers.make([*loader.steps.requests(epoch, World())])


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()

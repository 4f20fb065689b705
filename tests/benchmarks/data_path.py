"""Images per second on one core, against a re-creation of the data path that HRNet detectors had in 2019.

Both make the same batches of the same pictures, with the same sizes and flips, in turn. What counts is CPU
time: all files are in the page cache, and other work on the machine then disturbs little.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
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
from hrdet_cli.runs.build import build_training_loader
from hrdet_cli.runs.dataset import open_part
from hrdet_cli.specs.loading import load_spec

from . import path_of_2019 as old
from .pictures import ANNOTATIONS, FOLDER, write_archive, write_pictures
from .reporting import show_table

PRESET = "hrnet-w18-mstrain-pad"
NUM_COCO_PICTURES = 118_287
HEIGHT, WIDTH = 480, 640

Records = Sequence[PictureRecord]
"""The pictures of one batch and how they were placed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=64)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        mean_bytes = write_pictures(root, count=arguments.pictures, height=HEIGHT, width=WIDTH, num_boxes=8)
        write_archive(root / f"{FOLDER}.zip", root / FOLDER, num_entries=NUM_COCO_PICTURES)
        rows = measure(root)
        opening = cpu_seconds(lambda _: open_images(root / f"{FOLDER}.zip"), ())
    show_table(
        f"Images per second on one core, {PRESET}, {WIDTH}x{HEIGHT} JPEGs of {mean_bytes / 1000:.0f} kB",
        ["", "hrdet", "2019", "ratio", "goal"],
        rows,
        notes=[f"hrdet reads the zip's directory once, in {opening:.2f} s; 2019 for each picture."],
    )


def measure(root: Path) -> list[list[str]]:
    """The rows of the table, from a part of the work to all of it."""
    folder, archive = root / FOLDER, root / f"{FOLDER}.zip"
    batches = list(make_loader(root, images=folder).batches(0))  # also warms everything up
    records, canvas = [batch.records for batch in batches], batches[0].images.canvas
    read = old.reader_of_folder(folder)
    from_folder = make_loader(root, images=folder).batches(0)
    from_zip = make_loader(root, images=archive).batches(0)
    read_member = old.reader_of_zip(archive)

    def decode(record: PictureRecord) -> Tensor:
        name = record.file_name
        return decode_rgb(read(name), expected=record.original, name=name)

    return [
        compare(
            "read, decode",
            records,
            lambda batch: [decode(record) for record in batch],
            lambda batch: [old.decode(read(record.file_name)) for record in batch],
        ),
        compare(
            "read, decode, resize",
            records,
            lambda batch: [move_pixels(decode(record), record.placement) for record in batch],
            lambda batch: [old.resize(old.decode(read(r.file_name)), r.placement.resized) for r in batch],
        ),
        compare(
            "all, from a folder",
            records,
            lambda _: next(from_folder),
            lambda batch: old.make_batch(batch, read, canvas),
            goal=4,
        ),
        compare(
            f"all, from a zip of {NUM_COCO_PICTURES:,} files",
            records,
            lambda _: next(from_zip),
            lambda batch: old.make_batch(batch, read_member, canvas),
            their_limit=1,
            goal=100,
        ),
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


def compare(
    what: str,
    batches: Sequence[Records],
    ours: Callable[[Records], object],
    theirs: Callable[[Records], object],
    *,
    their_limit: int | None = None,
    goal: int | None = None,
) -> list[str]:
    """Do the same work both ways in turn; gives a row of median rates and the median ratio.

    Where the other way takes seconds, ``their_limit`` is the number of pictures it makes of each batch.
    """
    seconds = [  # of one picture
        (
            cpu_seconds(ours, batch) / len(batch),
            cpu_seconds(theirs, batch[:their_limit]) / len(batch[:their_limit]),
        )
        for batch in batches
    ]
    our_rate, their_rate = (1 / median(column) for column in zip(*seconds, strict=True))
    ratio = median(their / our for our, their in seconds)
    return [what, f"{our_rate:.0f}", f"{their_rate:.3g}", f"{ratio:.3g}x", f">= {goal}x" if goal else ""]


def cpu_seconds(work: Callable[[Records], object], batch: Records) -> float:
    started = time.process_time()
    work(batch)
    return time.process_time() - started


if __name__ == "__main__":
    main()

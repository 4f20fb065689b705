"""Seconds and memory to load annotations of COCO's size, and to hold them in 8 worker processes."""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch

from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.data.formats.source import CocoFile
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.picture_names import FoundNames
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.dataset.location import LocatedPart
from hrdet_cli.runs.dataset.part import DatasetPart
from hrdet_cli.specs.loading import load_spec

from .apart import run_apart
from .pictures import FOLDER, write_annotations, write_archive, write_pictures
from .reporting import show_table

PRESET = "hrnet-w18-mstrain-pad"
NUM_PICTURES, NUM_BOXES = 118_287, 860_001
HEIGHT, WIDTH = 480, 640
NUM_WORKERS, NUM_BATCHES, NUM_READS = 8, 48, 20_000


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        annotations, archive = Path(scratch, "instances_train2017.json"), Path(scratch, f"{FOLDER}.zip")
        run_apart(write_data, annotations, archive)  # whose memory is not measured
        rows = measure(annotations, archive)
        megabytes = annotations.stat().st_size / 1e6
    show_table(
        f"{NUM_PICTURES:,} pictures, {NUM_BOXES:,} boxes with polygons, {megabytes:.0f} MB",
        ["", "measured", "goal"],
        rows,
    )


def write_data(annotations: Path, archive: Path) -> None:
    write_pictures(archive.parent, count=1, height=HEIGHT, width=WIDTH, num_boxes=1)
    write_archive(archive, archive.parent / FOLDER, num_entries=NUM_PICTURES)
    write_annotations(annotations, num_pictures=NUM_PICTURES, num_boxes=NUM_BOXES, height=HEIGHT, width=WIDTH)


class SamePicture:
    """One picture under every name."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, name: str) -> bytes:  # noqa: ARG002
        return self._data

    def find(self, names: Sequence[str]) -> FoundNames:  # noqa: ARG002
        return FoundNames([], [], {})

    def why_missing(self, name: str) -> str:
        return f"{name} is not missing"

    def notes(self) -> Sequence[str]:
        return ()


def measure(path: Path, archive: Path) -> list[list[str]]:
    """The rows of the table; this process must not have done anything before."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    started = time.perf_counter()
    annotations = load_coco(path)
    loading = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    started = time.perf_counter()
    images = open_images(archive)
    opening = time.perf_counter() - started
    names = [str(annotations.file_names[0])] * NUM_READS
    data = images.read(names[0])
    started = time.perf_counter()
    for name in names:
        images.read(name)
    reading = (time.perf_counter() - started) / NUM_READS
    spec = load_spec(preset=PRESET, settings=[f"data.num_workers={NUM_WORKERS}"]).spec
    part = DatasetPart(annotations, SamePicture(data), LocatedPart(CocoFile(annotations.path), archive))
    with build_training_loader(spec, part, torch.device("cpu")) as loader:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # more workers than cores
            for _ in islice(loader.batches(0), NUM_BATCHES):
                pass
        children = [child.pid for child in multiprocessing.active_children() if child.pid is not None]
        held = proportional_bytes("Pss", [os.getpid(), *children])
        waiting = proportional_bytes("Pss_Shmem", [os.getpid(), *children])
    return [
        ["annotations, seconds", f"{loading:.1f}", "< 20"],
        ["memory that takes at its peak, GB", f"{(peak - before) / 1e9:.2f}", "< 1.5"],
        [f"all with {len(children)} workers, GB", f"{(held - waiting) / 1e9:.2f}", "< 1.5"],
        ["and the batches they make in advance, GB", f"{waiting / 1e9:.2f}", ""],
        ["the program before, with torch, GB", f"{before / 1e9:.2f}", ""],
        ["zip, seconds to open", f"{opening:.2f}", ""],
        [f"microseconds to read {len(data) / 1000:.0f} kB from it", f"{1e6 * reading:.0f}", ""],
    ]


def proportional_bytes(kind: str, processes: Sequence[int]) -> int:
    """Memory of processes together, all or of a kind; what several share counts once."""
    lines = [line for pid in processes for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))


if __name__ == "__main__":
    main()

"""TensorBoard's event files, in the run's folder."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from hrdet_cli.runs.tracking.tracker import TrackedRun


def open_tracker(run: TrackedRun) -> "TensorBoardTracker":
    """Begin a file of events; TensorBoard leaves out what older ones have of later steps."""
    return TensorBoardTracker(run)


class TensorBoardTracker:
    """See :class:`.tracker.Tracker`."""

    def __init__(self, run: TrackedRun) -> None:
        self._writer = SummaryWriter(str(run.folder), purge_step=run.first_step + 1)
        self._writer.add_text("spec", f"```yaml\n{run.spec_text}```", run.first_step)

    def add_scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """See :class:`.tracker.Tracker`."""
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def add_picture(self, name: str, file: Path, step: int) -> None:
        """See :class:`.tracker.Tracker`."""
        with Image.open(file) as picture:
            self._writer.add_image(name, np.asarray(picture.convert("RGB")), step, dataformats="HWC")

    def close(self, *, has_failed: bool) -> None:
        """See :class:`.tracker.Tracker`."""
        del has_failed  # its files have no place for it
        self._writer.close()

"""What one node can find out alone of a training run, before it waits for the others."""

import torch

from hrdet_cli.engine.data.images import open_images
from hrdet_cli.errors import GroupError
from hrdet_cli.runs.dataset.location import locate_part
from hrdet_cli.runs.device import select_device
from hrdet_cli.runs.output_files import refuse_unwritable_folder
from hrdet_cli.runs.preparation.launch import Resume
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.wording import counted


def check_node(
    spec: ExperimentSpec,
    folder: RunFolder,
    *,
    keeps_folder: bool,
    resume: Resume,
    overwrite: bool,
    num_processes: int | None,
) -> None:
    """Refuse what would fail once all nodes are there.

    Args:
        spec: Of the run.
        folder: Of the run; only the first node's counts.
        keeps_folder: Whether this node is the first one.
        resume: How the command was started.
        overwrite: Likewise.
        num_processes: Processes that were asked for on this node; None for one on each GPU.

    Raises:
        HrdetError: Data are missing, the run folder is taken, missing or cannot be written to, or there are
            too few GPUs.
    """
    if keeps_folder:
        if resume == "always":
            folder.require()
        elif resume == "never":
            folder.refuse_if_taken(overwrite=overwrite)
        refuse_unwritable_folder(folder.path, option="--run-dir")
    select_device(spec.run)
    num_gpus = torch.cuda.device_count()
    if spec.run.device != "cpu" and 0 < num_gpus < (num_processes or 1):
        raise GroupError(
            f"--processes-per-node {num_processes}: this node has {counted(num_gpus, 'GPU')}, and each "
            "process needs one; lower it, or set run.device=cpu"
        )
    if spec.data.demo is None:
        for number in range(len(spec.data.training_sets)):
            open_images(locate_part(spec.data, "train", number).images)
        if spec.data.val is not None:
            open_images(locate_part(spec.data, "val").images)

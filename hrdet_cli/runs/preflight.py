"""Before the first step: does the largest one fit into memory, and how many pictures would?"""

import platform
from collections.abc import Callable, Generator

import torch

from hrdet_cli.activity import doing
from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.collation import num_box_rows
from hrdet_cli.engine.data.label_maps import LabelMaps
from hrdet_cli.engine.data.noise import make_noise_batch
from hrdet_cli.engine.data.steps import TrainingSteps
from hrdet_cli.engine.distributed.collectives import gather_everywhere
from hrdet_cli.engine.distributed.world import current_world, working_alone
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.training.rehearsal import (
    StepCost,
    fits_into_memory,
    largest_fitting,
    release_memory,
)
from hrdet_cli.engine.training.reports import resident_memory_bytes
from hrdet_cli.errors import OutOfMemoryError, SpecError
from hrdet_cli.runs.build.compilation import eagerly, without_compiling
from hrdet_cli.runs.build.detector import build_detector, place_detector
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.build.steps import build_steps, with_batch_size
from hrdet_cli.runs.build.trainer import build_trainer
from hrdet_cli.runs.dataset.part import DatasetPart
from hrdet_cli.runs.doctor.limits import ControlGroups, free_memory_bytes
from hrdet_cli.runs.events import Event, RunForecast, StepForecast
from hrdet_cli.runs.forecast import (
    FEWEST_PIXELS,
    Probe,
    extrapolate,
    most_pixels,
    probe_canvases,
)
from hrdet_cli.runs.plan import LargestStep
from hrdet_cli.runs.stopping import never
from hrdet_cli.runs.training_run import TrainingRun
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.norm import SyncBatchNormSpec

HEADROOM = 0.1
"""Share of a GPU's memory that a batch found by ``auto`` leaves: for evaluation, and for what the allocator
loses between steps of different sizes."""


class LargestBatches:
    """Batches as large as those of a run can become, of noise.

    Args:
        steps: Of the run, whatever their number of pictures.
        num_classes: K.
        label_maps: Those of the training pictures.

    Attributes:
        canvas: What they lie on.
        num_box_rows: Rows of ground truth of each picture, some of them padding.
    """

    def __init__(
        self, steps: TrainingSteps, *, num_classes: int, label_maps: LabelMaps | None = None
    ) -> None:
        self.canvas = steps.largest_canvas
        self.num_box_rows = num_box_rows(steps.most_boxes)
        self._num_boxes = steps.most_boxes
        self._num_classes = num_classes
        self._with_masks = steps.with_masks
        self._num_labels = None if label_maps is None else label_maps.num_labels

    def make(self, num_pictures: int, *, canvas: Size | None = None) -> Batch:
        """A batch of so many pictures, on the largest canvas or on another."""
        return make_noise_batch(
            canvas or self.canvas,
            num_pictures=num_pictures,
            num_boxes=self._num_boxes,
            num_classes=self._num_classes,
            with_masks=self._with_masks,
            num_labels=self._num_labels,
        )


def rehearse_largest_step(run: TrainingRun) -> Generator[Event, None, LargestStep]:
    """Make the largest step of a run, together with all processes, and forget it.

    It is made twice where the first one builds what the others find: on a GPU, and where it is compiled.

    A process that has too little memory looks, by itself, for the batch that it has enough for. On a CPU,
    which would kill a process that takes too much, a large step is forecast from small ones first.

    Args:
        run: Bit for bit as before afterwards.

    Yields:
        On a CPU what a large step will take, and then how long the run will.

    Raises:
        OutOfMemoryError: The step does not fit; says what would.
    """
    batches = LargestBatches(
        run.loader.steps, num_classes=len(run.plan.class_names), label_maps=run.data.train.label_maps
    )
    num_pictures = run.spec.data.num_pictures_per_process
    is_large = num_pictures * batches.canvas.num_pixels >= FEWEST_PIXELS
    if run.device.type == "cpu" and is_large:
        yield _forecast_step(run, batches, num_pictures)
    costs: list[StepCost] = []
    compiles = run.spec.run.compile != "off"
    is_first_dearer = compiles or run.device.type == "cuda"

    def rehearse() -> None:
        batch = batches.make(num_pictures)
        if is_first_dearer:  # it is compiled; on a GPU kernels are built, and cuDNN tries its algorithms
            run.trainer.rehearse(batch)
        costs.append(run.trainer.rehearse(batch))

    with doing("compiling and trying the largest step" if compiles else "trying the largest step"):
        fits = fits_into_memory(rehearse)
    if not fits:
        run.trainer.abandon()  # what it holds would make the others look larger than they are
        most = num_pictures - 1
        fitting = find_most_pictures(run.spec, batches, run.data.train, run.device, most=most) if most else 0
        raise OutOfMemoryError(_describe_excess(run.spec, batches, num_pictures, run.device, fitting))
    all_costs = gather_everywhere(costs[0], what="memory of the processes")
    seconds = max(cost.seconds for cost in all_costs)
    if run.device.type == "cpu" and is_large:
        num_left = run.trainer.num_steps - run.trainer.step
        yield RunForecast(seconds * run.plan.steps_per_epoch, seconds * num_left)
    return LargestStep(
        canvas=str(batches.canvas),
        num_pictures=num_pictures,
        num_box_rows=batches.num_box_rows,
        peak_memory_bytes=max(cost.peak_memory_bytes for cost in all_costs),
        seconds=seconds,
    )


def _forecast_step(run: TrainingRun, batches: LargestBatches, num_pictures: int) -> StepForecast:
    """What the largest step will take on this CPU, by two small ones with one picture.

    Raises:
        OutOfMemoryError: It would take more memory than is left.
    """
    canvases = probe_canvases(batches.canvas)
    with eagerly(run.spec.run):
        run.trainer.rehearse(batches.make(1, canvas=canvases[0]))  # the first step of a process takes longer
        smaller, larger = (
            Probe(canvas.num_pixels, run.trainer.rehearse(batches.make(1, canvas=canvas)))
            for canvas in canvases
        )
    cost = extrapolate(smaller, larger, num_pictures * batches.canvas.num_pixels)
    free = free_memory_bytes(ControlGroups())
    machines = gather_everywhere(platform.node(), what="names of the machines")
    room = None if free is None else resident_memory_bytes() + free // machines.count(platform.node())
    if room is not None and cost.peak_memory_bytes > room:
        fitting = most_pixels(smaller, larger, room) // batches.canvas.num_pixels
        needed = f"It would take about {cost.peak_memory_bytes / 2**30:.1f} GiB of {room / 2**30:.1f} GiB."
        excess = _describe_excess(run.spec, batches, num_pictures, run.device, max(0, fitting))
        raise OutOfMemoryError(f"{excess}\n{needed} It was not tried: the system would kill the process.")
    return StepForecast(
        canvas=str(batches.canvas),
        num_pictures=num_pictures,
        peak_memory_bytes=cost.peak_memory_bytes,
        seconds=cost.seconds,
    )


@doing("looking for the number of pictures that fit")
def find_batch_size(spec: ExperimentSpec, part: DatasetPart, device: torch.device) -> int:
    """The most pictures in a process's step for which the GPUs of all processes have memory to spare.

    Raises:
        SpecError: There is no GPU.
        OutOfMemoryError: Not even one picture fits.
    """
    _require_gpu(device)
    steps = build_steps(with_batch_size(spec, 1), part.annotations, num_processes=1)
    batches = LargestBatches(steps, num_classes=len(part.annotations.class_names), label_maps=part.label_maps)
    most = max(1, steps.num_pictures // current_world().size)
    own = find_most_pictures(spec, batches, part, device, most=most, headroom=HEADROOM)
    fitting = min(gather_everywhere(own, what="batch sizes that fit"))
    if fitting == 0:
        raise OutOfMemoryError(_describe_excess(spec, batches, 1, device, 0))
    return fitting


def find_most_pictures(
    spec: ExperimentSpec,
    batches: LargestBatches,
    part: DatasetPart,
    device: torch.device,
    *,
    most: int,
    headroom: float = 0.0,
) -> int:
    """The most pictures in a step that fit into this process's memory, whatever other processes do meanwhile.

    Args:
        spec: The experiment.
        batches: What to try.
        part: What is trained on.
        device: Where to try.
        most: More are not tried; at least 1.
        headroom: Share of the device's memory that is left free.

    Returns:
        In ``0 .. most``.
    """
    found: list[int] = []

    def search() -> None:
        occupied = _occupy(device, headroom) if headroom else None
        found.append(largest_fitting(_build_trial(spec, batches, part, device), most=most))
        del occupied

    with working_alone():
        fits = fits_into_memory(search)
    release_memory()
    return found[0] if fits else 0


def _build_trial(
    spec: ExperimentSpec, batches: LargestBatches, part: DatasetPart, device: torch.device
) -> Callable[[int], bool]:
    """A detector of its own that tells whether a step with so many pictures fits."""
    trial = without_compiling(with_batch_size(spec, 1))
    if isinstance(trial.norm, SyncBatchNormSpec):  # other back ends would wait for the other processes
        norm = trial.norm.model_copy(update={"back_end": "coalesced"})
        trial = trial.model_copy(update={"norm": norm})
    detector = build_detector(trial, num_classes=len(part.annotations.class_names), trains=True)
    trainer = build_trainer(
        trial,
        place_detector(detector, trial.run, device),
        build_training_loader(trial, part, device),
        device,
        learning_rate=0.0,
        stop_asked=never,
    )
    return lambda num_pictures: fits_into_memory(lambda: trainer.rehearse(batches.make(num_pictures)))


def _require_gpu(device: torch.device) -> None:
    if device.type != "cuda":
        raise SpecError(
            [
                "data.batch_size_per_process: auto finds what fits on a GPU, and this run's device is "
                f"{device}, whose memory has no hard limit: what no longer fits is only slow. Give a number"
            ]
        )


def _occupy(device: torch.device, share: float) -> torch.Tensor:
    """Take a share of a GPU's memory away for as long as the result lives."""
    num_bytes = torch.cuda.get_device_properties(device).total_memory
    return torch.empty(int(share * num_bytes), dtype=torch.uint8, device=device)


def _describe_excess(
    spec: ExperimentSpec, batches: LargestBatches, count: int, device: torch.device, fitting: int
) -> str:
    """What does not fit where, and what to do."""
    excess = (
        f"the largest step of this run does not fit into the memory of {_describe_memory(device)}: "
        f"{count} picture{'s' if count > 1 else ''} on a canvas of {batches.canvas}, with "
        f"{batches.num_box_rows} rows of boxes each."
    )
    remedies = f"smaller {spec.augmentation.size_key} and padding"
    if spec.model.activation_checkpointing != "modules":
        remedies = f"--set model.activation_checkpointing=true, or {remedies}"
    if fitting == 0:
        return f"{excess} Not even one picture does; try {remedies}"
    return (
        f"{excess} {fitting} would fit: --set data.batch_size_per_process={fitting}; "
        f"to keep {count}, try {remedies}"
    )


def _describe_memory(device: torch.device) -> str:
    if device.type != "cuda":
        return "this machine"
    total = torch.cuda.get_device_properties(device).total_memory
    return f"{device} ({total / 2**30:.0f} GiB)"

"""What of a rehearsal has to be tried: the messages of a step, its computation and its memory."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.testing._internal.distributed.fake_pg import FakeStore

from hrdet_cli.engine.benchmarking.epoch_layout import EpochLayout, seconds_by_canvas
from hrdet_cli.engine.benchmarking.step_model import StepMessages
from hrdet_cli.engine.benchmarking.traffic import TrafficCounter
from hrdet_cli.engine.distributed.world import World
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.training.gradients import BUCKET_BYTES, divide_into_buckets
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.runs.build.compilation import without_compiling
from hrdet_cli.runs.build.detector import build_detector, place_detector
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.build.steps import with_batch_size
from hrdet_cli.runs.build.trainer import build_trainer
from hrdet_cli.runs.dataset.part import DatasetPart
from hrdet_cli.runs.forecast import Probe, extrapolate, probe_canvases
from hrdet_cli.runs.preflight import LargestBatches
from hrdet_cli.runs.stopping import never
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.optimisation import SgdSpec

_MOST_CANVASES_TIMED = 4


@dataclass(frozen=True, slots=True)
class Tried:
    """What was found out.

    Attributes:
        messages: Of a step.
        checkpoint_bytes: Of a checkpoint's tensors.
        seconds: Of a step with its batches on each canvas of an epoch.
        peak_memory_bytes: Of the step that needs most.
        device: Where it was computed, in words.
        is_measured: Whether memory and the largest step were measured, and not told from smaller ones.
    """

    messages: StepMessages
    checkpoint_bytes: int
    seconds: Mapping[Size, float]
    peak_memory_bytes: int
    device: str
    is_measured: bool


def try_steps(
    spec: ExperimentSpec, part: DatasetPart, device: torch.device, layout: EpochLayout, *, num_processes: int
) -> Tried:
    """Make a few steps of one process, whose messages go nowhere.

    Args:
        spec: The experiment.
        part: What is trained on.
        device: Where to compute.
        layout: An epoch over all processes.
        num_processes: For which messages are counted.
    """
    spec = without_compiling(spec)
    steps = build_training_loader(spec, part, device, world=World(0, num_processes)).steps
    batches = LargestBatches(steps, num_classes=len(part.annotations.class_names), label_maps=part.label_maps)
    num_pictures = spec.data.num_pictures_per_process
    with _messages_that_go_nowhere(num_processes):
        trainer, detector = _build(with_batch_size(spec, 1), part, device, num_processes)
        smaller, larger = probe_canvases(batches.canvas)
        trainer.rehearse(batches.make(1, canvas=smaller))  # the first step of a process takes longer
        with TrafficCounter() as counter:
            cost = trainer.rehearse(batches.make(1, canvas=smaller), makes_all=True)
        first = Probe(smaller.num_pixels, cost)
        second = Probe(larger.num_pixels, trainer.rehearse(batches.make(1, canvas=larger)))
        messages = _messages(counter, detector)
        if device.type != "cuda":
            largest = extrapolate(first, second, num_pictures * batches.canvas.num_pixels)
            per_pixel = largest.seconds / batches.canvas.num_pixels
            seconds = {canvas: per_pixel * canvas.num_pixels for canvas in layout.count_by_canvas}
            memory = largest.peak_memory_bytes
        else:
            memory = trainer.rehearse(batches.make(num_pictures)).peak_memory_bytes
            timed = layout.typical_canvases(_MOST_CANVASES_TIMED)
            measured = {
                canvas: trainer.rehearse(batches.make(num_pictures, canvas=canvas)).seconds
                for canvas in timed
            }
            seconds = seconds_by_canvas(layout, measured)
    return Tried(
        messages=messages,
        checkpoint_bytes=_checkpoint_bytes(spec, detector),
        seconds=seconds,
        peak_memory_bytes=memory,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "this CPU",
        is_measured=device.type == "cuda",
    )


@contextmanager
def _messages_that_go_nowhere(num_processes: int) -> Iterator[None]:
    """A group of so many processes, of which only this one is there: torch's own, for tests of programs."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=num_processes)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _build(
    spec: ExperimentSpec, part: DatasetPart, device: torch.device, num_processes: int
) -> tuple[Trainer, Detector]:
    detector = build_detector(spec, num_classes=len(part.annotations.class_names), trains=True)
    place_detector(detector, spec.run, device)
    loader = build_training_loader(spec, part, device, world=World(0, num_processes))
    return build_trainer(spec, detector, loader, device, learning_rate=0.0, stop_asked=never), detector


def _messages(counter: TrafficCounter, detector: nn.Module) -> StepMessages:
    """What was counted, the gradients' buckets apart."""
    trained = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    buckets = divide_into_buckets(trained, bucket_bytes=BUCKET_BYTES)
    gradient_bytes = tuple(
        sum(parameter.nbytes + parameter.element_size() for parameter in bucket) for bucket in buckets
    )
    traffic = counter.traffic()
    return StepMessages(
        num_small=traffic.num_collectives - len(buckets),
        small_bytes=traffic.num_bytes - sum(gradient_bytes),
        gradient_bytes=gradient_bytes,
    )


def _checkpoint_bytes(spec: ExperimentSpec, detector: nn.Module) -> int:
    """Weights, the optimiser's state, and an average where there is one."""
    weights = sum(int(tensor.nbytes) for tensor in detector.state_dict().values())
    trained = sum(parameter.nbytes for parameter in detector.parameters() if parameter.requires_grad)
    optimiser = spec.optimisation.optimiser
    copies = (1 if optimiser.momentum else 0) if isinstance(optimiser, SgdSpec) else 2
    return weights * (1 if spec.optimisation.ema is None else 2) + copies * trained

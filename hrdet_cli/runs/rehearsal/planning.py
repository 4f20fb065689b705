"""``hrdet train --rehearse``: a run over many processes, planned on one machine."""

from collections.abc import Generator, Mapping, Sequence

from hrdet_cli.engine.benchmarking.epoch_layout import EpochLayout, lay_out_epoch
from hrdet_cli.engine.benchmarking.rank_loads import rank_loads
from hrdet_cli.engine.benchmarking.step_model import Network, model_step
from hrdet_cli.engine.benchmarking.traffic import LATENCY_SECONDS
from hrdet_cli.engine.geometry import Size
from hrdet_cli.runs.anchor_advice import with_fitted_anchors
from hrdet_cli.runs.build.steps import build_steps
from hrdet_cli.runs.dataset.opening import DataNeeds, open_training_data
from hrdet_cli.runs.device import select_device
from hrdet_cli.runs.planning import make_plan
from hrdet_cli.runs.progress import WorkProgress
from hrdet_cli.runs.rehearsal.measurement import Tried, try_steps
from hrdet_cli.runs.rehearsal.rehearsal import (
    Checkpoints,
    Computing,
    Modelled,
    Rehearsal,
    Shape,
    hours_of,
    num_kept_checkpoints,
)
from hrdet_cli.specs.loading import LoadedSpec

PUBLISHED = tuple(
    Network(f"{name}, published latency", latency, None) for name, latency in LATENCY_SECONDS.items()
)
"""What is taken where nobody says what the network is like."""


def rehearse(
    loaded: LoadedSpec, shape: Shape, *, networks: Sequence[Network], rate: float | None
) -> Generator[WorkProgress, None, Rehearsal]:
    """Plan a run for machines that are not there.

    Args:
        loaded: The experiment; its number of pictures a process must be known.
        shape: The machines.
        networks: What may connect them.
        rate: Pictures a second that one of their GPUs trains by itself; None takes this machine's device.

    Yields:
        How far it is.

    Raises:
        HrdetError: The run could not start: spec, data, or a step that does not fit into memory.
    """
    num_processes = shape.num_processes
    num_pictures = loaded.spec.data.num_pictures_per_process
    yield WorkProgress("reading annotations")
    data = open_training_data(loaded.spec.data, DataNeeds.of(loaded.spec.model.head))
    train = data.train
    plan = make_plan(loaded, data, num_processes=num_processes)
    spec = with_fitted_anchors(loaded.spec, train.annotations)
    yield WorkProgress("laying out an epoch")
    steps = build_steps(spec, train.annotations, num_processes=num_processes)
    layout = lay_out_epoch(steps, num_processes=num_processes)
    yield WorkProgress("trying steps of one process")
    device = select_device(spec.run)
    tried = try_steps(spec, train, device, layout, num_processes=num_processes)
    num_batches = spec.optimisation.accumulate_steps
    seconds = tried.seconds if rate is None else seconds_at(rate, layout, num_batches=num_batches)
    modelled = []
    for network in networks or PUBLISHED:
        step = model_step(layout, seconds, tried.messages, network)
        modelled.append(Modelled(network, step, hours_of(step.total, plan)))
    return Rehearsal(
        shape=shape,
        plan=plan,
        layout=layout,
        loads=rank_loads(layout),
        messages=tried.messages,
        computing=_computing(tried, seconds, rate, num_pictures),
        modelled=tuple(modelled),
        checkpoints=Checkpoints(
            tried.checkpoint_bytes,
            num_kept_checkpoints(
                spec, is_evaluated=plan.val is not None and spec.evaluation.every_num_epochs > 0
            ),
        ),
    )


def seconds_at(rate: float, layout: EpochLayout, *, num_batches: int) -> Mapping[Size, float]:
    """Seconds of a step with its batches on each canvas, where an epoch has so many pictures a second."""
    counts = layout.count_by_canvas
    mean_pixels = sum(canvas.num_pixels * count for canvas, count in counts.items()) / sum(counts.values())
    per_pixel = num_batches * layout.num_pictures / rate / mean_pixels
    return {canvas: per_pixel * canvas.num_pixels for canvas in counts}


def _computing(
    tried: Tried, seconds: Mapping[Size, float], rate: float | None, num_pictures: int
) -> Computing:
    if rate is not None:
        source = f"{rate:g} pictures a second, as given, in proportion to the pixels of its canvas"
    elif tried.is_measured:
        source = f"measured on {tried.device}"
    else:
        source = (
            f"told from two small steps on {tried.device}, in proportion to pixels, which says nothing of a "
            "GPU; --rate gives what one of the GPUs trains by itself, as hrdet benchmark-pad measures"
        )
    memory = (
        f"of the largest step, measured on {tried.device}"
        if tried.is_measured
        else f"of the largest step on {tried.device}, told from two small ones; a GPU takes another amount"
    )
    largest = max(seconds, key=lambda canvas: canvas.num_pixels)
    return Computing(
        seconds=seconds[largest],
        source=source,
        peak_memory_bytes=tried.peak_memory_bytes,
        memory_source=f"{memory}, with {num_pictures} pictures",
    )

"""``hrdet benchmark-syncbn``: what SyncBN's back ends send, how long a step takes, and how exact it is."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, get_args

import torch

from hrdet_cli.engine.benchmarking.processes import run_in_processes
from hrdet_cli.engine.benchmarking.sync_norm import (
    BackEndMeasurement,
    WorkloadMeasurement,
    measure_back_ends,
)
from hrdet_cli.engine.benchmarking.traffic import LATENCY_SECONDS, waiting_seconds
from hrdet_cli.engine.benchmarking.workload import NETWORK_NAMES, SIDE_DIVISOR_PIXELS, Workload
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.norm.back_ends import NormBackEnd, require_back_end
from hrdet_cli.engine.visualisation.gradient_cosine import CosinePanel, draw_gradient_cosine
from hrdet_cli.errors import SpecError
from hrdet_cli.runs.output_files import refuse_unwritable_file, save_picture

SIZES_BY_NAME = {
    "equal": (Size(160, 256),),
    # The scales 1000x600, 1600x1000 and 1333x800 of the 2019 recipe, divided by 6.25 and padded to 32.
    "mixed": (Size(96, 160), Size(160, 256), Size(128, 224)),
}
_MIN_SIDE_PIXELS = 64  # or a plain BatchNorm would see a single pixel at stride 32


@dataclass(frozen=True, slots=True)
class NamedSizes:
    """Sizes of the processes' pictures, in words and in pixels; processes take them in turn."""

    name: str
    sizes: tuple[Size, ...]

    def of_processes(self, num_processes: int) -> tuple[Size, ...]:
        """One for each process."""
        return tuple(islice(cycle(self.sizes), num_processes))


@dataclass(frozen=True, slots=True)
class SyncNormPlan:
    """What to measure, checked: everything in it can be run on this machine."""

    network: str
    device_type: str
    nums_processes: tuple[int, ...]
    sizes: tuple[NamedSizes, ...]
    back_ends: tuple[NormBackEnd, ...]
    num_steps: int


@dataclass(frozen=True, slots=True)
class SyncNormSection:
    """All back ends with one number of processes and one choice of sizes."""

    sizes_name: str
    measured: WorkloadMeasurement

    @property
    def num_processes(self) -> int:
        """How many processes, with one picture each."""
        return len(self.measured.workload.sizes)

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "processes": self.num_processes,
            "sizes": self.sizes_name,
            "pictures": [str(size) for size in self.measured.workload.sizes],
            "computation_seconds": asdict(self.measured.computation),
            "back_ends": [
                asdict(measurement)
                | {
                    "lowest_cosine": measurement.deviation.lowest_cosine,
                    "modelled_step_seconds": {
                        connection: self.measured.computation.median + waiting
                        for connection, waiting in modelled_waiting(measurement).items()
                    },
                }
                for measurement in self.measured.back_ends
            ],
        }


@dataclass(frozen=True, slots=True)
class SyncNormComparison:
    """The report."""

    plan: SyncNormPlan
    sections: tuple[SyncNormSection, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "network": self.plan.network,
            "device": self.plan.device_type,
            "steps": self.plan.num_steps,
            "sections": [section.to_json() for section in self.sections],
        }


def modelled_waiting(measurement: BackEndMeasurement) -> dict[str, float]:
    """Seconds that a step's messages would take, by the name of the connection."""
    num_collectives = measurement.forward.num_collectives + measurement.backward.num_collectives
    return {
        connection: waiting_seconds(num_collectives, latency_seconds=latency)
        for connection, latency in LATENCY_SECONDS.items()
    }


def plan_comparison(
    *,
    network: str,
    device: str,
    nums_processes: Sequence[int],
    sizes: Sequence[str],
    back_ends: Sequence[str],
    num_steps: int,
    out: Path | None,
) -> SyncNormPlan:
    """Check what the user asks for before anything is started.

    Args:
        network: Name of a network.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``: GPUs where there are two or more.
        nums_processes: Numbers of processes; empty stands for two, or as many as there are GPUs.
        sizes: ``"equal"``, ``"mixed"``, or sizes such as ``"256x160,160x96"``, which processes take in turn.
        back_ends: Empty stands for all that run on the device.
        num_steps: Timed steps of each back end.
        out: Where the picture will go.

    Raises:
        SpecError: With every problem found.
        OutputError: ``out`` cannot be written.
    """
    problems = []
    if network not in NETWORK_NAMES:
        problems.append(f"--network: there is no '{network}'; choose from {', '.join(NETWORK_NAMES)}")
    if device not in ("auto", "cpu", "cuda"):
        problems.append(f"--device: '{device}' is none of auto, cpu and cuda")
    num_gpus = torch.cuda.device_count()
    device_type = "cuda" if device == "cuda" or (device == "auto" and num_gpus > 1) else "cpu"
    problems += [
        f"--processes {number}: each needs a GPU, and torch sees {num_gpus}; start fewer, or set --device cpu"
        for number in nums_processes or (1,)
        if device_type == "cuda" and number > num_gpus
    ]
    checked_sizes = tuple(_parse_sizes(text, problems) for text in sizes)
    checked_back_ends = _choose_back_ends(back_ends, torch.device(device_type), problems)
    if out is not None and out.suffix.lower() != ".png":
        problems.append(f"--out: '{out}' must end in .png")
    if problems:
        raise SpecError(problems)
    if out is not None:
        refuse_unwritable_file(out, option="--out")
    return SyncNormPlan(
        network=network,
        device_type=device_type,
        nums_processes=tuple(nums_processes) or (num_gpus if device_type == "cuda" else 2,),
        sizes=checked_sizes,
        back_ends=checked_back_ends,
        num_steps=num_steps,
    )


def compare_back_ends(plan: SyncNormPlan) -> SyncNormComparison:
    """Start the processes and measure.

    Raises:
        LostProcessError: A process failed.
    """
    sections = []
    for num_processes in plan.nums_processes:
        work = partial(
            measure_back_ends,
            workloads=[Workload(plan.network, sizes.of_processes(num_processes)) for sizes in plan.sizes],
            back_ends=plan.back_ends,
            num_steps=plan.num_steps,
        )
        measured = run_in_processes(work, num_processes=num_processes, device_type=plan.device_type)
        sections += [
            SyncNormSection(sizes.name, measurement)
            for sizes, measurement in zip(plan.sizes, measured, strict=True)
        ]
    return SyncNormComparison(plan, tuple(sections))


def save_cosines(comparison: SyncNormComparison, path: Path) -> None:
    """Draw the cosine to the exact gradient by layer: a panel for each section, a line for each back end.

    Raises:
        OutputError: The picture cannot be written.
    """
    panels = [
        CosinePanel(
            title=f"{section.num_processes} processes, {section.sizes_name} sizes",
            note=", ".join(map(str, section.measured.workload.sizes)),
            cosines_by_name={
                measurement.back_end: tuple(measurement.deviation.cosine_by_layer.values())
                for measurement in section.measured.back_ends
            },
        )
        for section in comparison.sections
    ]
    layers = tuple(comparison.sections[0].measured.back_ends[0].deviation.cosine_by_layer)
    save_picture(draw_gradient_cosine(panels, network=comparison.plan.network, layers=layers), path)


def _parse_sizes(text: str, problems: list[str]) -> NamedSizes:
    """A preset of sizes, or those that are given; adds to the problems what is wrong."""
    if text in SIZES_BY_NAME:
        return NamedSizes(text, SIZES_BY_NAME[text])
    if re.fullmatch(r"\d+x\d+(,\d+x\d+)*", text) is None:
        names = ", ".join(SIZES_BY_NAME)
        problems.append(f"--sizes: '{text}' is neither one of {names} nor sizes such as 256x160,160x96")
        return NamedSizes(text, ())
    edges = [tuple(map(int, part.split("x"))) for part in text.split(",")]
    problems += [
        f"--sizes: {width}x{height} must have sides that are multiples of {SIDE_DIVISOR_PIXELS}, and at "
        f"least {_MIN_SIDE_PIXELS} pixels"
        for width, height in edges
        if width % SIDE_DIVISOR_PIXELS
        or height % SIDE_DIVISOR_PIXELS
        or min(width, height) < _MIN_SIDE_PIXELS
    ]
    return NamedSizes("given", tuple(Size(height, width) for width, height in edges))


def _choose_back_ends(
    names: Sequence[str], device: torch.device, problems: list[str]
) -> tuple[NormBackEnd, ...]:
    """The back ends that were asked for, or all that can be had; adds to the problems what is wrong."""
    known: tuple[NormBackEnd, ...] = get_args(NormBackEnd)
    unknown = [name for name in names if name not in known]
    problems += [f"--back-end: there is no '{name}'; choose from {', '.join(known)}" for name in unknown]
    chosen: list[NormBackEnd] = []
    for back_end in known:
        if names and back_end not in names:
            continue
        try:
            require_back_end(back_end, device)
            chosen.append(back_end)
        except SpecError as error:
            problems += [_as_option(problem) for problem in error.problems if names]
    return tuple(chosen)


def _as_option(problem: str) -> str:
    """What is said of a spec's setting, said of the option."""
    return problem.replace("norm.back_end: ", "--back-end: ").replace("norm.back_end=", "--back-end ")

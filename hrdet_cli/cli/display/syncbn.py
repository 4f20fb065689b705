"""A comparison of SyncBN's back ends as tables."""

from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hrdet_cli.cli.display.console import plain_table
from hrdet_cli.engine.benchmarking.sync_norm import StepSeconds
from hrdet_cli.engine.benchmarking.traffic import LATENCY_SECONDS
from hrdet_cli.runs.benchmark_syncbn import SyncNormComparison, SyncNormSection, modelled_waiting


def draw_comparison(comparison: SyncNormComparison) -> RenderableType:
    """What is sent, by number of processes; then what came out, by sizes."""
    plan = comparison.plan
    head = f"{plan.network} on {plan.device_type}, one picture a process; a step goes forward and backward"
    parts: list[RenderableType] = [Text(head, style="dim")]
    for num_processes, sections in groupby(comparison.sections, key=lambda section: section.num_processes):
        members = list(sections)
        parts += [
            Text(),
            _title(
                f"{num_processes} processes", "messages of a step, and the ms they would add to it (a model)"
            ),
            _draw_messages(members[0]),
        ]
        for section in members:
            pictures = ", ".join(map(str, section.measured.workload.sizes))
            parts += [
                Text(),
                _title(f"{num_processes} processes, {section.sizes_name} sizes", pictures),
                _draw_outcome(section),
            ]
    notes = (
        f"times: medians of {plan.num_steps} steps in float32, back ends in turn",
        "errors: relative, in float64, against one process that holds all pictures;",
        "lowest cosine: between gradient and exact gradient, of the worst layer",
    )
    return Group(*parts, Text(), *(Text(note, style="dim") for note in notes))


def _draw_messages(section: SyncNormSection) -> Table:
    latencies = [f"{name} {seconds * 1e6:.0f} µs" for name, seconds in LATENCY_SECONDS.items()]
    table = _table("back end", "forward", "backward", "kB", *latencies)
    for measurement in section.measured.back_ends:
        forward, backward = measurement.forward, measurement.backward
        table.add_row(
            measurement.back_end,
            str(forward.num_collectives),
            str(backward.num_collectives),
            f"{(forward.num_bytes + backward.num_bytes) / 1000:.0f}",
            *(f"+{seconds * 1000:.1f}" for seconds in modelled_waiting(measurement).values()),
        )
    return table


def _draw_outcome(section: SyncNormSection) -> Table:
    table = _table("back end", "step ms", "least-most", "loss error", "gradient error", "lowest cosine")
    table.add_row("(plain BatchNorm)", *_format_seconds(section.measured.computation), "", "", "")
    for measurement in section.measured.back_ends:
        deviation = measurement.deviation
        table.add_row(
            measurement.back_end,
            *_format_seconds(measurement.seconds),
            _format_error(deviation.loss),
            _format_error(deviation.gradient),
            f"{deviation.lowest_cosine:.3f}",
        )
    return table


def _table(first: str, *headings: str) -> Table:
    table = plain_table()
    table.add_column(first, style="cyan", min_width=len("(plain BatchNorm)"))
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _title(name: str, note: str) -> Text:
    return Text.assemble((name, "bold"), f": {note}")


def _format_seconds(seconds: StepSeconds) -> list[str]:
    least, middle, most = (f"{value * 1000:.0f}" for value in (seconds.least, seconds.median, seconds.most))
    return [middle, f"{least}-{most}"]


def _format_error(error: float) -> str:
    """Two digits, and no exponent where the error is large."""
    return f"{error:.2f}" if error >= 0.01 else f"{error:.0e}"

"""The plan of a run as tables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from hrdet_cli.cli.display.console import plain_table, print_line, shown_path
from hrdet_cli.cli.display.named_rows import NamedRows
from hrdet_cli.runs.anchor_advice import LEAST_GAIN, AnchorAdvice
from hrdet_cli.runs.plan import Plan
from hrdet_cli.runs.plan_facts import describe_plan
from hrdet_cli.runs.run_time.known_time import RunTime
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.keys import value_at
from hrdet_cli.specs.yaml_text import in_line
from hrdet_cli.wording import format_duration

_FEWEST_COLUMNS = 100
"""Of a screen on which keys, which are never cut, leave room for values and what set them."""


def print_plan(
    plan: Plan,
    spec: ExperimentSpec,
    console: Console,
    *,
    anchors: AnchorAdvice | None = None,
    time: str | None = None,
) -> None:
    """Print what a run will do, what is likely to go wrong, and which layer set each value.

    Args:
        plan: The run in numbers.
        spec: The experiment.
        console: Where to print.
        anchors: What fits the boxes; None where there is nothing to say of anchors.
        time: How long it takes, in words; None says nothing of it.
    """
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for name, value in describe_plan(plan, spec, show_path=shown_path):
        facts.add_row(name, value)
    if anchors is not None:
        facts.add_row("anchors", describe_anchors(anchors))
    if time is not None:
        facts.add_row("time", time)
    console.print(facts)
    console.print()
    for note in plan.notes:
        print_line(console, Text.assemble(("note: ", "yellow"), note.text))
    if plan.notes:
        console.print()
    console.print(_draw_sources(plan, spec, console.width))


def describe_anchors(advice: AnchorAdvice) -> str:
    """What boxes have of the anchors, and what chooses better ones, where these are worth a word."""
    reach = f"of the boxes reach an IoU of {advice.positive_iou:g}"
    taken = advice.present or advice.found or advice.fitted
    recall = taken.recall
    text = f"{'auto: ' if advice.found else ''}{taken.shapes}; {recall:.1%} {reach}"
    for choice in (advice.fitted, advice.by_level):
        if choice is not None and choice.recall >= recall + LEAST_GAIN:
            text, recall = f"{text}, {choice.recall:.1%} with {choice.options}", choice.recall
    return text


def describe_time(time: RunTime | None, plan: Plan, runs: Path) -> str:
    """How long a run takes and by what that is known, or how to get to know it.

    Args:
        time: None where nothing is known.
        plan: Of the run.
        runs: Where records were looked for.
    """
    if time is not None:
        amount = "at most" if time.is_most else "about"
        return f"{amount} {format_duration(time.seconds)}, evaluation not counted: {time.basis}"
    if plan.finds_batch_size:
        return "not known before the pictures of a step are; give data.batch_size_per_process a number"
    return (
        f"not known: no such steps are on record in {shown_path(runs)}. hrdet benchmark-pad with these "
        f"options and --out {shown_path(runs / 'padding')} measures them; --rate N counts with N pictures a "
        "second of a process"
    )


def _draw_sources(plan: Plan, spec: ExperimentSpec, width: int) -> RenderableType:
    """The layer that set each value that is not a default, for a screen of so many columns."""
    values = spec.model_dump(mode="json")
    rows = [
        (inner, value, source)
        for key, source in sorted(plan.sources.items())
        for inner, value in _parts_of(key, value_at(values, key))
        if inner == key or inner not in plan.sources
    ]
    headings = ("key", "value", "set by")
    if width < _FEWEST_COLUMNS:
        return NamedRows(headings, rows)
    sources = plain_table()
    for heading, style in zip(headings, ("cyan", "", "dim"), strict=True):
        sources.add_column(heading, style=style, overflow="fold", no_wrap=heading == "key")
    for row in rows:
        sources.add_row(*row)
    return sources


def _parts_of(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """A value, or what is set in each section of a list of them."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            for name, inner in item.items():
                if inner is not None:
                    yield f"{key}.{number}.{name}", in_line(inner)
    else:
        yield key, "{}" if isinstance(value, dict) else in_line(value)

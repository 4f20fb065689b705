"""The plan of a run as tables."""

from functools import reduce
from operator import getitem

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hrdet_cli.cli.display.console import print_line, shown_path
from hrdet_cli.runs.anchor_advice import AnchorAdvice
from hrdet_cli.runs.plan import Plan
from hrdet_cli.runs.plan_facts import describe_plan
from hrdet_cli.specs.experiment import ExperimentSpec

_LEAST_GAIN = 0.05
"""In the anchors' recall: less is not worth other anchors than those that weights were trained with."""


def print_plan(
    plan: Plan, spec: ExperimentSpec, console: Console, *, anchors: AnchorAdvice | None = None
) -> None:
    """Print what a run will do, what is likely to go wrong, and which layer set each value.

    Args:
        plan: The run in numbers.
        spec: The experiment.
        console: Where to print.
        anchors: What fits the boxes; None where there is nothing to say of anchors.
    """
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column()
    for name, value in describe_plan(plan, spec, show_path=shown_path):
        facts.add_row(name, value)
    if anchors is not None:
        facts.add_row("anchors", describe_anchors(anchors))
    console.print(facts)
    console.print()
    for note in plan.notes:
        print_line(console, Text.assemble(("note: ", "yellow"), note.text))
    if plan.notes:
        console.print()
    console.print(_draw_sources(plan, spec))


def describe_anchors(advice: AnchorAdvice) -> str:
    """What boxes have of the anchors, and what chooses better ones, where these are worth a word."""
    fitted, present = advice.fitted, advice.present
    reach = f"of the boxes reach an IoU of {advice.positive_iou:g}"
    if present is None:
        return f"auto: {fitted.shapes}; {fitted.recall:.1%} {reach}"
    text = f"{present.shapes}; {present.recall:.1%} {reach}"
    if fitted.recall < present.recall + _LEAST_GAIN:
        return text
    return f"{text}, {fitted.recall:.1%} with {fitted.options}"


def _draw_sources(plan: Plan, spec: ExperimentSpec) -> Table:
    """The layer that set each value that is not a default."""
    sources = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    sources.add_column("key", style="cyan", no_wrap=True)
    sources.add_column("value", overflow="fold")
    sources.add_column("set by", style="dim", overflow="fold")
    values = spec.model_dump(mode="json")
    for key, source in sorted(plan.sources.items()):
        value = reduce(getitem, key.split("."), values)
        sources.add_row(key, "{}" if isinstance(value, dict) else str(value), source)
    return sources

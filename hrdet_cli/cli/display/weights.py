"""Weights as a table."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hrdet_cli.engine.weights.loading import describe_architecture, describe_misfits
from hrdet_cli.runs.weights.inspection import Fit, Inspection
from hrdet_cli.wording import counted, first_and_count, first_few

_NUM_NAMES_SHOWN = 6


def draw_inspection(inspection: Inspection) -> RenderableType:
    """What weights are, and how they fit."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("weights", inspection.source)
    facts.add_row("written by", inspection.writer)
    facts.add_row("head", inspection.head or "none: a backbone alone")
    facts.add_row("backbone", inspection.backbone or "none that hrdet has")
    if inspection.num_classes is not None:
        facts.add_row("classes", _classes(inspection))
    if inspection.background is not None:
        facts.add_row("background", f"{inspection.background} row of the classifier")
    dtypes = ", ".join(f"{count} {dtype}" for dtype, count in inspection.num_tensors_by_dtype.items())
    facts.add_row("tensors", f"{inspection.num_tensors} ({dtypes})")
    facts.add_row("parameters", f"{inspection.num_parameters / 1e6:.2f} M")
    if inspection.state_dict_key is not None:
        others = f", not {first_few(inspection.other_state_dicts)}" if inspection.other_state_dicts else ""
        facts.add_row("state dict", f"{inspection.state_dict_key}{others}")
    if inspection.impossible_values:
        what = f"NaN, infinity or a negative variance: {first_and_count(inspection.impossible_values)}"
        facts.add_row("unusable", Text(f"{what}; no command takes them", style="red"))
    if inspection.entries:
        facts.add_row("entries", ", ".join(inspection.entries))
    facts.add_row("likely preset", inspection.likely_preset or "none")
    if inspection.fit is None:
        return facts
    return Group(facts, Text(), *_fit(inspection.fit))


def _classes(inspection: Inspection) -> str:
    names = inspection.class_names
    if names is None:
        return f"{inspection.num_classes}, without names"
    shown = first_few(names, _NUM_NAMES_SHOWN)
    return (
        f"{inspection.num_classes}{' (by their number COCO)' if inspection.names_are_coco else ''}: {shown}"
    )


def _fit(fit: Fit) -> Iterator[Text]:
    report = fit.report
    matching = counted(len(report.matched), "tensor matches", "tensors match")
    if report.fits:
        yield Text(f"fits {fit.spec_name}: {matching}", style="green")
    else:
        yield Text(f"does not fit {fit.spec_name}: {matching}", style="red")
        for misfit in (*describe_misfits(report), *describe_architecture(report)):
            yield Text(f"  {misfit}")
    if report.surplus:
        yield Text(
            f"  {len(report.surplus)} more are not needed (classifier of ImageNet, counters)", style="dim"
        )
    for sentence in fit.contradictions:
        yield Text(f"but {sentence}", style="yellow")

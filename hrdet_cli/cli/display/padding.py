"""A comparison of padding policies as a table of at most 80 columns."""

from rich.console import Group, RenderableType
from rich.text import Text

from hrdet_cli.cli.display.console import plain_table
from hrdet_cli.runs.benchmark_pad.comparison import (
    PaddingComparison,
    PolicyCost,
    Rate,
    advise,
    format_hours,
    rule_of,
)


def draw_comparison(comparison: PaddingComparison) -> RenderableType:
    """A row for each policy, what its columns mean, and which to take."""
    costs = comparison.costs
    with_training = costs[0].training is not None
    table = plain_table()
    table.add_column("policy", style="cyan", no_wrap=True)
    headings = ["useful", "shapes", "imbal.", "data/s"]
    if with_training:
        headings += ["train/s", "spread", "GiB", "h/epoch"]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for cost in costs:
        table.add_row(*_row(cost))
    notes = "\n".join(_notes(comparison, with_training=with_training))
    head = Text(comparison.conditions, style="dim")
    return Group(head, table, Text(notes, style="dim"), Text(), _draw_advice(costs))


def _row(cost: PolicyCost) -> list[str]:
    cells = [
        cost.policy.name + (" *" if cost.policy.is_own else ""),
        f"{cost.useful_pixel_share:.1%}",
        str(len(cost.canvas_shares)),
        f"{cost.imbalance:.2f}",
        _format_rate(cost.data_rate.median),
    ]
    if cost.training is not None:
        cells += [
            _format_rate(cost.training.rate.median),
            _format_range(cost.training.rate),
            f"{cost.training.peak_memory_bytes / 2**30:.1f}",
            format_hours(cost.training.hours_per_epoch) + ("d" if cost.training.is_data_bound else ""),
        ]
    return cells


def _notes(comparison: PaddingComparison, *, with_training: bool) -> list[str]:
    """What the columns mean, as far as they are there."""
    count = comparison.num_imbalanced
    imbalance = f"largest over mean pixels of {count} processes in a step"
    if count != comparison.num_processes:
        imbalance = f"largest over mean pixels, if {count} processes shared a step"
    notes = [
        "* the spec's own. useful: pixels of pictures, not of padding. shapes: canvases",
        f"imbal.: {imbalance}",
        "data/s: pictures that one worker reads",
    ]
    if not with_training:
        return notes
    notes[-1] += "; train/s: in one process, forward, backward, update"
    notes.append("spread: its least and most; GiB: of the largest step with the most boxes")
    if comparison.num_workers:
        notes.append("h/epoch: the slowest process of each step, summed; or, with a d, the reading by")
        notes.append(f"{comparison.num_workers} workers of each process, where that takes longer")
    else:
        notes.append("h/epoch: the slowest process of each step and its reading, summed: no workers")
    return notes


def _draw_advice(costs: tuple[PolicyCost, ...]) -> RenderableType:
    advice = advise(costs)
    policy = advice.cost.policy
    verb = "keep" if policy.is_own else "take"
    line = Text.assemble((f"{verb} {policy.name}", "bold"), f": {advice.reason}")
    if not policy.is_own:
        line.append(f"\n{policy.options}", style="cyan")
    return Group(line, Text(f"rule: {rule_of(costs)}", style="dim"))


def _format_rate(rate: float) -> str:
    """Three digits, or all before the point."""
    return f"{rate:.0f}" if rate >= 100 else f"{rate:#.3g}"


def _format_range(rate: Rate) -> str:
    return "-" if rate.ends is None else "-".join(map(_format_rate, rate.ends))

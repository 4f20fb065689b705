"""A rehearsal as tables."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hrdet_cli.cli.display.console import plain_table
from hrdet_cli.runs.rehearsal.rehearsal import Modelled, Rehearsal, least_and_most
from hrdet_cli.wording import counted, format_duration


def draw_rehearsal_tables(rehearsal: Rehearsal) -> RenderableType:
    """What is planned, a row for each network, and what the figures rest on."""
    return Group(
        _facts(rehearsal),
        Text(),
        _networks(rehearsal),
        Text(),
        *(Text(f"assumed: {assumption}", style="dim") for assumption in rehearsal.assumptions),
    )


def _facts(rehearsal: Rehearsal) -> Table:
    plan, messages = rehearsal.plan, rehearsal.messages
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column()
    nodes = counted(rehearsal.shape.num_nodes, "node")
    facts.add_row("processes", f"{rehearsal.shape.num_processes} on {nodes}")
    facts.add_row("pictures a step", f"{plan.batch_size}, learning rate {plan.learning_rate:g}")
    facts.add_row("steps", f"{plan.num_steps} ({plan.steps_per_epoch} an epoch)")
    facts.add_row("useful pixels", f"{rehearsal.layout.useful_pixel_share:.1%} of an epoch")
    facts.add_row("imbalance", f"{rehearsal.layout.imbalance:.2f}: largest over mean pixels of a step")
    for name, words in (("num_pixels", "pixels"), ("num_boxes", "boxes")):
        least, most = least_and_most(rehearsal.loads, name)
        facts.add_row(
            f"{words} of an epoch",
            f"{getattr(least, name):,} (rank {least.rank}) to {getattr(most, name):,} (rank {most.rank})",
        )
    _, fullest = least_and_most(rehearsal.loads, "most_boxes")
    facts.add_row("fullest batch", f"{fullest.most_boxes} boxes, of rank {fullest.rank}")
    facts.add_row("memory", f"{rehearsal.computing.peak_memory_bytes / 2**30:.1f} GiB of a process")
    facts.add_row(
        "messages a step",
        f"{messages.num_small} small ones, {messages.small_bytes / 1e6:.2f} MB together; gradients in "
        f"{len(messages.gradient_bytes)} of {sum(messages.gradient_bytes) / 1e6:.1f} MB together",
    )
    kept = rehearsal.checkpoints
    facts.add_row(
        "checkpoints",
        f"{kept.num_bytes / 2**20:.0f} MiB each, {kept.num_kept} at the end: "
        f"{kept.num_kept * kept.num_bytes / 2**30:.1f} GiB",
    )
    return facts


def _networks(rehearsal: Rehearsal) -> Table:
    table = plain_table()
    table.add_column("network", style="cyan")
    for heading in ("computing", "imbalance", "messages", "gradients", "step", "efficiency", "run"):
        table.add_column(heading, justify="right", no_wrap=True)
    for modelled in rehearsal.modelled:
        table.add_row(modelled.network.name, *_cells(modelled))
    return table


def _cells(modelled: Modelled) -> list[str]:
    step = modelled.step
    unknown = step.gradients is None
    at_least = "> " if unknown else ""
    return [
        f"{step.computing:.3f} s",
        f"{step.imbalance:.3f} s",
        f"{step.messages:.3f} s",
        "unknown" if step.gradients is None else f"{step.gradients:.3f} s",
        f"{at_least}{step.total:.3f} s",
        f"{'< ' if unknown else ''}{step.efficiency:.0%}",
        f"{at_least}{format_duration(3600 * modelled.hours)}",
    ]

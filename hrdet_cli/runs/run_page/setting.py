"""What a run was told and where it ran: plan, notes, spec, launches."""

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from hrdet_cli.pages.blocks import Block, Cell, Column, Details, Facts, Items, Listing, Table, Text
from hrdet_cli.runs.plan_facts import describe_plan
from hrdet_cli.runs.run_page.story import Launch, RunStory
from hrdet_cli.specs.yaml_text import shown
from hrdet_cli.wording import command, counted

_MOST_NAMED = 100
"""Of pictures with a fault; more are counted."""


def ending_blocks(story: RunStory, *, holder: str | None) -> Iterator[Text]:
    """Whether the run goes on, or came to another end than that all was trained.

    Args:
        story: What is on record.
        holder: Which process trains in its folder now; None where none does.
    """
    ended = story.record.ended
    whole = "" if story.num_steps is None else f" of {story.num_steps:,}"
    if holder is not None:
        yield Text(f"A run goes on here: {holder}. This is how far it was.", "note")
    elif ended is not None and ended.how == "stopped":
        resume = command("hrdet", "train", "--resume", "--run-dir", story.folder.path)
        yield Text(f"Stopped after step {ended.step:,}{whole}. It goes on with: {resume}", "note")
    elif ended is not None and ended.how == "failed":
        yield Text(f"Ended with an error after step {ended.step:,}{whole}:\n{ended.error}", "note")


def plan_blocks(story: RunStory) -> Iterator[Block]:
    """What the run was to do, by its last launch."""
    plan = story.plan
    if plan is not None and story.spec is not None:
        yield Facts(list(describe_plan(plan, story.spec)))
    elif story.launches:
        yield Text(
            "The plan was written by another version of hrdet, or spec.yaml is missing or damaged.", "remark"
        )
        yield Details("the plan as it is on record", [Listing(json.dumps(story.launches[-1].plan, indent=2))])
    else:
        yield Text("run.json is missing or damaged, so nobody says what was planned.", "remark")


def note_blocks(story: RunStory) -> Iterator[Block]:
    """What went on that the user should know; nothing where all went well."""
    plan = story.plan
    planned = [note.text for note in plan.notes] if plan is not None else []
    notes = list(dict.fromkeys([*planned, *story.notes]))
    if story.history is not None and story.history.num_damaged_lines:
        damaged = counted(story.history.num_damaged_lines, "line")
        notes.append(f"{damaged} of {story.folder.metrics_file.name} cannot be read and are left out here")
    yield from (Text(note, "note") for note in notes)
    record = story.record
    for what, reason_by_name in (
        ("that could not be read, so that others took their places", record.broken_pictures),
        ("with damaged pixels, trained on as far as decoded", record.damaged_pictures),
    ):
        if reason_by_name:
            named = [f"{name}: {reason}" for name, reason in list(reason_by_name.items())[:_MOST_NAMED]]
            more = len(reason_by_name) - len(named)
            items = [*named, *([f"and {more:,} more, which run.json names"] if more else [])]
            yield Details(f"{counted(len(reason_by_name), 'picture')} {what}", [Items(items)])


def spec_blocks(story: RunStory) -> Iterator[Block]:
    """The values that are no defaults with the layer that set each, and the whole spec."""
    if story.spec is None:
        yield Text("spec.yaml is missing or damaged; hrdet train --resume writes it again.", "remark")
        return
    values = story.spec.values_by_key()
    sources = story.sources
    rows: list[list[str | Cell]] = [
        [key, Cell(shown(values[key]), hint=_whole(values[key])), source]
        for key, source in sorted(sources.items(), key=_own_first)
        if key in values
    ]
    if rows:
        columns = [Column("key", "code"), Column("value", "code"), Column("set by")]
        note = "All other values are defaults." if story.launches else ""
        yield Table("Values that a layer set", columns, rows, note, is_sortable=True)
    yield Details("the whole spec, as hrdet train --spec takes it", [Listing(story.spec_text, "spec.yaml")])


def launch_blocks(story: RunStory) -> Iterator[Block]:
    """Each start with its command and machine, and the versions of the last one."""
    if not story.launches:
        yield Text("run.json is missing or damaged, so nobody says where the run ran.", "remark")
        return
    columns = [Column("started"), Column("after step", "number"), Column("machine"), Column("device")]
    rows = [
        [_started(launch), f"{launch.first_step:,}", _machine(launch), _device(launch)]
        for launch in story.launches
    ]
    yield Table("Starts", columns, rows)
    last = story.launches[-1]
    yield from _commands(story.launches)
    versions = [(name, version or "not installed") for name, version in last.versions.items()]
    yield Facts([*versions, *_state(last)], "Versions, seed and memory of the last start")


def _own_first(source_of_key: tuple[str, str]) -> tuple[bool, str]:
    """An order in which what the user set comes before what presets did."""
    key, source = source_of_key
    return source.startswith("preset "), key


def _commands(launches: Sequence[Launch]) -> Iterator[Block]:
    texts = [
        f"cd {shlex.quote(launch.folder)}\n{shlex.join(['hrdet', *launch.command[1:]])}"
        for launch in launches
    ]
    yield Listing("\n\n".join(dict.fromkeys(texts)), "Commands")


def _state(launch: Launch) -> Iterator[tuple[str, str]]:
    if launch.git is not None:
        changed = ", with changes" if launch.git.get("changed") else ""
        yield "git commit of hrdet", f"{launch.git.get('commit', '')}{changed}"
    if launch.seed is not None:
        yield "seed", f"{launch.seed}"
    if launch.kernels:
        yield "kernels", launch.kernels
    step = launch.largest_step
    if step is not None and isinstance(step.get("peak_memory_bytes"), int):
        memory = step["peak_memory_bytes"] / 2**30
        yield "largest step", f"{step.get('canvas')}, {step.get('num_pictures')} pictures: {memory:.1f} GiB"


def _started(launch: Launch) -> str:
    return launch.started.replace("T", " ").replace("+00:00", " UTC")


def _machine(launch: Launch) -> str:
    hosts = list(dict.fromkeys(launch.hosts_by_rank)) or [launch.host]
    processes = counted(len(launch.hosts_by_rank), "process", "processes")
    return f"{', '.join(hosts)}: {processes}" if len(launch.hosts_by_rank) > 1 else hosts[0]


def _device(launch: Launch) -> str:
    return f"{launch.device} in {launch.precision}" if launch.precision else launch.device


def _whole(value: Any) -> str:
    """A value that its cell may cut short."""
    text = str(value)
    return text if len(text) > len(shown(value)) else ""

"""The plan of a run that goes on. Does not import torch."""

from dataclasses import replace

from hrdet_cli.runs.plan import Plan
from hrdet_cli.runs.run_folder import RunFolder


def as_resumed(plan: Plan, folder: RunFolder) -> Plan:
    """A plan with what a run keeps that has a checkpoint in its folder, and without what it was told already.

    Notes are of settings, most of which a run cannot change any more.
    """
    checkpoints, record = folder.checkpoints_newest_first(), folder.read_record()
    if not checkpoints:
        return plan
    plan = replace(plan, weights=str(checkpoints[0]), has_weights=True)
    if record is None:
        return plan
    kept, told = record.warmup_steps(), record.told_notes()
    return replace(
        plan,
        warmup_steps=plan.warmup_steps if kept is None else kept,
        notes=tuple(note for note in plan.notes if note.key not in told),
    )

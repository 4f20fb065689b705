"""The plan of a run that goes on. Does not import torch."""

from dataclasses import replace

from hrdet_cli.runs.plan import Plan
from hrdet_cli.runs.run_folder import RunFolder


def as_resumed(plan: Plan, folder: RunFolder) -> Plan:
    """The plan of a run that goes on from a checkpoint; as it is where its folder has none.

    It has the warm-up that the run keeps, and no note that the run was told word for word: most are of
    settings that it cannot change any more.

    Args:
        plan: As for a new run.
        folder: Of the run.
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
        notes=tuple(note for note in plan.notes if note.text not in told),
    )

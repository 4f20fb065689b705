"""Rules of the learning rate: warm-up, drops or a cosine, and what an epoch is."""

import math
from typing import Any

from hrdet_cli.specs.mmdetection.rules import (
    UNSET,
    Group,
    Known,
    NoCounterpartError,
    Rule,
    fixed,
    follows,
)

OPTIMISER = "optim_wrapper.optimizer"
REPEATS = "train_dataloader.RepeatDataset[].times"
IN_STEPS = "hrdet counts a run in epochs; set optimisation.num_epochs and schedule.drop_epochs"


def num_repeats(known: Known) -> int:
    """How often one of their epochs goes over the pictures."""
    return math.prod(int(times) for times in known.get(REPEATS) or [1])


def _drop_epochs(milestones: Any, by_epoch: Any, *, known: Known) -> Any:
    if by_epoch is False:
        raise NoCounterpartError(IN_STEPS)
    last = known.get("train_cfg.max_epochs")
    epochs = milestones if isinstance(milestones, list) else [milestones]
    if not isinstance(milestones, list) and last is not None and known.get("lr_config.step") is not None:
        epochs = list(range(milestones, last, milestones))
    return [epoch * num_repeats(known) for epoch in epochs]


def _milestones(milestones: Any, by_epoch: Any, begin: Any, *, known: Known) -> Any:
    """Drops of a scheduler, which counts epochs from where it begins.

    Where it ends does not count: mmdetection's own longer recipes end before their drops, by a slip.
    """
    return _drop_epochs([int(begin or 0) + epoch for epoch in milestones], by_epoch, known=known)


def _warmup_steps(end: Any, begin: Any, by_epoch: Any) -> int:
    if by_epoch is not False or begin:  # mmengine counts in epochs where it is not told
        raise NoCounterpartError("hrdet's warm-up is counted in steps, from the first one")
    return int(end)


def _given_warmup(steps: Any, kind: Any, by_epoch: Any) -> int:
    if kind is None:
        return 0
    if by_epoch:
        raise NoCounterpartError("hrdet's warm-up is counted in steps")
    return int(steps or 0)


def _given_shape(value: Any) -> Any:
    if value is None:
        return UNSET
    if value not in ("linear", "constant"):
        raise NoCounterpartError("hrdet's warm-up is linear or constant")
    return value


def _policy(value: Any) -> str:
    table = {"step": "steps", "CosineAnnealing": "cosine", "cosine": "cosine", "fixed": "constant"}
    if value not in table:
        raise NoCounterpartError("hrdet's rate falls in steps, along a cosine, or not at all")
    return table[value]


def _final_factor(least: Any, ratio: Any, *, known: Known) -> float:
    """Share of the rate that is left at the end, of either way to say it."""
    if ratio is not None:
        return float(ratio)
    return float(least) / float(known.get(f"{OPTIMISER}.lr")) if least else 0.0


def _whole_run(begin: Any, end: Any, half_period: Any, by_epoch: Any, *, known: Known) -> object:
    """A cosine must be that of all epochs; of steps nobody knows how many a run has."""
    last = known.get("train_cfg.max_epochs")
    ends = {end, half_period} - {None} if by_epoch is not False else set()
    if begin or (last is not None and ends - {last}):
        raise NoCounterpartError("hrdet's cosine goes from the first step to the last")
    return UNSET


_SCHEDULE = "optimisation.schedule"
_COSINE = "param_scheduler.CosineAnnealingLR"
_MULTI_STEP = "param_scheduler.MultiStepLR"
RATE = (
    *(
        Group(
            f"param_scheduler.{name}",
            (),
            (
                Rule(key, "optimisation.warmup_factor", absent=1 / 3),
                Rule("end begin by_epoch", "optimisation.warmup_steps", _warmup_steps, absent=None),
                fixed("end_factor", 1, why="the warm-up ends at the full rate"),
                *follows("type", "total_iters", "verbose", why="it is the warm-up"),
                *follows("convert_to_iter_based", why="the warm-up is counted in steps"),
            ),
            gives={"optimisation.warmup_shape": shape},
        )
        for name, key, shape in (("LinearLR", "start_factor", "linear"), ("ConstantLR", "factor", "constant"))
    ),
    Group(
        _MULTI_STEP,
        (),
        (
            Rule(
                "milestones by_epoch begin", f"{_SCHEDULE}.drop_epochs", _milestones, sees=True, absent=None
            ),
            Rule("gamma", f"{_SCHEDULE}.drop_factor", absent=0.1),
            *follows("type", "end", "verbose", why="drops are at milestones"),
        ),
        gives={f"{_SCHEDULE}.kind": "steps"},
    ),
    Group(
        _COSINE,
        (),
        (
            Rule("eta_min eta_min_ratio", f"{_SCHEDULE}.final_factor", _final_factor, sees=True, absent=None),
            Rule(
                "begin end T_max by_epoch", None, _whole_run, sees=True, why="the cosine is of the whole run"
            ),
            *follows("type", "verbose", "convert_to_iter_based", why="it is one"),
        ),
        gives={f"{_SCHEDULE}.kind": "cosine"},
    ),
    Group(
        "lr_config",
        (),
        (
            Rule("policy", f"{_SCHEDULE}.kind", _policy),
            Rule("warmup", "optimisation.warmup_shape", _given_shape),
            Rule(
                "warmup_iters warmup warmup_by_epoch", "optimisation.warmup_steps", _given_warmup, absent=None
            ),
            Rule("warmup_ratio", "optimisation.warmup_factor", absent=0.1),
            Rule("step by_epoch", f"{_SCHEDULE}.drop_epochs", _drop_epochs, sees=True),
            Rule("gamma", f"{_SCHEDULE}.drop_factor"),
            Rule("min_lr min_lr_ratio", f"{_SCHEDULE}.final_factor", _final_factor, sees=True),
        ),
    ),
)

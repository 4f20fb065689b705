"""Rules of training: optimiser, learning rate, epochs, what is written when, and all the rest."""

import math
from typing import Any

from hrdet_cli.specs.mmdetection.anchors import COUNTED
from hrdet_cli.specs.mmdetection.backbones import weights_of
from hrdet_cli.specs.mmdetection.rules import (
    UNSET,
    Convert,
    Group,
    Known,
    NoCounterpartError,
    Rule,
    fixed,
    follows,
    without,
)

_OPTIMISER = "optim_wrapper.optimizer"
_GROUPS = "optimisation.parameter_groups"
_IN_STEPS = "hrdet counts a run in epochs; set optimisation.num_epochs and schedule.drop_epochs"
_REPEATS = "train_dataloader.RepeatDataset[].times"


def _repeats(known: Known) -> int:
    return math.prod(int(times) for times in known.get(_REPEATS) or [1])


def _epochs(value: Any, *, known: Known) -> int:
    """Passes over the pictures: an epoch of a repeated data set is several."""
    return int(value) * _repeats(known)


def _times_interval(value: Any, *, known: Known) -> int:
    if known.get("train_cfg.max_iters") is not None:
        raise NoCounterpartError(_IN_STEPS)
    return int(value) * _repeats(known)


def _evaluated_every(value: Any, *, known: Known) -> int:
    return max(0, _times_interval(value, known=known))


def _saved_every(value: Any, by_epoch: Any, *, known: Known) -> int:
    if by_epoch is False:
        raise NoCounterpartError("hrdet saves by epochs and, in them, run.checkpoint_every_minutes")
    if value is None or value < 1:
        raise NoCounterpartError("hrdet has the last checkpoint and the best in any case")
    return _times_interval(value, known=known)


def _best_by(value: Any, *, known: Known) -> Any:
    finds_masks = known.get("model.roi_head.mask_head") is not None
    has_data = known.get("val_dataloader.dataset.ann_file") is not None
    return "mask" if isinstance(value, str) and "segm" in value and finds_masks and has_data else UNSET


def _num_kept(value: Any) -> int | None:
    return None if value is None or value < 1 else int(value)


def _seed(value: Any) -> Any:
    return UNSET if value is None else value


def _drop_epochs(milestones: Any, by_epoch: Any, *, known: Known) -> Any:
    if by_epoch is False:
        raise NoCounterpartError(_IN_STEPS)
    last = known.get("train_cfg.max_epochs")
    epochs = milestones if isinstance(milestones, list) else [milestones]
    if not isinstance(milestones, list) and last is not None and known.get("lr_config.step") is not None:
        epochs = list(range(milestones, last, milestones))
    return [epoch * _repeats(known) for epoch in epochs]


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
    return float(least) / float(known.get(f"{_OPTIMISER}.lr")) if least else 0.0


def _from_the_start(value: Any) -> object:
    if value:
        raise NoCounterpartError("hrdet's cosine goes from the first step to the last")
    return UNSET


_SCHEDULE = "optimisation.schedule"
_COSINE = "param_scheduler.CosineAnnealingLR"
_MULTI_STEP = "param_scheduler.MultiStepLR"
_RATE = (
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
            Rule("milestones by_epoch", f"{_SCHEDULE}.drop_epochs", _drop_epochs, sees=True, absent=None),
            Rule("gamma", f"{_SCHEDULE}.drop_factor", absent=0.1),
            *follows("type", "begin", "end", "verbose", why="drops are at milestones"),
        ),
        gives={f"{_SCHEDULE}.kind": "steps"},
    ),
    Group(
        _COSINE,
        (),
        (
            Rule("eta_min eta_min_ratio", f"{_SCHEDULE}.final_factor", _final_factor, sees=True, absent=None),
            Rule("begin", None, _from_the_start, why="the cosine is of the whole run"),
            *follows("type", "end", "T_max", "by_epoch", "verbose", "convert_to_iter_based", why="it is one"),
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


def _clip(largest: Any, kind: Any) -> float | None:
    if kind not in (None, 2):
        raise NoCounterpartError("hrdet clips the L2 norm")
    return None if largest is None else float(largest)


def _optimiser(value: Any) -> str:
    table = {"SGD": "sgd", "AdamW": "adamw"}
    if value not in table:
        raise NoCounterpartError("hrdet has SGD and AdamW; the spec has SGD")
    return table[value]


def _weight_decay(value: Any, *, known: Known) -> float:
    """What is given, or what torch's optimisers have."""
    of_torch = 0.01 if known.get(f"{_OPTIMISER}.type") == "AdamW" else 0.0
    return of_torch if value is None else float(value)


def _momentum(value: Any, *, known: Known) -> Any:
    """What is given, or what torch's SGD has."""
    return _of_kind("SGD")(0.0 if value is None else value, known=known)


def _of_kind(wanted: str) -> Convert:
    """A value that one kind of optimiser has."""

    def convert(value: Any, *, known: Known) -> Any:
        if known.get(f"{_OPTIMISER}.type") != wanted:
            raise NoCounterpartError(f"hrdet has it for {wanted} alone")
        return value

    return convert


_KIND = "optimisation.optimiser"
_OPTIMISATION = (
    Group(
        _OPTIMISER,
        (),
        (
            Rule("type", f"{_KIND}.kind", _optimiser),
            Rule("lr", "optimisation.base_learning_rate"),
            Rule("weight_decay", "optimisation.weight_decay", _weight_decay, sees=True, absent=None),
            Rule("momentum", f"{_KIND}.momentum", _momentum, sees=True, absent=None),
            Rule("betas", f"{_KIND}.betas", _of_kind("AdamW"), sees=True),
            Rule("eps", f"{_KIND}.epsilon", _of_kind("AdamW"), sees=True),
            fixed("nesterov", False, why="hrdet's momentum is the plain one"),
            fixed("amsgrad", False, why="hrdet's AdamW is the plain one"),
        ),
    ),
    Group(
        "optim_wrapper",
        (),
        (
            Rule("clip_grad.max_norm clip_grad.norm_type", "optimisation.clip_norm", _clip, absent=None),
            fixed("clip_grad", None, why="gradients are clipped where optimisation.clip_norm says so"),
            Rule("accumulative_counts", "optimisation.accumulate_steps"),
            Rule("paramwise_cfg.bias_lr_mult", f"{_GROUPS}.bias.learning_rate_factor"),
            Rule("paramwise_cfg.bias_decay_mult", f"{_GROUPS}.bias.weight_decay_factor"),
            Rule("paramwise_cfg.norm_decay_mult", f"{_GROUPS}.norm.weight_decay_factor"),
            Rule("paramwise_cfg.custom_keys.backbone.lr_mult", f"{_GROUPS}.backbone.learning_rate_factor"),
            Rule("paramwise_cfg.custom_keys.backbone.decay_mult", f"{_GROUPS}.backbone.weight_decay_factor"),
            *without("paramwise_cfg.custom_keys", why="hrdet's groups are backbone, norm and bias"),
            *without("paramwise_cfg.dwconv_decay_mult", why="hrdet has no depth-wise convolutions"),
            *follows("paramwise_cfg.bypass_duplicate", why="no parameter is there twice"),
            fixed("type", "OptimWrapper", "AmpOptimWrapper", why="run.precision says how it is computed"),
            *without("loss_scale", "dtype", why="set run.precision; bfloat16 needs no scale"),
            *follows("constructor", why="groups are optimisation.parameter_groups"),
        ),
    ),
    Group(
        "",
        (),
        (
            Rule("auto_scale_lr.base_batch_size", "optimisation.base_batch_size"),
            *follows("auto_scale_lr.enable", why="hrdet's rate goes with the batch"),
            *without("fp16", why="set run.precision; bfloat16 needs no scale"),
            *follows("optimizer_config", why="gradients are summed over processes"),
        ),
    ),
)


_HOOKS, _DEFAULT_HOOKS = "custom_hooks", "default_hooks"
_CHECKPOINT = f"{_DEFAULT_HOOKS}.checkpoint"
_PLUMBING = "does not change the result"
_RUN = (
    Group(
        "",
        (),
        (
            Rule("train_cfg.max_epochs", "optimisation.num_epochs", _epochs, sees=True),
            Rule("train_cfg.val_interval", "evaluation.every_num_epochs", _evaluated_every, sees=True),
            *without("train_cfg.max_iters", why=_IN_STEPS),
            *follows(_REPEATS, "train_dataloader.RepeatDataset", why="epochs and drops are multiplied by it"),
            *follows("train_cfg.type", "train_cfg.val_begin", "val_cfg.type", "test_cfg.type", why=_PLUMBING),
            *follows("runner.type", "workflow", why=_PLUMBING),
            Rule(
                f"{_CHECKPOINT}.interval {_CHECKPOINT}.by_epoch",
                "run.checkpoint_every_epochs",
                _saved_every,
                sees=True,
            ),
            Rule(f"{_CHECKPOINT}.max_keep_ckpts", "run.num_epoch_checkpoints", _num_kept),
            Rule("default_hooks.logger.interval", "run.log_every_steps"),
            Rule(
                f"{_CHECKPOINT}.save_best",
                "evaluation.best_by",
                _best_by,
                sees=True,
                why="the best by box AP is kept",
            ),
            *follows(f"{_CHECKPOINT}.type", why="the best and the last are kept"),
            *follows(
                *(f"{_CHECKPOINT}.{key}" for key in ("create_symlink", "save_last", "save_optimizer")),
                why="a checkpoint has all that a run goes on with",
            ),
            Rule("randomness.seed", "run.seed", _seed),
            Rule("randomness.deterministic", "run.deterministic"),
            *follows("randomness.diff_rank_seed", why="draws go by the picture"),
            Rule("load_from", "model.weights", weights_of),
            *follows("env_cfg", "dist_params", "cudnn_benchmark", "mp_start_method", why=_PLUMBING),
            *follows("opencv_num_threads", "find_unused_parameters", "launcher", "gpu_ids", why=_PLUMBING),
            *follows("log_level", "log_processor", "log_config", "default_scope", why=_PLUMBING),
            *without(
                "resume", "resume_from", "auto_resume", why="hrdet train --resume --run-dir DIR goes on"
            ),
            *follows(
                "vis_backends", "visualizer", why="hrdet draws batches, curves and detections by itself"
            ),
            *without("work_dir", why="hrdet train --run-dir DIR names the run folder"),
            *without("tta_model", "tta_pipeline", why="set evaluation.test_time_augmentation={} for it"),
            *without(f"{_HOOKS}.EMAHook", why="set optimisation.ema={decay: D}, of which D is 1 - momentum"),
            *without(
                f"{_HOOKS}.EarlyStoppingHook",
                f"{_DEFAULT_HOOKS}.early_stopping",
                why="set evaluation.patience, counted in evaluations",
            ),
            *follows(f"{_HOOKS}.NumClassCheckHook", why=COUNTED),
            *follows(_DEFAULT_HOOKS, why="hrdet's loop does this by itself"),
            *without("custom_hooks", "custom_imports", "plugin", why="hrdet runs no code of a configuration"),
            *follows("val_evaluator", "test_evaluator", "evaluation", why="scores are COCO's of data.val"),
        ),
    ),
)
TRAINING = (*_RATE, *_OPTIMISATION, *_RUN)
"""Optimiser, rate, epochs, and what is left."""

"""Rules of training: optimiser, epochs, what is written when, and all the rest."""

from typing import Any

from hrdet_cli.specs.mmdetection.anchors import COUNTED
from hrdet_cli.specs.mmdetection.backbones import weights_of
from hrdet_cli.specs.mmdetection.learning_rate import IN_STEPS, OPTIMISER, RATE, REPEATS, num_repeats
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

_GROUPS = "optimisation.parameter_groups"


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
    of_torch = 0.01 if known.get(f"{OPTIMISER}.type") == "AdamW" else 0.0
    return of_torch if value is None else float(value)


def _momentum(value: Any, *, known: Known) -> Any:
    """What is given, or what torch's SGD has."""
    return _of_kind("SGD")(0.0 if value is None else value, known=known)


def _of_kind(wanted: str) -> Convert:
    """A value that one kind of optimiser has."""

    def convert(value: Any, *, known: Known) -> Any:
        if known.get(f"{OPTIMISER}.type") != wanted:
            raise NoCounterpartError(f"hrdet has it for {wanted} alone")
        return value

    return convert


_KIND = "optimisation.optimiser"
_OPTIMISATION = (
    Group(
        OPTIMISER,
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


def _epochs(value: Any, *, known: Known) -> int:
    """Passes over the pictures: an epoch of a repeated data set is several."""
    return int(value) * num_repeats(known)


def _times_interval(value: Any, *, known: Known) -> int:
    if known.get("train_cfg.max_iters") is not None:
        raise NoCounterpartError(IN_STEPS)
    return int(value) * num_repeats(known)


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


_EMA_KEYS = ("momentum", "ema_type", "begin_iter", "begin_epoch", "interval", "warm_up", "type")
_OTHER_AVERAGE = "hrdet's average has one decay, from the first step on: optimisation.ema={decay: D}"


def _average(*values: Any, known: Known) -> Any:
    """An average of mmengine's plain kind; mmcv's takes in more of the first weights."""
    momentum, kind, *starts, interval, warm_up, hook = values
    if hook is None:
        return UNSET
    is_plain = kind in (None, "ExponentialMovingAverage") and not any(starts) and interval in (None, 1)
    decay = round(1.0 - (0.0002 if momentum is None else float(momentum)), 12)
    if known.generation < 3 or not is_plain or warm_up is not None or not 0 < decay < 1:
        raise NoCounterpartError(_OTHER_AVERAGE)
    return {"decay": decay}


def _seed(value: Any) -> Any:
    return UNSET if value is None else value


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
            *without("train_cfg.max_iters", why=IN_STEPS),
            *follows(REPEATS, "train_dataloader.RepeatDataset", why="epochs and drops are multiplied by it"),
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
            Rule(
                " ".join(f"{_HOOKS}.EMAHook.{key}" for key in _EMA_KEYS),
                "optimisation.ema",
                _average,
                absent=None,
                sees=True,
                why="D of {decay: D} is 1 - momentum; running statistics are averaged, too",
            ),
            *follows(
                *(f"{_HOOKS}.EMAHook.{key}" for key in ("priority", "strict_load", "update_buffers")),
                *(f"{_HOOKS}.EMAHook.evaluate_on_{what}" for what in ("ema", "origin")),
                why="weights and average are saved and evaluated both",
            ),
            *without(f"{_HOOKS}.EMAHook", why=_OTHER_AVERAGE),
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
TRAINING = (*RATE, *_OPTIMISATION, *_RUN)
"""Optimiser, rate, epochs, and what is left."""

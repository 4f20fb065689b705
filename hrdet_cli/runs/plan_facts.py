"""A plan in words."""

from collections.abc import Callable, Iterator

from hrdet_cli.engine.weights.published.table import published_as
from hrdet_cli.runs.best_by import NAME_OF_NUMBER
from hrdet_cli.runs.plan import GroupRates, PartCounts, Plan
from hrdet_cli.specs.data import RepeatFactorSpec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.norm import BatchNormSpec, SyncBatchNormSpec
from hrdet_cli.specs.optimisation import ConstantScheduleSpec, CosineScheduleSpec, OptimisationSpec, SgdSpec
from hrdet_cli.wording import after_epochs, counted, first_few

_MOST_RARE_CLASSES = 5


def describe_plan(
    plan: Plan, spec: ExperimentSpec, *, show_path: Callable[[str], str] = str
) -> Iterator[tuple[str, str]]:
    """What a run will do: names and values.

    Args:
        plan: The run in numbers.
        spec: The experiment.
        show_path: How files are named.
    """
    yield "experiment", plan.name
    yield "detector", spec.model.title
    yield "training data", _describe(plan.train, show_path)
    for number, one in enumerate(plan.data_sets, 1):
        used = f"{counted(one.num_used, 'picture')}, {one.epoch_share:.1%} of an epoch"
        yield f"data set {number}", f"{show_path(one.annotations)}: {used}"
    yield "validation data", _describe(plan.val, show_path) if plan.val else "none"
    yield "classes", _classes(plan.class_names)
    if spec.data.sampling.kind != "shuffle":
        yield "sampling", _sampling(plan, spec)
        yield "rarest classes", _rarest_classes(plan)
    yield "processes", str(plan.num_processes)
    yield "pictures a step", _batch_size(plan)
    if spec.optimisation.accumulate_steps > 1:
        yield "batches a step", _accumulation(plan, spec)
    yield "steps", f"{plan.num_steps:,} ({plan.steps_per_epoch:,} an epoch{_repeats(plan)})"
    yield "optimiser", _optimiser(spec.optimisation)
    yield "learning rate", f"{plan.learning_rate:g} = {plan.learning_rate_rule}"
    yield "warm-up", _warmup(plan, spec)
    yield "schedule", _schedule(spec.optimisation)
    for group in plan.parameter_groups:
        yield f"parameters of {group.name}", _rates(group)
    if spec.optimisation.ema is not None:
        yield "average of the weights", f"decay {spec.optimisation.ema.decay:g} a step"
    if plan.val is not None and spec.evaluation.every_num_epochs:
        yield "evaluation", _evaluation(spec)
    yield "weights", _weights(plan)
    yield "canvases", ", ".join(plan.canvases)
    yield "useful pixels", f"{plan.useful_pixel_share:.1%} of a batch, the rest is padding"


def _warmup(plan: Plan, spec: ExperimentSpec) -> str:
    optimisation = spec.optimisation
    text = counted(plan.warmup_steps, "step")
    share = optimisation.max_warmup_share
    if plan.warmup_steps != optimisation.warmup_steps_of(plan.num_steps):
        text += ", as many as the run began with"
    elif plan.warmup_steps < optimisation.warmup_steps and share is not None:
        text += f", not {optimisation.warmup_steps:,}: {share:.0%} of the run at most"
    if plan.warmup_steps and optimisation.warmup_shape == "constant":
        text += f", at {optimisation.warmup_factor:.3g} of the rate"
    return text


def _accumulation(plan: Plan, spec: ExperimentSpec) -> str:
    count, norm = spec.optimisation.accumulate_steps, spec.norm
    text = f"{count} of {plan.batch_size // count} pictures, whose gradients are added up"
    sees_batch = isinstance(norm, BatchNormSpec | SyncBatchNormSpec)
    if not sees_batch or (isinstance(norm, BatchNormSpec) and norm.keep_statistics):
        return text
    seen = plan.batch_size // count // (1 if isinstance(norm, SyncBatchNormSpec) else plan.num_processes)
    return (
        f"{text}; batch norms see {counted(seen, 'picture')} at a time, not the step's {plan.batch_size}: "
        "norm.keep_statistics=true and norm.kind=group do not mind, and model.activation_checkpointing=true "
        "may fit the whole batch"
    )


def _evaluation(spec: ExperimentSpec) -> str:
    evaluation, best_by = spec.evaluation, NAME_OF_NUMBER[spec.best_by]
    every = evaluation.every_num_epochs
    text = f"after {'each epoch' if every == 1 else f'every {every} epochs and the last'}, best by {best_by}"
    if evaluation.with_loss:
        text += ", with the validation loss"
    if evaluation.patience is not None:
        text += f"; ends after {counted(evaluation.patience, 'evaluation')} in a row without a better one"
    return text


def _optimiser(optimisation: OptimisationSpec) -> str:
    optimiser = optimisation.optimiser
    if isinstance(optimiser, SgdSpec):
        return f"SGD, momentum {optimiser.momentum:g}, weight decay {optimisation.weight_decay:g}"
    betas = " and ".join(f"{beta:g}" for beta in optimiser.betas)
    return f"AdamW, betas {betas}, decoupled weight decay {optimisation.weight_decay:g}"


def _schedule(optimisation: OptimisationSpec) -> str:
    schedule = optimisation.schedule
    if isinstance(schedule, ConstantScheduleSpec):
        return "the rate stays"
    if isinstance(schedule, CosineScheduleSpec):
        return f"the rate falls along a cosine to {schedule.final_factor:g} of it at the end"
    if not schedule.drop_epochs:
        return "the rate stays: there are no drops"
    return f"the rate is multiplied by {schedule.drop_factor:g} {after_epochs(schedule.drop_epochs)}"


def _describe(part: PartCounts, show_path: Callable[[str], str]) -> str:
    text = f"{show_path(part.annotations)}: {counted(part.num_pictures, 'picture')}, "
    text += counted(part.num_boxes, "box", "boxes")
    if part.num_crowd_regions:
        text += f", {counted(part.num_crowd_regions, 'crowd region')}"
    if part.num_used < part.num_pictures:
        text += f"; {counted(part.num_pictures - part.num_used, 'picture')} without boxes left out"
    for reason, count in part.dropped_boxes.items():
        text += f"; {counted(count, 'box', 'boxes')} dropped ({reason})"
    return text


def _batch_size(plan: Plan) -> str:
    if plan.finds_batch_size:
        return (
            "auto: the most that fit on the GPU, found before epoch 1; "
            "all figures here are of 1 on each process"
        )
    return str(plan.batch_size)


def _rates(group: GroupRates) -> str:
    if group.learning_rate_factor == 0:
        return "do not move"
    text = (
        f"learning rate {group.learning_rate:g} (x {group.learning_rate_factor:g}), "
        f"weight decay {group.weight_decay:g} (x {group.weight_decay_factor:g})"
    )
    if group.stage_decay == 1:
        return text
    return f"{text}; x {group.stage_decay:g} in stage 4, and once more for each stage before it"


def _weights(plan: Plan) -> str:
    if plan.weights is None:
        return "random"
    if plan.has_weights:
        return plan.weights
    published = published_as(plan.weights)
    fetched = f"; --weights {published.name} fetches them" if published and published.name else ""
    return f"{plan.weights} (not there yet{fetched})"


def _classes(names: tuple[str, ...]) -> str:
    return f"{len(names)}: {first_few(names, 8)}"


def _sampling(plan: Plan, spec: ExperimentSpec) -> str:
    sampling, num_pictures = spec.data.sampling, plan.train.num_used
    threshold = f", threshold {sampling.threshold:g}" if isinstance(sampling, RepeatFactorSpec) else ""
    num_shown = plan.steps_per_epoch * plan.batch_size
    return (
        f"{sampling.kind}{threshold}: {counted(num_shown, 'picture')} an epoch, drawn from {num_pictures:,}"
    )


def _rarest_classes(plan: Plan) -> str:
    """How often pictures of the rarest are shown."""
    rarest = sorted(plan.class_showings, key=lambda shown: shown.num_pictures)
    trained = [shown for shown in rarest if shown.num_pictures][:_MOST_RARE_CLASSES]
    shown = (f"{shown.name} {shown.num_pictures:,} -> {shown.per_epoch:,.0f}" for shown in trained)
    return f"{', '.join(shown)} (pictures that there are -> that an epoch shows)"


def _repeats(plan: Plan) -> str:
    count = plan.num_repeats_per_epoch
    return f"; {counted(count, 'picture')} repeated to fill the last batches" if count else ""

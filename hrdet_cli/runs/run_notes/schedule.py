"""Notes on rate, warm-up, drops, batches and averages: settings that do not go with each other or the run."""

from hrdet_cli.runs.run_notes.figures import RunFigures
from hrdet_cli.wording import after_epochs, command, counted

_MOST_WARMUP = 0.25
_MOST_REPEATS = 0.25
_FEWEST_STEPS = 200
_MOST_OF_BEGINNING = 0.5
_USUAL_STEPS = 1000
_HIGHEST_ADAMW = 0.002


def describe_high_rate(run: RunFigures) -> str | None:
    """A rate of SGD's for AdamW, whose updates are about as large as the rate whatever the gradient.

    Published detectors had 1e-4 at 16 pictures a step (Swin, ConvNeXt), up to 0.004 at 256 (RTMDet).
    """
    optimisation = run.spec.optimisation
    rate = optimisation.learning_rate_for(run.pictures_a_step)
    if optimisation.optimiser.kind != "adamw" or not run.knows_batch_size or rate <= _HIGHEST_ADAMW:
        return None
    return (
        f"the learning rate of {rate:g} would do for SGD, but AdamW moves every weight by about that much at "
        "each step; usual are "
        "--set optimisation.base_learning_rate=1e-4 --set optimisation.base_batch_size=16"
    )


def describe_long_warmup(run: RunFigures) -> str | None:
    """A warm-up that takes much of the run, whose full rate is hardly reached or never."""
    warmup = run.warmup_steps
    if not run.knows_batch_size or warmup <= _MOST_WARMUP * run.num_steps:
        return None
    cure = command("--set", "optimisation.max_warmup_share=0.1")
    return (
        f"the warm-up takes {counted(warmup, 'step')} of the run's {run.num_steps:,}, so the learning rate "
        f"{'is never reached' if warmup >= run.num_steps else 'is reached late'}: {cure}"
    )


def describe_drop_in_warmup(run: RunFigures) -> str | None:
    """A drop of the rate before it has risen."""
    drops = run.spec.optimisation.drop_epochs
    if not run.knows_batch_size or not drops or min(drops) * run.steps_per_epoch >= run.warmup_steps:
        return None
    return (
        f"the rate drops first after epoch {min(drops)}, inside the warm-up of "
        f"{counted(run.warmup_steps, 'step')} ({run.steps_per_epoch:,} an epoch): "
        f"{command('--set', 'optimisation.max_warmup_share=0.1')}"
    )


def describe_lost_drops(run: RunFigures) -> str | None:
    """Drops after the last epoch."""
    optimisation = run.spec.optimisation
    lost = [epoch for epoch in optimisation.drop_epochs if epoch >= optimisation.num_epochs]
    if not lost:
        return None
    return (
        f"the rate is to drop {after_epochs(lost)}, but the run has "
        f"{counted(optimisation.num_epochs, 'epoch')}, so it never does: "
        f"{command('--set', _usual_drops(optimisation.num_epochs))}"
    )


def _usual_drops(num_epochs: int) -> str:
    """The setting of drops after two thirds and eleven twelfths of the run, as in published schedules."""
    drops = {round(num_epochs * 2 / 3), round(num_epochs * 11 / 12)}
    return f"optimisation.schedule.drop_epochs={sorted(epoch for epoch in drops if 0 < epoch < num_epochs)}"


def describe_large_batch(run: RunFigures) -> str | None:
    """A step with more pictures than there are, or so many that pictures are shown again to fill it."""
    num_pictures, repeats = run.steps.num_pictures, run.steps.sampler.num_fillers
    if not run.knows_batch_size or repeats <= _MOST_REPEATS * num_pictures:
        return None
    return (
        f"a step has {counted(run.steps.batch_size, 'picture')} of one orientation, but there are only "
        f"{num_pictures:,} to train on, so {counted(repeats, 'picture')} of each epoch "
        f"{'is' if repeats == 1 else 'are'} shown again: {_smaller_batch(run)}"
    )


def _smaller_batch(run: RunFigures) -> str:
    """What makes a step so small that it repeats few pictures."""
    most = _MOST_REPEATS * run.steps.num_pictures

    def fits(batch_size: int) -> bool:
        return batch_size <= most and run.steps.sampler.num_fillers_of(batch_size) <= most

    own = run.spec.data.num_pictures_per_process
    for smaller in range(own - 1, 0, -1):
        if fits(smaller * run.num_processes):
            return f"--set data.batch_size_per_process={smaller}"
    fewer = next((number for number in range(run.num_processes - 1, 1, -1) if fits(number)), 1)
    with_one = " with --set data.batch_size_per_process=1" if own > 1 else ""
    return f"start no more than {counted(fewer, 'process', 'processes')}{with_one}"


def describe_short_run(run: RunFigures) -> str | None:
    """A run of so few steps that nothing is learned."""
    if not run.knows_batch_size or run.num_steps >= _FEWEST_STEPS:
        return None
    num_epochs = -(-_USUAL_STEPS // run.steps_per_epoch)
    cure = ["--set", f"optimisation.num_epochs={num_epochs}"]
    if run.spec.optimisation.schedule.kind == "steps":
        cure += ["--set", _usual_drops(num_epochs)]
    return (
        f"the whole run has {counted(run.num_steps, 'step')}, in which a detector learns next to nothing: "
        f"{command(*cure)}"
    )


def describe_slow_average(run: RunFigures) -> str | None:
    """An average of which more than half is the weights that the run began with."""
    ema = run.spec.optimisation.ema
    if ema is None or not run.knows_batch_size or ema.decay**run.num_steps <= _MOST_OF_BEGINNING:
        return None
    decay = 1 - min(0.5, 10 / run.num_steps)
    return (
        f"{ema.decay**run.num_steps:.0%} of the average of the weights will be those the run begins with: it "
        f"remembers about {counted(round(1 / (1 - ema.decay)), 'step')}, and the run has {run.num_steps:,}: "
        f"--set optimisation.ema.decay={decay:.3g}"
    )


def describe_noisy_norm(run: RunFigures) -> str | None:
    """Statistics of norms from a single picture."""
    norm = run.spec.norm
    if (
        not run.knows_batch_size
        or norm.kind not in ("batch", "sync")
        or getattr(norm, "keep_statistics", False)
    ):
        return None
    own = run.spec.data.num_pictures_per_process
    if norm.kind == "batch" and own == 1 and run.num_processes > 1:
        return (
            "norms take their statistics from one picture on each process, which is too little to be like "
            "those of evaluation: --set norm.kind=sync"
        )
    if own * run.num_processes > 1:
        return None
    return (
        "norms take their statistics from a single picture, which is too little to be like those of "
        "evaluation: --set data.batch_size_per_process=2, or --set norm.kind=group"
    )

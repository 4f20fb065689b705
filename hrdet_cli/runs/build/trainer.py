"""From spec to trainer."""

from collections.abc import Callable

import torch

from hrdet_cli.engine.data.loader import TrainingLoader
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.training.averaging import WeightAverage
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.engine.training.optimiser import AdamW, Sgd, build_optimiser
from hrdet_cli.runs.build.compilation import build_compiled_losses
from hrdet_cli.runs.build.numerics import build_training_numerics
from hrdet_cli.runs.build.parameter_groups import build_parameter_groups
from hrdet_cli.runs.build.schedule import build_schedule
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.optimisation import OptimiserSpec, SgdSpec


def build_trainer(
    spec: ExperimentSpec,
    detector: Detector,
    loader: TrainingLoader,
    device: torch.device,
    *,
    learning_rate: float,
    stop_asked: Callable[[], bool],
) -> Trainer:
    """A trainer for a detector that is already on its device.

    Args:
        spec: The experiment.
        detector: What to train.
        loader: Its batches.
        device: Where the detector is.
        learning_rate: The rate after warm-up, as the plan has it.
        stop_asked: Whether this process was asked to stop.
    """
    optimisation, ema = spec.optimisation, spec.optimisation.ema
    return Trainer(
        model=detector,
        optimiser=build_optimiser(
            detector,
            _rule(optimisation.optimiser),
            weight_decay=optimisation.weight_decay,
            groups=build_parameter_groups(optimisation),
            is_fused=device.type == "cuda",
        ),
        schedule=build_schedule(
            optimisation,
            learning_rate=learning_rate,
            num_steps=optimisation.num_steps_of(loader.num_steps_per_epoch) * optimisation.num_epochs,
        ),
        loader=loader,
        num_epochs=optimisation.num_epochs,
        clip_norm=optimisation.clip_norm,
        device=device,
        numerics=build_training_numerics(spec, device),
        stop_asked=stop_asked,
        average=None if ema is None else WeightAverage(detector, decay=ema.decay),
        losses=build_compiled_losses(spec.run, detector, loader),
        accumulate_steps=optimisation.accumulate_steps,
    )


def _rule(optimiser: OptimiserSpec) -> Sgd | AdamW:
    if isinstance(optimiser, SgdSpec):
        return Sgd(momentum=optimiser.momentum)
    return AdamW(betas=optimiser.betas, epsilon=optimiser.epsilon)

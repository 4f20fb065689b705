from typing import Any, cast

import pytest
import torch

from hrdet_cli.engine.data.loader import TrainingLoader
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.runs.build.detector import build_detector, place_detector
from hrdet_cli.runs.build.schedule import build_schedule
from hrdet_cli.runs.build.trainer import build_trainer
from hrdet_cli.specs.loading import load_spec

CPU = torch.device("cpu")


class Loader:
    """What a trainer asks of its loader before the first step."""

    num_steps_per_epoch = 3
    num_images_per_step = 2


def trainer_of(*settings: str) -> Trainer:
    spec = load_spec(preset="demo", settings=[*settings, "run.precision=float64"]).spec
    detector = place_detector(build_detector(spec, num_classes=3, trains=True), spec.run, CPU)
    loader = cast("TrainingLoader", Loader())
    return build_trainer(spec, detector, loader, CPU, learning_rate=0.01, stop_asked=lambda: False)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("{drop_epochs: [1, 2], drop_factor: 0.5}", [1.0, 0.5, 0.25]),
        ("{kind: cosine, final_factor: 0.2}", [1.0, 0.2 + 0.8 * 0.75, 0.2 + 0.8 * 0.25]),
        ("{kind: constant}", [1.0, 1.0, 1.0]),
    ],
)
def test_the_specs_schedule_gives_each_epochs_first_rate(schedule: str, expected: list[float]) -> None:
    settings = [f"optimisation.schedule={schedule}", "optimisation.num_epochs=3"]
    optimisation = load_spec(preset="demo", settings=settings).spec.optimisation
    built = build_schedule(optimisation, learning_rate=0.01, num_steps=3000)
    rates = [built.learning_rate_at(step=1000 + epoch, num_epochs_done=epoch) for epoch in range(3)]
    assert rates == pytest.approx([0.01 * share for share in expected])


def groups_of(trainer: Trainer) -> list[tuple[float, float]]:
    groups: list[dict[str, Any]] = trainer.state_dict()["optimiser"]["param_groups"]
    return [(group["learning_rate_factor"], group["weight_decay"]) for group in groups]


def test_without_groups_and_average_there_is_one_optimiser_group_and_no_second_model() -> None:
    trainer = trainer_of("optimisation.parameter_groups.backbone.learning_rate_factor=1")
    assert groups_of(trainer) == [(1.0, 1e-4)]
    assert trainer.averaged_model is None
    assert "ema_model" not in trainer.state_dict()


def test_the_specs_factors_reach_the_optimiser() -> None:
    trainer = trainer_of(
        "optimisation.parameter_groups.backbone={learning_rate_factor: 0.5, weight_decay_factor: 3}",
        "optimisation.parameter_groups.norm={weight_decay_factor: 0}",
        "optimisation.parameter_groups.bias={learning_rate_factor: 2}",
    )
    assert groups_of(trainer) == [(0.5, 3 * 1e-4), (0.5, 0.0), (1.0, 1e-4), (2.0, 1e-4)]


def test_the_average_is_there_before_the_first_step_so_that_pre_flight_meets_its_memory() -> None:
    trainer = trainer_of("optimisation.ema={decay: 0.9}")
    assert trainer.averaged_model is not None
    state = trainer.state_dict()
    for name, tensor in trainer.averaged_model.state_dict().items():
        raw = state["model"][name]
        assert torch.equal(tensor, raw)
        assert (tensor.dtype, tensor.device) == (raw.dtype, raw.device)
        assert tensor.data_ptr() != raw.data_ptr()

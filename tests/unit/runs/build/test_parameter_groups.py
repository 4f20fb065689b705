import torch
from torch import nn

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.runs.build.parameter_groups import describe_parameter_groups
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.optimisation import OptimisationSpec


def detector_and_optimisation(*settings: str) -> tuple[Detector, OptimisationSpec]:
    spec = load_spec(preset="demo", settings=[*settings]).spec
    with torch.device("meta"):
        return build_detector(spec, num_classes=3, trains=True), spec.optimisation


def counts(detector: nn.Module) -> dict[str, int]:
    """Numbers in the detector, sorted by hand: neck and heads have no norms, the backbone no biases."""
    sums = dict.fromkeys(("convolutions", "norms", "head weights", "head biases"), 0)
    for name, parameter in detector.named_parameters():
        if name.startswith("backbone."):
            sums["norms" if parameter.ndim == 1 else "convolutions"] += parameter.numel()
        else:
            sums["head biases" if name.endswith(".bias") else "head weights"] += parameter.numel()
    return sums


def test_parameters_that_all_train_alike_need_no_words() -> None:
    detector, optimisation = detector_and_optimisation(
        "optimisation.parameter_groups.backbone.learning_rate_factor=1"
    )
    assert describe_parameter_groups(detector, optimisation, learning_rate=0.01) == ()


def test_groups_are_told_with_their_size_and_their_own_rate_and_decay() -> None:
    detector, optimisation = detector_and_optimisation(
        "optimisation.parameter_groups.backbone={learning_rate_factor: 0.1}",
        "optimisation.parameter_groups.norm={learning_rate_factor: 2, weight_decay_factor: 0}",
        "optimisation.parameter_groups.bias={learning_rate_factor: 0}",
    )
    numbers = counts(detector)
    assert describe_parameter_groups(detector, optimisation, learning_rate=0.01) == (
        f"backbone: {numbers['convolutions']:,} parameters, learning rate 0.001, weight decay 0.0001",
        f"backbone and norm: {numbers['norms']:,} parameters, learning rate 0.002, weight decay 0",
        f"others: {numbers['head weights']:,} parameters, learning rate 0.01, weight decay 0.0001",
        f"bias: {numbers['head biases']:,} parameters that do not move",
    )


def test_frozen_stages_are_counted_nowhere() -> None:
    settings = (
        "model.backbone.frozen_stages=4",
        "model.weights=w.pth",
        "optimisation.parameter_groups.backbone={learning_rate_factor: 0.1}",
        "optimisation.parameter_groups.bias={weight_decay_factor: 0}",
    )
    detector, optimisation = detector_and_optimisation(*settings)
    numbers = counts(detector)
    assert describe_parameter_groups(detector, optimisation, learning_rate=0.01) == (
        f"others: {numbers['head weights']:,} parameters, learning rate 0.01, weight decay 0.0001",
        f"bias: {numbers['head biases']:,} parameters, learning rate 0.01, weight decay 0",
    )

import pytest
import torch
from torch import nn

from hrdet_cli.engine.models.backbones.deformable import DeformableConv
from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS, HRNet
from hrdet_cli.engine.models.backbones.resnet import ResNet
from hrdet_cli.engine.norm.convert import NormKind, convert_norm
from hrdet_cli.engine.training.optimiser import AdamW, Sgd, build_optimiser, load_optimiser_state
from hrdet_cli.engine.training.parameter_groups import Factors, ParameterGroups, group_parameters


def test_frozen_parameters_do_not_move_under_weight_decay() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    before = [p.clone() for p in model.parameters()]
    optimiser = build_optimiser(model, Sgd(momentum=0.0), weight_decay=0.5)
    optimiser.param_groups[0]["lr"] = 0.1
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    # gradient 0, decay 0.5, rate 0.1: every trained value shrinks to 1 - 0.1 * 0.5 of itself, the bias too
    expected = [before[0], before[1], before[2] * 0.95, before[3] * 0.95]
    for parameter, value in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.detach(), value)


def test_weight_decay_acts_on_normalisation_and_biases_too() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    optimiser = build_optimiser(model, Sgd(momentum=0.9), weight_decay=1e-4)
    (group,) = optimiser.param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in model.parameters()}
    assert (group["momentum"], group["weight_decay"]) == (0.9, 1e-4)


def test_a_step_without_a_schedule_changes_nothing() -> None:
    model = nn.Linear(1, 1, bias=False)
    optimiser = build_optimiser(model, Sgd(momentum=0.9), weight_decay=0.1)
    before = model.weight.detach().clone()
    model.weight.grad = torch.ones_like(model.weight)
    optimiser.step()
    assert torch.equal(model.weight.detach(), before)


def test_a_model_without_trained_parameters_is_refused() -> None:
    model = nn.Linear(1, 1).requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter of this Linear trains"):
        build_optimiser(model, Sgd(momentum=0.9), weight_decay=0.0)


class Detector(nn.Module):
    """A backbone and a head, each with a convolution with bias and a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.backbones = nn.Linear(2, 3)  # is none
        self.head = nn.ModuleDict({"conv": nn.Conv2d(4, 5, 1), "norm": nn.GroupNorm(1, 5)})


GROUPS = ParameterGroups(
    backbone=Factors(learning_rate=0.5, weight_decay=0.25),
    norm=Factors(weight_decay=0.0),
    bias=Factors(learning_rate=2.0, weight_decay=0.5),
)
EXPECTED = {
    "backbone.0.weight": (("backbone",), 0.5, 0.25),
    "backbone.0.bias": (("backbone", "bias"), 1.0, 0.125),
    "backbone.1.weight": (("backbone", "norm"), 0.5, 0.0),
    "backbone.1.bias": (("backbone", "norm"), 0.5, 0.0),
    "backbones.weight": ((), 1.0, 1.0),
    "backbones.bias": (("bias",), 2.0, 0.5),
    "head.conv.weight": ((), 1.0, 1.0),
    "head.conv.bias": (("bias",), 2.0, 0.5),
    "head.norm.weight": (("norm",), 1.0, 0.0),
    "head.norm.bias": (("norm",), 1.0, 0.0),
}


@pytest.mark.parametrize("kind", ["batch", "sync", "group"])
def test_a_parameter_gets_the_product_of_the_factors_of_its_groups(kind: NormKind) -> None:
    model = Detector()
    convert_norm(model, kind=kind)
    names = {parameter: name for name, parameter in model.named_parameters()}

    groups = group_parameters(model, GROUPS)

    found = {
        names[parameter]: (group.names, group.factors.learning_rate, group.factors.weight_decay)
        for group in groups
        for parameter in group.parameters
    }
    assert found == EXPECTED
    assert sum(group.num_values for group in groups) == sum(p.numel() for p in model.parameters())


def test_biases_of_what_moves_taps_are_no_biases() -> None:
    deformable = DeformableConv(nn.Conv2d(2, 2, 3, padding=1, bias=False), version="v1")
    model = nn.ModuleDict({"conv": deformable, "linear": nn.Linear(2, 2)})
    groups = group_parameters(model, ParameterGroups(bias=Factors(learning_rate=2.0)))
    (bias,) = (group.parameters for group in groups if group.names == ("bias",))
    assert [id(parameter) for parameter in bias] == [id(model["linear"].bias)]


def test_torchs_synchronised_norms_are_norms_too() -> None:
    model = Detector()
    convert_norm(model, kind="sync", back_end="torch")
    groups = group_parameters(model, ParameterGroups(norm=Factors(learning_rate=0.5)))
    assert [(group.names, group.num_values) for group in groups] == [
        ((), 12 + 4 + 6 + 3 + 20 + 5),
        (("norm",), 4 + 4 + 5 + 5),
    ]


def test_without_factors_there_is_one_group_with_everything_in_the_models_order() -> None:
    model = Detector()
    (group,) = build_optimiser(
        model, Sgd(momentum=0.9), weight_decay=1e-4, groups=ParameterGroups()
    ).param_groups
    assert all(one is other for one, other in zip(group["params"], model.parameters(), strict=True))
    assert group["weight_decay"] == 1e-4


def test_a_step_moves_each_parameter_by_its_own_rate_and_decay() -> None:
    model = Detector().double()
    optimiser = build_optimiser(model, Sgd(momentum=0.0), weight_decay=0.1, groups=GROUPS)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for group in optimiser.param_groups:
        group["lr"] = 0.01 * group["learning_rate_factor"]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    for name, parameter in model.named_parameters():
        _, rate, decay = EXPECTED[name]
        expected = before[name] - 0.01 * rate * (1 + 0.1 * decay * before[name])
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-12, atol=1e-12)


def test_parameters_whose_rate_is_zero_are_left_out_and_get_no_gradient() -> None:
    model = Detector()
    still = ParameterGroups(backbone=Factors(learning_rate=0.0))
    optimiser = build_optimiser(model, Sgd(momentum=0.9), weight_decay=0.1, groups=still)
    trained = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
    assert trained == {id(p) for name, p in model.named_parameters() if not name.startswith("backbone.")}
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == {
        name for name in EXPECTED if name.startswith("backbone.")
    }


def test_a_parameter_in_two_places_is_in_the_group_of_the_first() -> None:
    model = nn.ModuleDict({"backbone": nn.Linear(2, 2, bias=False), "head": nn.Linear(2, 2, bias=False)})
    model["head"].weight = model["backbone"].weight
    (group,) = group_parameters(model, GROUPS)
    assert (group.names, len(group.parameters)) == (("backbone",), 1)


STAGES = {
    "hrnet": {
        "1": "conv1 bn1 conv2 bn2 layer1",
        "2": "transition1 stage2",
        "3": "transition2 stage3",
        "4": "transition3 stage4",
    },
    "resnet": {"1": "conv1 bn1 layer1", "2": "layer2", "3": "layer3", "4": "layer4"},
}


@pytest.mark.parametrize("kind", STAGES)
def test_the_rate_falls_from_stage_to_stage_towards_the_pixels(kind: str) -> None:
    with torch.device("meta"):
        backbone = HRNet(HRNET_CONFIGS["small"]) if kind == "hrnet" else ResNet(depth=50, frozen_stages=0)
        model = nn.ModuleDict({"backbone": backbone, "head": nn.Conv2d(4, 5, 1)})
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = group_parameters(
        model,
        ParameterGroups(backbone=Factors(weight_decay=0.5), norm=Factors(weight_decay=0.0), stage_decay=0.5),
    )
    stage_of = {part: stage for stage, parts in STAGES[kind].items() for part in parts.split()}
    assert sum(len(group.parameters) for group in groups) == len(names)
    for group in groups:
        for parameter in group.parameters:
            part, child = names[parameter].split(".")[:2]
            if part == "head":
                assert (group.names, group.factors) == ((), Factors())
                continue
            stage = stage_of[child]
            is_norm = parameter.ndim == 1
            assert group.names == (f"backbone stage {stage}", *(["norm"] if is_norm else []))
            assert group.factors == Factors(
                learning_rate={"4": 0.5, "3": 0.25, "2": 0.125, "1": 0.0625}[stage],
                weight_decay=0.0 if is_norm else 0.5,
            )


def test_stages_are_only_asked_of_a_backbone_that_has_some() -> None:
    with pytest.raises(ValueError, match="needs a backbone with stages, not a Sequential"):
        group_parameters(Detector(), ParameterGroups(stage_decay=0.5))


def test_adamw_steps_as_it_is_written_in_the_paper() -> None:
    # Loshchilov and Hutter 2019, algorithm 2, in float64; the decay does not go through the averages.
    model = Detector().double()
    rule = AdamW(betas=(0.8, 0.9), epsilon=1e-3)
    optimiser = build_optimiser(model, rule, weight_decay=0.1, groups=GROUPS)
    expected = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    mean = {name: torch.zeros_like(value) for name, value in expected.items()}
    square = {name: torch.zeros_like(value) for name, value in expected.items()}
    for step in (1, 2, 3):
        for group in optimiser.param_groups:
            group["lr"] = 0.01 * group["learning_rate_factor"]
        for name, parameter in model.named_parameters():
            gradient = torch.full_like(parameter, 0.3 * step - 0.5)
            parameter.grad = gradient
            _, rate, decay = EXPECTED[name]
            mean[name] = 0.8 * mean[name] + 0.2 * gradient
            square[name] = 0.9 * square[name] + 0.1 * gradient**2
            update = mean[name] / (1 - 0.8**step) / ((square[name] / (1 - 0.9**step)).sqrt() + 1e-3)
            expected[name] = expected[name] - 0.01 * rate * (update + 0.1 * decay * expected[name])
        optimiser.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name], rtol=1e-12, atol=1e-12)


def channels_last_model() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1))
    return model.to(memory_format=torch.channels_last)


def step(model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad(set_to_none=True)
    pixels = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    model(pixels.contiguous(memory_format=torch.channels_last)).square().mean().backward()
    optimiser.param_groups[0]["lr"] = 0.1
    optimiser.step()


@pytest.mark.parametrize("rule", [Sgd(momentum=0.9), AdamW(betas=(0.9, 0.99), epsilon=1e-8)])
def test_one_kernel_for_all_parameters_updates_them_as_many_do(rule: Sgd | AdamW) -> None:
    models = [channels_last_model() for _ in range(2)]
    for model, is_fused in zip(models, (False, True), strict=True):
        optimiser = build_optimiser(model, rule, weight_decay=0.01, is_fused=is_fused)
        for _ in range(3):
            step(model, optimiser)
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other)


def test_a_state_saved_in_another_layout_lies_as_the_parameters_do_afterwards() -> None:
    model = channels_last_model()
    optimiser = build_optimiser(model, Sgd(momentum=0.9), weight_decay=0.01)
    step(model, optimiser)
    saved = optimiser.state_dict()
    momenta = [of_one["momentum_buffer"] for of_one in saved["state"].values()]
    saved["state"] = {
        key: {"momentum_buffer": of_one["momentum_buffer"].contiguous()}
        for key, of_one in saved["state"].items()
    }
    loaded = build_optimiser(model, Sgd(momentum=0.9), weight_decay=0.01)
    load_optimiser_state(loaded, saved)
    for parameter, momentum in zip(model.parameters(), momenta, strict=True):
        found = loaded.state[parameter]["momentum_buffer"]
        assert found.stride() == parameter.stride()
        assert torch.equal(found, momentum)


def test_a_state_of_one_kernel_goes_on_with_many_and_back() -> None:
    rule = AdamW(betas=(0.9, 0.99), epsilon=1e-8)
    ends = []
    for kernels in ((True, False), (False, True)):
        model, state = channels_last_model(), None
        for is_fused in kernels:
            optimiser = build_optimiser(model, rule, weight_decay=0.01, is_fused=is_fused)
            if state is not None:
                load_optimiser_state(optimiser, state)
            assert [group["fused"] for group in optimiser.param_groups] == [is_fused or None]
            step(model, optimiser)
            state = optimiser.state_dict()
        ends.append(list(model.parameters()))
    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other)

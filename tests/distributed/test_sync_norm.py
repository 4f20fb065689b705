"""Norms that are synchronised over 2, 3 and 4 processes against one process that holds the whole batch.

The pictures of the processes differ in number and size; one has a single picture, one a single pixel.  The
oracle lays all pixels end to end as the batch norm of a sequence, so it shares no code and no formula with
the layer.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from hrdet_cli.engine.distributed.activity import ACTIVITY
from hrdet_cli.engine.distributed.world import World
from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS, HRNet, HRNetConfig
from hrdet_cli.engine.models.backbones.resnet import ResNet
from hrdet_cli.engine.norm import known_answer
from hrdet_cli.engine.norm.convert import convert_norm
from hrdet_cli.engine.norm.fixed import FixedBatchNorm2d
from hrdet_cli.engine.norm.in_step import NormSteps, run_in_step
from hrdet_cli.engine.norm.known_answer import known_answer_error
from hrdet_cli.engine.norm.recompute import Recomputation, run_segment
from hrdet_cli.engine.norm.sync import SyncBackEnd, SyncBatchNorm2d, normalise_together
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import ImageBatch, Size, Targets
from hrdet_cli.engine.training.compiled_losses import compile_losses
from hrdet_cli.engine.training.step_gradients import Losses
from tests import cascades
from tests.distributed.process_group import gloo_group, run_processes
from tests.operator_counts import OperatorCounter
from tests.tiny_detectors import noise_pictures, one_box_detector
from tests.tiny_network import TINY_HRNET

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

GROUPS = (4, 3, 2)
"""How many processes are in a group."""
CHANNELS = (3, 5)
"""Of two norms that are due together."""
SIZES: tuple[tuple[tuple[int, int, int], ...], ...] = (
    ((2, 6, 8), (1, 5, 9), (1, 1, 1), (3, 4, 4)),
    ((1, 3, 4), (2, 2, 2), (1, 1, 2), (3, 2, 5)),
)
"""Pictures, height and width of either norm's input on each rank."""


@dataclass(frozen=True)
class Case:
    """A way to run two norms for two steps."""

    back_end: SyncBackEnd = "coalesced"
    dtype: torch.dtype = torch.float64
    affine: bool = True
    momentum: float | None = 0.1
    track_running_stats: bool = True
    channels_last: bool = False
    recompute: Recomputation = "off"


CASES = {
    "coalesced": Case(),
    "per-layer": Case(back_end="per-layer"),
    "float32": Case(dtype=torch.float32),
    "cumulative momentum": Case(momentum=None),
    "not affine": Case(affine=False),
    "no running statistics": Case(track_running_stats=False),
    "channels-last": Case(channels_last=True),
    "recomputed": Case(recompute="modules"),
}


def seeded(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def picture_of(rank: int, norm: int, step: int) -> Tensor:
    count, height, width = SIZES[norm][rank]
    return (1 + rank) * seeded((count, CHANNELS[norm], height, width), 100 * step + 10 * norm + rank) + norm


def slope_of(rank: int, norm: int, step: int) -> Tensor:
    """The loss weighs every pixel differently."""
    return seeded(tuple(picture_of(rank, norm, step).shape), 1000 + 100 * step + 10 * norm + rank)


def gradient_of(tensor: Tensor) -> Tensor:
    if tensor.grad is None:
        raise AssertionError("no gradient reached this tensor")
    return tensor.grad.clone()


def build_norms(case: Case, build: Callable[..., nn.Module]) -> nn.ModuleList:
    norms = nn.ModuleList(
        build(
            channels,
            momentum=case.momentum,
            affine=case.affine,
            track_running_stats=case.track_running_stats,
            dtype=case.dtype,
        )
        for channels in CHANNELS
    )
    for index, parameter in enumerate(norms.parameters()):
        parameter.data.copy_(seeded(tuple(parameter.shape), 50 + index))
    return norms


class InStep(nn.Module):
    """Both norms, reached together."""

    def __init__(self, norms: nn.ModuleList) -> None:
        super().__init__()
        self.norms = norms

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(run_in_step([one_norm(n, x) for n, x in zip(self.norms, inputs, strict=True)]))


def one_norm(norm: nn.Module, x: Tensor) -> NormSteps:
    x = yield norm, x
    return x


def train_two_steps(case: Case, rank: int) -> dict[str, Tensor]:
    norms = build_norms(
        case, lambda channels, **settings: SyncBatchNorm2d(channels, back_end=case.back_end, **settings)
    )
    layout = torch.channels_last if case.channels_last else torch.contiguous_format
    results: dict[str, Tensor] = {}
    for step in range(2):
        norms.zero_grad()
        inputs = [
            picture_of(rank, i, step).to(case.dtype, memory_format=layout).requires_grad_() for i in range(2)
        ]
        outputs = run_segment(InStep(norms), *inputs, recompute=case.recompute)
        losses = [(y.tanh() * slope_of(rank, i, step)).sum() for i, y in enumerate(outputs)]
        torch.autograd.backward([torch.stack(losses).sum()])
        for i, (x, y) in enumerate(zip(inputs, outputs, strict=True)):
            assert y.is_contiguous(memory_format=layout)
            assert gradient_of(x).is_contiguous(memory_format=layout)
            results |= {f"output {step}.{i}": y.detach(), f"gradient {step}.{i}": gradient_of(x)}
    for name, parameter in norms.named_parameters():
        total = gradient_of(parameter)
        dist.all_reduce(total)
        results[f"gradient of {name}"] = total
    return results | {name: buffer.clone() for name, buffer in norms.named_buffers()}


def whole_batch(case: Case, size: int) -> list[dict[str, Tensor]]:
    """What each of several processes has to get, from torch's own layer."""
    norms = build_norms(replace(case, dtype=torch.float64), nn.BatchNorm1d)
    results: list[dict[str, Tensor]] = [{} for _ in range(size)]
    for step in range(2):
        norms.zero_grad()
        for i, norm in enumerate(norms):
            pictures = [picture_of(rank, i, step).to(case.dtype).double() for rank in range(size)]
            inputs = [x.requires_grad_() for x in pictures]
            rows = [x.transpose(0, 1).reshape(CHANNELS[i], -1) for x in inputs]
            parts = norm(torch.cat(rows, dim=1)[None])[0].split([row.shape[1] for row in rows], dim=1)
            outputs = [
                part.reshape(CHANNELS[i], x.shape[0], *x.shape[2:]).transpose(0, 1)
                for part, x in zip(parts, inputs, strict=True)
            ]
            losses = [(y.tanh() * slope_of(rank, i, step)).sum() for rank, y in enumerate(outputs)]
            torch.autograd.backward([torch.stack(losses).sum()])
            for rank, (x, y) in enumerate(zip(inputs, outputs, strict=True)):
                results[rank] |= {f"output {step}.{i}": y.detach(), f"gradient {step}.{i}": gradient_of(x)}
    shared = {f"gradient of {name}": gradient_of(p) for name, p in norms.named_parameters()}
    return [result | shared | dict(norms.named_buffers()) for result in results]


class Counted(NamedTuple):
    """Of a forward and of a backward pass."""

    messages: tuple[int, int]
    operators: tuple[int, int]


def count_step(network: HRNet | ResNet, area: ValidArea | None) -> Counted:
    """Of a step with a picture of 64x64."""
    with OperatorCounter() as forward:
        features = network(seeded((1, 3, 64, 64), 0).float(), area)
    loss = torch.stack([map_.square().mean() for map_ in features]).sum()
    with OperatorCounter() as backward:
        torch.autograd.backward([loss])
    return Counted(
        (forward.num_collectives, backward.num_collectives), (forward.num_operators, backward.num_operators)
    )


def narrow(width: str) -> HRNetConfig:
    """With few channels and as many layers as ever."""
    return replace(HRNET_CONFIGS[width], width=2, stem_channels=4, bottleneck_channels=2)


def compare_steps(build: Callable[[], HRNet | ResNet], area: ValidArea | None = None) -> dict[str, Any]:
    """What is counted of a network over processes, and its operators alone."""
    alone, across = build(), build()
    convert_norm(across, kind="sync")
    return {**count_step(across, area)._asdict(), "operators alone": count_step(alone, area).operators}


def mixed_level(rank: int) -> dict[str, Any]:
    """Norms of every sort that are due at the same time: what they give together, and each alone."""
    torch.manual_seed(0)
    requests: list[tuple[Any, Tensor]] = [
        (SyncBatchNorm2d(3), picture_of(rank, 0, 0).float().requires_grad_()),
        (FixedBatchNorm2d(5), picture_of(rank, 1, 0).float().requires_grad_()),
        (SyncBatchNorm2d(5, dtype=torch.float64), picture_of(rank, 1, 1).requires_grad_()),
        (SyncBatchNorm2d(3), picture_of(rank, 0, 1).bfloat16().requires_grad_()),
        (SyncBatchNorm2d(3).eval(), picture_of(rank, 0, 2).float().requires_grad_()),
        (nn.GroupNorm(1, 3), picture_of(rank, 0, 3).float().requires_grad_()),
        (SyncBatchNorm2d(5, eps=1e-2), picture_of(rank, 1, 2).float()),  # needs no gradient of its input
    ]
    alone = copy.deepcopy(requests)
    together = _trained(requests, normalise_together)
    one_by_one = _trained(alone, lambda pairs: [norm(x) for norm, x in pairs])
    return {"together": together, "alone": one_by_one}


def _trained(
    requests: list[tuple[Any, Tensor]], normalise: Callable[[list[tuple[Any, Tensor]]], list[Tensor]]
) -> dict[str, Any]:
    with OperatorCounter() as forward:
        outputs = normalise(requests)
    with OperatorCounter() as backward:
        torch.autograd.backward([y.tanh().double().sum() for y in outputs])
    parameters = [p.grad for norm, _ in requests for p in norm.parameters()]
    return {
        "messages": (forward.num_collectives, backward.num_collectives),
        "tensors": [*outputs, *(x.grad for _, x in requests), *parameters],
    }


def frozen_level(rank: int) -> tuple[int, int]:
    """Collectives where no input needs a gradient, though scale and shift do."""
    norms = [SyncBatchNorm2d(3), SyncBatchNorm2d(5)]
    with OperatorCounter() as forward:
        outputs = normalise_together([(n, picture_of(rank, i, 0).float()) for i, n in enumerate(norms)])
    with OperatorCounter() as backward:
        torch.autograd.backward([y.square().sum() for y in outputs])
    return forward.num_collectives, backward.num_collectives


def train_network(
    pictures: Tensor, *, across_processes: bool, recompute: Recomputation = "off"
) -> dict[str, Tensor]:
    """Gradients and statistics of a whole network after one step on these pictures."""
    torch.manual_seed(0)
    network = HRNet(TINY_HRNET, recompute=recompute).double()
    if across_processes:
        convert_norm(network, kind="sync")
    loss = torch.stack([map_.square().sum() for map_ in network(pictures)]).sum()
    torch.autograd.backward([loss])
    gradients = {name: gradient_of(parameter) for name, parameter in network.named_parameters()}
    if across_processes:
        for gradient in gradients.values():
            dist.all_reduce(gradient)
    return gradients | dict(network.named_buffers())


def network_pictures(rank: int | None, size: int) -> Tensor:
    """Of as many pictures as there are processes and one more, the last process has two."""
    pictures = seeded((size + 1, 3, 64, 64), 7)
    return pictures if rank is None else pictures[rank : rank + 1 + (rank == size - 1)]


def half_precision(rank: int) -> dict[str, Any]:
    x = (picture_of(rank, 0, 0) + 3).bfloat16().requires_grad_()
    norm = SyncBatchNorm2d(3)
    y = norm(x)
    y.backward(slope_of(rank, 0, 0).bfloat16())
    return {
        "dtypes": (y.dtype, gradient_of(x).dtype, gradient_of(norm.weight).dtype),
        "running_mean": norm.running_mean,
        "running_var": norm.running_var,
        "output": y.detach(),
    }


def known_answers(rank: int, size: int) -> dict[str, float]:
    cpu = torch.device("cpu")
    random_state = torch.get_rng_state()
    errors = {
        "coalesced": known_answer_error(back_end="coalesced", device=cpu),
        "per-layer": known_answer_error(back_end="per-layer", device=cpu),
        "equal-count": known_answer_error(back_end="equal-count", device=cpu),
    }
    with pytest.MonkeyPatch.context() as patch:  # two processes that both believe to be rank 0
        patch.setattr(known_answer, "current_world", lambda: World(rank // 2, size))
        errors["wrong rank"] = known_answer_error(back_end="coalesced", device=cpu)
    assert torch.equal(random_state, torch.get_rng_state())
    return errors


def equal_count(rank: int, *, all_equal: bool) -> dict[str, Tensor]:
    norm = SyncBatchNorm2d(3, back_end="equal-count", dtype=torch.float64)
    x = (seeded((2, 3, 4, 5), rank) if all_equal else picture_of(rank, 0, 0)).requires_grad_()
    y = norm(x)
    y.backward(seeded(tuple(x.shape), 20 + rank))
    return {"output": y.detach(), "gradient": gradient_of(x)}


def compiled(rank: int) -> dict[str, Any]:
    """Losses, gradients and running statistics of a step, with one picture and with two, both ways."""
    images, targets, own = noise_pictures(64, 64), cascades.TARGETS, slice(1 + rank)
    masks = None if targets.masks is None else targets.masks[own]
    pictures = ImageBatch(images.pixels[own], images.sizes[own], images.keys[own])
    truth = Targets(targets.boxes[own], targets.labels[own], targets.is_valid[own], masks)
    found: dict[str, Any] = {}
    for way in ("eager", "compiled"):
        detector = one_box_detector()
        losses: Losses = detector
        if way == "compiled":
            losses = compile_losses(detector, "step", num_graphs=1, backend="aot_eager")
        before = ACTIVITY.num_collectives
        by_name = losses(pictures, truth)
        torch.autograd.backward([torch.stack([*by_name.values()]).sum()])
        values = [loss.detach() for loss in by_name.values()]
        found[way] = [*values, *(p.grad for p in detector.parameters()), *detector.buffers()]
        found[f"{way}, exchanges"] = ACTIVITY.num_collectives - before
    return found


def results_in_group(rank: int, size: int) -> dict[str, Any]:
    """What each process of a group does; everything that needs several of them is in here."""
    results: dict[str, Any] = {name: train_two_steps(case, rank) for name, case in CASES.items()}
    results["network"] = train_network(network_pictures(rank, size), across_processes=True)
    results["half precision"] = half_precision(rank)
    results["mixed level"] = mixed_level(rank)
    results["known answers"] = known_answers(rank, size)
    results["far from zero"] = SyncBatchNorm2d(3)(picture_of(rank, 0, 0).float() + 1e4).detach()
    results["equal-count"] = equal_count(rank, all_equal=False)
    results["equal-count, equal sizes"] = equal_count(rank, all_equal=True)
    if rank == 0:  # would wait for the others for ever if it sent anything
        SyncBatchNorm2d(3).eval()(picture_of(rank, 0, 0).float())
        with torch.no_grad():
            SyncBatchNorm2d(3, track_running_stats=False).eval()(picture_of(rank, 0, 0).float())
    return results | (results_in_pair(rank) if size == 2 else {})


def results_in_pair(rank: int) -> dict[str, Any]:
    """What more processes would show no more of."""
    recomputed = HRNet(narrow("small"), recompute="modules")
    convert_norm(recomputed, kind="sync")
    picture = ValidArea.on_canvas(Size(64, 64), torch.tensor([[40, 64]]))
    return {
        "recomputed network": train_network(
            network_pictures(rank, 2), across_processes=True, recompute="norms"
        ),
        "recomputed messages": count_step(recomputed, None).messages,
        "frozen level": frozen_level(rank),
        "compiled": compiled(rank),
        "steps": {
            "hrnet w18": compare_steps(lambda: HRNet(narrow("w18"))),
            "hrnet small, valid": compare_steps(lambda: HRNet(narrow("small")), picture),
            "resnet 50": compare_steps(lambda: ResNet(depth=50, frozen_stages=0, group_width=1)),
            "resnet 50, frozen": compare_steps(lambda: ResNet(depth=50, frozen_stages=1, group_width=1)),
        },
    }


def work(rank: int, folder: str) -> None:
    """What each process does, in one group after another; the last ranks are in the first groups alone.

    What torch imports to recompute and to compile, it imports once for all groups.
    """
    torch.set_num_threads(1)
    for size in GROUPS:
        if rank < size:
            with gloo_group(Path(folder, f"store of {size}"), rank=rank, size=size):
                torch.save(results_in_group(rank, size), Path(folder, f"{rank} of {size}.pt"))


Outcomes = list[dict[str, Any]]
"""The results of each process."""


@pytest.fixture(scope="module")
def outcomes_by_size(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Outcomes]:
    folder = tmp_path_factory.mktemp("groups")
    run_processes(work, str(folder), size=max(GROUPS))
    return {
        size: [torch.load(folder / f"{rank} of {size}.pt", weights_only=True) for rank in range(size)]
        for size in GROUPS
    }


@pytest.fixture(params=sorted(GROUPS))
def outcomes(request: pytest.FixtureRequest, outcomes_by_size: dict[int, Outcomes]) -> Outcomes:
    return outcomes_by_size[request.param]


@pytest.fixture
def pair(outcomes_by_size: dict[int, Outcomes]) -> Outcomes:
    return outcomes_by_size[2]


@pytest.mark.parametrize("name", CASES)
def test_unequal_processes_equal_one_with_the_whole_batch(outcomes: Outcomes, name: str) -> None:
    expected = whole_batch(CASES[name], len(outcomes))
    tolerance = 1e-5 if CASES[name].dtype == torch.float32 else 1e-10
    for rank, results in enumerate(outcomes):
        assert sorted(results[name]) == sorted(expected[rank])
        for key, value in results[name].items():
            assert value.dtype in (CASES[name].dtype, torch.int64)
            scale = max(1.0, expected[rank][key].abs().max().item())
            torch.testing.assert_close(
                value.double(), expected[rank][key].double(), rtol=0, atol=tolerance * scale, msg=key
            )


def test_the_whole_batch_of_the_oracle_matters() -> None:
    alone, together = whole_batch(Case(), 1)[0], whole_batch(Case(), 2)[0]

    assert min((alone[key] - together[key]).abs().max() for key in alone if "batches" not in key) > 1e-3


def test_recomputing_changes_no_bit(outcomes: Outcomes, pair: Outcomes) -> None:
    for results in outcomes:
        for key, value in results["recomputed"].items():
            assert torch.equal(value, results["coalesced"][key])
    for results in pair:
        for key, value in results["recomputed network"].items():
            assert torch.equal(value, results["network"][key])


def test_a_whole_network_over_processes_equals_one_process(outcomes: Outcomes) -> None:
    size = len(outcomes)
    expected = train_network(network_pictures(None, size), across_processes=False)
    for results in outcomes:
        assert list(results["network"]) == list(expected)
        for name, value in results["network"].items():
            scale = expected[name].abs().max().item()
            torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-9 * scale, msg=name)


def test_a_mean_far_from_zero_costs_no_precision(outcomes: Outcomes) -> None:
    pictures = [picture_of(rank, 0, 0).float() + 1e4 for rank in range(len(outcomes))]
    exact = torch.cat([x.double().transpose(0, 1).reshape(3, -1) for x in pictures], dim=1)
    mean, std = exact.mean(1)[:, None, None], exact.std(1, correction=0)[:, None, None]
    for results, x in zip(outcomes, pictures, strict=True):
        expected = (x.double() - mean) / std
        torch.testing.assert_close(results["far from zero"].double(), expected, rtol=0, atol=5e-3)


def test_bfloat16_features_stay_so_and_their_statistics_are_those_of_float32(outcomes: Outcomes) -> None:
    pictures = [(picture_of(rank, 0, 0) + 3).bfloat16() for rank in range(len(outcomes))]
    pixels = torch.cat([x.double().transpose(0, 1).reshape(3, -1) for x in pictures], dim=1)
    variance, mean = torch.var_mean(pixels, dim=1)
    for results, x in zip(outcomes, pictures, strict=True):
        found = results["half precision"]
        assert found["dtypes"] == (torch.bfloat16, torch.bfloat16, torch.float32)
        torch.testing.assert_close(found["running_mean"].double(), 0.1 * mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found["running_var"].double(), 0.9 + 0.1 * variance, rtol=1e-5, atol=1e-6)
        std = pixels.std(1, correction=0)[:, None, None]
        exact = (x.double() - mean[:, None, None]) / std
        torch.testing.assert_close(found["output"].double(), exact, rtol=2**-8, atol=2**-8)


def test_norms_that_are_due_together_share_one_message_each_way(outcomes: Outcomes) -> None:
    for results in outcomes:
        level = results["mixed level"]
        assert level["together"]["messages"] == (1, 1)
        assert level["alone"]["messages"] == (4, 3)
        for together, alone in zip(level["together"]["tensors"], level["alone"]["tensors"], strict=True):
            assert (together is None) == (alone is None)
            if together is not None:
                torch.testing.assert_close(together, alone)


def test_sums_that_no_input_needs_do_not_travel(pair: Outcomes) -> None:
    assert [results["frozen level"] for results in pair] == [(1, 0), (1, 0)]


def test_messages_of_a_step_are_counted_on_the_process_group(pair: Outcomes) -> None:
    for results in pair:
        assert {name: step["messages"] for name, step in results["steps"].items()} == {
            # Stem 2, bottlenecks 12, transitions 3; modules 9, 4 x 10, 3 x 11: 8 and the longest path each.
            "hrnet w18": (99, 99),
            "hrnet small, valid": (26, 26),  # 2 + 3 + 3, and 4 + 1, 4 + 2, 4 + 3
            "resnet 50": (49, 49),  # 1 + 16 bottlenecks of 3
            "resnet 50, frozen": (39, 39),  # less the stem and 3 bottlenecks
        }


def test_recomputing_sends_nothing_again(pair: Outcomes) -> None:
    assert [results["recomputed messages"] for results in pair] == [(26, 26), (26, 26)]


def test_a_message_costs_a_handful_of_operators_however_many_norms_share_it(pair: Outcomes) -> None:
    for results in pair:
        for name, num_norms in (("hrnet w18", 305), ("resnet 50", 53)):
            step = results["steps"][name]
            (forward, backward), (num_forward, num_backward) = step["operators alone"], step["messages"]
            # Alone every norm counts its batches by an operator.
            assert step["operators"][0] <= forward - num_norms + 6 * num_forward, name
            assert step["operators"][1] <= backward + 5 * num_backward, name


def test_a_step_over_processes_has_at_most_a_fifth_more_operators(pair: Outcomes) -> None:
    for results in pair:
        for name in ("hrnet w18", "hrnet small, valid"):
            step = results["steps"][name]
            assert sum(step["operators"]) <= 1.2 * sum(step["operators alone"]), name


def test_the_known_answer_tells_right_from_wrong(outcomes: Outcomes) -> None:
    for results in outcomes:
        errors = results["known answers"]
        assert max(errors["coalesced"], errors["per-layer"]) < 1e-5
    assert min(results["known answers"]["equal-count"] for results in outcomes) > 1e-2
    assert max(results["known answers"]["wrong rank"] for results in outcomes) > 1e-2


def test_the_equal_count_rule_averages_processes_whatever_they_hold(outcomes: Outcomes) -> None:
    pictures = [picture_of(rank, 0, 0) for rank in range(len(outcomes))]
    slopes = [seeded(tuple(x.shape), 20 + rank) for rank, x in enumerate(pictures)]

    def mean_of_means(maps: list[Tensor]) -> Tensor:
        return torch.stack([map_.mean((0, 2, 3)) for map_ in maps]).mean(0)[:, None, None]

    mean = mean_of_means(pictures)
    std = (mean_of_means([x.square() for x in pictures]) - mean.square() + 1e-5).sqrt()
    normalised = [(x - mean) / std for x in pictures]
    mean_slope = mean_of_means(slopes)
    mean_product = mean_of_means([g * y for g, y in zip(slopes, normalised, strict=True)])
    for results, y, slope in zip(outcomes, normalised, slopes, strict=True):
        torch.testing.assert_close(results["equal-count"]["output"], y, rtol=1e-10, atol=1e-10)
        gradient = (slope - mean_slope - y * mean_product) / std
        torch.testing.assert_close(results["equal-count"]["gradient"], gradient, rtol=1e-9, atol=1e-9)


def test_the_equal_count_rule_is_exact_for_equal_sizes(outcomes: Outcomes) -> None:
    norm = nn.BatchNorm2d(3, dtype=torch.float64)
    pictures = torch.cat([seeded((2, 3, 4, 5), rank) for rank in range(len(outcomes))]).requires_grad_()
    output = norm(pictures)
    output.backward(torch.cat([seeded((2, 3, 4, 5), 20 + rank) for rank in range(len(outcomes))]))

    found = [results["equal-count, equal sizes"] for results in outcomes]
    torch.testing.assert_close(torch.cat([x["output"] for x in found]), output.detach())
    torch.testing.assert_close(torch.cat([x["gradient"] for x in found]), gradient_of(pictures))


def test_a_compiled_step_is_one_graph_with_the_same_losses_and_gradients(pair: Outcomes) -> None:
    for results in pair:
        assert results["compiled"]["compiled, exchanges"] == results["compiled"]["eager, exchanges"] > 0
        for eager, compiled_ in zip(
            results["compiled"]["eager"], results["compiled"]["compiled"], strict=True
        ):
            torch.testing.assert_close(compiled_, eager)

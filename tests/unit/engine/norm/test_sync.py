"""One process against torch's layer; two processes against one that holds the whole batch.

The pictures of the two processes differ in number and size.  The oracle lays their pixels end to end, as the
batch norm of a sequence, so it shares no code and no formula with the layer.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from hrdet_cli.engine.models.hrnet import HRNET_CONFIGS, HRNet
from hrdet_cli.engine.norm.convert import convert_norm
from hrdet_cli.engine.norm.recompute import run_segment
from hrdet_cli.engine.norm.sync import SyncBatchNorm2d

SHAPES = ((2, 3, 6, 8), (1, 3, 5, 9))
"""Pictures of each process: 96 and 45 pixels."""


def seeded(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gradient_of(tensor: Tensor) -> Tensor:
    if tensor.grad is None:
        raise AssertionError("no gradient reached this tensor")
    return tensor.grad.clone()


NETWORK_PICTURES = seeded((3, 3, 64, 64), 7)
"""Of which the first process has one and the second has two."""


def build_norm(kind: type[nn.BatchNorm1d] | type[nn.BatchNorm2d]) -> Any:
    norm = kind(3, dtype=torch.float64)
    norm.load_state_dict({"weight": seeded((3,), 5), "bias": seeded((3,), 6)}, strict=False)
    return norm


def train_two_batches(norm: SyncBatchNorm2d, rank: int, *, recompute: bool) -> dict[str, Tensor]:
    """Two steps, so that running statistics have a history; the loss weighs every pixel differently."""
    results: dict[str, Tensor] = {}
    for step in range(2):
        norm.zero_grad()
        x = seeded(SHAPES[rank], 10 * step + rank).requires_grad_()
        y = run_segment(norm, x, recompute=recompute)
        (y.tanh() * seeded(SHAPES[rank], 100 * step + rank)).sum().backward()
        results |= {f"output{step}": y.detach(), f"gradient{step}": gradient_of(x)}
    for name, parameter in norm.named_parameters():
        total = gradient_of(parameter)
        dist.all_reduce(total)
        results[f"gradient of {name}"] = total
    return results | {name: buffer.clone() for name, buffer in norm.named_buffers()}


def train_network(pictures: Tensor, *, across_processes: bool) -> dict[str, Tensor]:
    """Gradients and statistics of a whole network after one step on these pictures."""
    torch.manual_seed(0)
    network = HRNet(HRNET_CONFIGS["small"]).double()
    if across_processes:
        convert_norm(network, kind="sync")
    loss = torch.stack([map_.square().sum() for map_ in network(pictures)]).sum()
    torch.autograd.backward([loss])
    gradients = {name: gradient_of(parameter) for name, parameter in network.named_parameters()}
    if across_processes:
        for gradient in gradients.values():
            dist.all_reduce(gradient)
    return gradients | dict(network.named_buffers())


def work(rank: int, folder: str) -> None:
    """What each of two processes does; everything that needs two of them is in here."""
    torch.set_num_threads(1)
    store = Path(folder, "store").as_uri()
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    results: dict[str, Any] = {
        "plain": train_two_batches(build_norm(SyncBatchNorm2d), rank, recompute=False),
        "recomputed": train_two_batches(build_norm(SyncBatchNorm2d), rank, recompute=True),
        "network": train_network(NETWORK_PICTURES[rank : 1 + 2 * rank], across_processes=True),
    }

    far_from_zero = seeded(SHAPES[rank], rank).float() + 1e4
    results["far from zero"] = SyncBatchNorm2d(3)(far_from_zero).detach()

    half = seeded(SHAPES[rank], rank).bfloat16().requires_grad_()
    norm = SyncBatchNorm2d(3)
    y = norm(half)
    y.sum().backward()
    results["dtypes"] = (y.dtype, gradient_of(half).dtype, gradient_of(norm.weight).dtype)

    if rank == 0:  # would wait for the other process for ever if it sent anything
        norm.eval()(half)
    torch.save(results, Path(folder, f"{rank}.pt"))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("sync")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(pytestconfig.rootpath)  # the new processes import this file by its name
        spawn(work, args=(str(folder),), nprocs=2)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def whole_batch() -> dict[str, Any]:
    """The oracle: one batch norm over the pixels of all pictures, laid end to end."""
    norm = build_norm(nn.BatchNorm1d)
    results: dict[str, Any] = {}
    for step in range(2):
        norm.zero_grad()
        pictures = [seeded(shape, 10 * step + rank).requires_grad_() for rank, shape in enumerate(SHAPES)]
        y = norm(torch.cat([picture.transpose(0, 1).reshape(3, -1) for picture in pictures], dim=1)[None])[0]
        parts = y.split([shape[0] * shape[2] * shape[3] for shape in SHAPES], dim=1)
        outputs = [
            part.reshape(3, shape[0], *shape[2:]).transpose(0, 1)
            for part, shape in zip(parts, SHAPES, strict=True)
        ]
        sum(
            (output.tanh() * seeded(shape, 100 * step + rank)).sum()
            for rank, (output, shape) in enumerate(zip(outputs, SHAPES, strict=True))
        ).backward()
        results[f"output{step}"] = outputs
        results[f"gradient{step}"] = [picture.grad for picture in pictures]
    for name, parameter in norm.named_parameters():
        results[f"gradient of {name}"] = [parameter.grad] * 2
    return results | {name: [buffer] * 2 for name, buffer in norm.named_buffers()}


@pytest.mark.distributed
def test_two_unequal_processes_equal_one_with_the_whole_batch(both: list[dict[str, Any]]) -> None:
    expected = whole_batch()
    for rank in range(2):
        assert sorted(both[rank]["plain"]) == sorted(expected)
        for name, value in both[rank]["plain"].items():
            torch.testing.assert_close(value, expected[name][rank], rtol=1e-10, atol=1e-10, msg=name)


@pytest.mark.distributed
def test_recomputing_changes_nothing_over_processes(both: list[dict[str, Any]]) -> None:
    for results in both:
        assert all(
            torch.equal(results["recomputed"][name], value) for name, value in results["plain"].items()
        )


@pytest.mark.distributed
def test_a_whole_network_over_two_processes_equals_one_process(both: list[dict[str, Any]]) -> None:
    expected = train_network(NETWORK_PICTURES, across_processes=False)
    for results in both:
        assert list(results["network"]) == list(expected)
        for name, value in results["network"].items():
            scale = expected[name].abs().max().item()
            torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-9 * scale, msg=name)


@pytest.mark.distributed
def test_a_mean_far_from_zero_costs_no_precision(both: list[dict[str, Any]]) -> None:
    pixels = [seeded(shape, rank).float() + 1e4 for rank, shape in enumerate(SHAPES)]
    exact = torch.cat([x.double().transpose(0, 1).reshape(3, -1) for x in pixels], dim=1)
    mean, std = exact.mean(1)[:, None, None], exact.std(1, correction=0)[:, None, None]
    for results, x in zip(both, pixels, strict=True):
        expected = (x.double() - mean) / std
        torch.testing.assert_close(results["far from zero"].double(), expected, rtol=0, atol=5e-3)


@pytest.mark.distributed
def test_bfloat16_features_stay_bfloat16_and_parameters_float32(both: list[dict[str, Any]]) -> None:
    assert both[0]["dtypes"] == (torch.bfloat16, torch.bfloat16, torch.float32)


@pytest.mark.parametrize("is_training", [True, False])
def test_one_process_is_exactly_a_plain_batch_norm(is_training: bool) -> None:
    sync, plain = build_norm(SyncBatchNorm2d), build_norm(nn.BatchNorm2d)
    sync.train(is_training)
    plain.train(is_training)
    outcomes = []
    for norm in (sync, plain):
        x = seeded(SHAPES[0], 0).requires_grad_()
        y = norm(x)
        y.square().sum().backward()
        outcomes.append([y, x.grad, norm.weight.grad, norm.bias.grad, *norm.state_dict().values()])

    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*outcomes, strict=True))

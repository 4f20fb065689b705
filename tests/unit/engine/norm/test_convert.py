import sys
from collections.abc import Iterator
from math import gcd
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from hrdet_cli.engine.norm.back_ends import NormBackEnd
from hrdet_cli.engine.norm.convert import NormKind, NormReport, convert_norm
from hrdet_cli.engine.norm.fixed import FixedBatchNorm2d
from hrdet_cli.engine.norm.sync import SyncBatchNorm2d
from hrdet_cli.errors import SpecError

KINDS: tuple[NormKind, ...] = ("batch", "sync", "frozen", "group")


def build_model() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 18, 1), nn.BatchNorm2d(18), nn.Sequential(nn.BatchNorm2d(18, eps=1e-3)))


def norms_of(model: nn.Module) -> Iterator[Any]:
    kinds = nn.BatchNorm2d | nn.SyncBatchNorm | nn.GroupNorm
    return (module for module in model.modules() if isinstance(module, kinds))


@pytest.mark.parametrize(
    ("kind", "keep_statistics", "expected", "trains"),
    [
        ("batch", False, nn.BatchNorm2d, True),
        ("batch", True, FixedBatchNorm2d, True),
        ("frozen", False, FixedBatchNorm2d, False),
        ("frozen", True, FixedBatchNorm2d, False),
        ("sync", False, SyncBatchNorm2d, True),
        ("group", False, nn.GroupNorm, True),
    ],
)
def test_every_kind_becomes_its_class_at_every_depth(
    kind: NormKind, keep_statistics: bool, expected: type[nn.Module], trains: bool
) -> None:
    model = build_model()

    report = convert_norm(model, kind=kind, keep_statistics=keep_statistics)

    assert [type(norm) for norm in norms_of(model)] == [expected, expected]
    assert [p.requires_grad for norm in norms_of(model) for p in norm.parameters()] == [trains] * 4
    assert report == NormReport(
        kind=kind,
        back_end="coalesced" if kind == "sync" else None,
        num_converted=2,
        num_left_frozen=0,
        left_alone=(),
    )


@pytest.mark.parametrize("kind", ["batch", "sync", "frozen"])
def test_batch_kinds_keep_keys_values_and_the_parameters_themselves(kind: NormKind) -> None:
    model = build_model()
    model(torch.randn(2, 3, 4, 4))  # statistics that are not the initial ones
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    parameters = [*model.parameters()]

    convert_norm(model, kind=kind)

    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    assert all(new is old for new, old in zip(model.parameters(), parameters, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_dtype_device_mode_and_epsilon_are_kept(kind: NormKind) -> None:
    with torch.device("meta"):
        model = build_model().double()
    model[2].eval()

    convert_norm(model, kind=kind)

    first, second = norms_of(model)
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    assert (first.training, second.training) == (True, False)
    assert (first.eps, second.eps) == (1e-5, 1e-3)


@pytest.mark.parametrize(
    ("kind", "back_end"),
    [
        ("batch", "coalesced"),
        ("frozen", "coalesced"),
        *(("sync", back_end) for back_end in ("coalesced", "per-layer", "equal-count", "torch")),
    ],
)
def test_every_layer_takes_the_epsilon_that_is_given_those_of_frozen_parts_too(
    kind: NormKind, back_end: NormBackEnd
) -> None:
    model = nn.Sequential(build_model(), nn.BatchNorm2d(18).requires_grad_(False))

    convert_norm(model, kind=kind, back_end=back_end, epsilon=2e-4)

    assert [norm.eps for norm in norms_of(model)] == [2e-4, 2e-4, 2e-4]


def test_a_frozen_norm_without_epsilon_computes_what_torchvisions_does() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(5))
    state = {
        "weight": torch.randn(5),
        "bias": torch.randn(5),
        "running_mean": torch.randn(5),
        "running_var": torch.rand(5) * 1e-4,  # where 1e-5 would show
        "num_batches_tracked": torch.tensor(0),
    }
    model[0].load_state_dict(state)
    theirs = FrozenBatchNorm2d(5, eps=0.0)
    theirs.load_state_dict(state)
    x = torch.randn(2, 5, 4, 4)

    convert_norm(model, kind="frozen", epsilon=0)

    torch.testing.assert_close(model.train()(x), theirs(x), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_in_two_places_stays_one_layer(kind: NormKind) -> None:
    shared = nn.BatchNorm2d(4)
    nested = nn.Sequential(shared)
    model = nn.ModuleDict({"a": shared, "b": nested, "c": nn.BatchNorm2d(4)})

    report = convert_norm(model, kind=kind)

    assert model["a"] is nested[0]
    assert model["a"] is not shared or kind == "batch"
    assert report.num_converted == 2


@pytest.mark.parametrize(
    ("channels", "num_groups", "expected"), [(64, 32, 32), (18, 32, 2), (36, 32, 4), (7, 32, 1)]
)
def test_groups_divide_the_channels(channels: int, num_groups: int, expected: int) -> None:
    model = nn.Sequential(nn.BatchNorm2d(channels))

    convert_norm(model, kind="group", num_groups=num_groups)

    assert expected == gcd(channels, num_groups)
    assert [(norm.num_groups, norm.num_channels) for norm in norms_of(model)] == [(expected, channels)]
    assert sorted(model.state_dict()) == ["0.bias", "0.weight"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_part_keeps_fixed_statistics_whatever_the_kind(kind: NormKind) -> None:
    model = build_model()
    model[1].requires_grad_(False)

    report = convert_norm(model, kind=kind)

    assert type(model[1]) is FixedBatchNorm2d
    assert not model[1].weight.requires_grad
    assert (report.num_converted, report.num_left_frozen) == (1, 1)


def test_kept_statistics_can_be_let_go_again() -> None:
    model = build_model()
    convert_norm(model, kind="batch", keep_statistics=True)

    convert_norm(model, kind="sync")

    assert [type(norm) for norm in norms_of(model)] == [SyncBatchNorm2d, SyncBatchNorm2d]


@pytest.mark.parametrize("kind", ["sync", "group"])
def test_keeping_statistics_of_a_kind_without_them_is_an_error(kind: NormKind) -> None:
    with pytest.raises(ValueError, match=f"keep_statistics has no meaning for norm kind '{kind}'"):
        convert_norm(build_model(), kind=kind, keep_statistics=True)


def trained_state(model: nn.Module) -> dict[str, Any]:
    for seed in range(2):
        model.train()(torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed)))
    return model.state_dict()


@pytest.mark.parametrize("back_end", ["coalesced", "per-layer", "equal-count", "torch"])
def test_a_synchronised_state_loads_into_a_plain_model_that_evaluates_alike(back_end: NormBackEnd) -> None:
    plain, sync = build_model().eval(), build_model()
    report = convert_norm(sync, kind="sync", back_end=back_end)

    plain.load_state_dict(trained_state(sync), strict=True)

    x = torch.randn(2, 3, 5, 6)
    assert report.back_end == back_end
    assert torch.equal(plain(x), sync.eval()(x))


@pytest.mark.parametrize("back_end", ["coalesced", "per-layer", "equal-count", "torch"])
def test_synchronised_norms_become_plain_ones_again(back_end: NormBackEnd) -> None:
    model = build_model()
    convert_norm(model, kind="sync", back_end=back_end)
    before = {key: tensor.clone() for key, tensor in trained_state(model).items()}

    report = convert_norm(model, kind="batch")

    assert [type(norm) for norm in norms_of(model)] == [nn.BatchNorm2d, nn.BatchNorm2d]
    assert [norm.eps for norm in norms_of(model)] == [1e-5, 1e-3]
    assert (report.num_converted, report.back_end) == (2, None)
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


def test_a_model_that_torch_has_converted_is_understood() -> None:
    model = nn.SyncBatchNorm.convert_sync_batchnorm(build_model())  # type: ignore[no-untyped-call]

    convert_norm(model, kind="sync")

    assert [type(norm) for norm in norms_of(model)] == [SyncBatchNorm2d, SyncBatchNorm2d]


@pytest.mark.parametrize("kind", KINDS)
def test_norms_of_sequences_and_volumes_are_left_alone_and_named(kind: NormKind) -> None:
    shared = nn.BatchNorm1d(4)
    model = nn.ModuleDict(
        {"head": nn.Sequential(nn.Linear(2, 4), shared), "again": shared, "volume": nn.BatchNorm3d(2)}
    )

    report = convert_norm(model, kind=kind)

    assert report.left_alone == ("head.1", "volume")
    assert report.num_converted == 0
    assert [type(m) for m in model.modules()][3:] == [nn.BatchNorm1d, nn.BatchNorm3d]


@pytest.mark.parametrize("kind", ["batch", "sync"])
def test_settings_of_running_statistics_are_kept(kind: NormKind) -> None:
    model = nn.Sequential(
        nn.BatchNorm2d(2, momentum=None), nn.BatchNorm2d(2, affine=False, track_running_stats=False)
    )

    convert_norm(model, kind=kind)

    cumulative, bare = norms_of(model)
    assert (cumulative.momentum, cumulative.track_running_stats) == (None, True)
    assert (bare.affine, bare.track_running_stats, bare.state_dict()) == (False, False, {})


def test_a_back_end_that_is_not_to_be_had_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apex", None)  # as if it were not installed
    model = build_model()

    with pytest.raises(SpecError, match=r"^norm.back_end: 'apex' is NVIDIA's apex, which is not installed; "):
        convert_norm(model, kind="sync", back_end="apex")

    assert [type(norm) for norm in norms_of(model)] == [nn.BatchNorm2d, nn.BatchNorm2d]

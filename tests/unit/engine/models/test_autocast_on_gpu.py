"""What autocast makes of a trunk on a GPU, told by tensors without values: its rules differ from a CPU's."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from hrdet_cli.engine.benchmarking.traffic import CountingMode
from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS, HRNet
from hrdet_cli.engine.models.backbones.resnet import ResNet
from hrdet_cli.engine.models.necks.fpn import FPN
from hrdet_cli.engine.models.necks.hrfpn import HRFPN
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import Size
from tests.autocast_on_gpu import autocast_on_gpu


class Sums(CountingMode):  # type: ignore[no-untyped-call]  # torch gives no types
    """While inside, notes the dtypes of what is concatenated or added, but for integers."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        is_sum = func in (torch.ops.aten.cat.default, torch.ops.aten.add.Tensor)
        if is_sum and output.is_floating_point():
            self.dtypes.add(output.dtype)
        return output


def hrfpn() -> tuple[nn.Module, nn.Module]:
    trunk = HRNet(HRNET_CONFIGS["small"])
    return trunk, HRFPN(in_channels=trunk.out_channels)


def fpn() -> tuple[nn.Module, nn.Module]:
    trunk = ResNet(depth=50, frozen_stages=0)
    return trunk, FPN(in_channels=trunk.out_channels)


@pytest.mark.parametrize("hides_padding", [False, True])
@pytest.mark.parametrize("build", [hrfpn, fpn])
def test_maps_stay_in_the_reduced_precision_though_they_are_enlarged_in_float32(
    build: Callable[[], tuple[nn.Module, nn.Module]], hides_padding: bool
) -> None:
    with FakeTensorMode(), torch.device("cuda"), autocast_on_gpu():
        trunk, neck = build()
        features = trunk(torch.zeros(1, 3, 64, 96))
        area = ValidArea.on_canvas(Size(64, 96), torch.tensor([[64, 96]])) if hides_padding else None
        with Sums() as sums:
            levels = neck(features, area).levels
    assert {maps.dtype for maps in (*features, *levels)} == {torch.bfloat16}
    assert sums.dtypes == {torch.bfloat16}

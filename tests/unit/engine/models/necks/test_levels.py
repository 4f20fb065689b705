import numpy as np
import pytest
import torch

from hrdet_cli.engine.models.necks.fpn import FPN, CoarseConvs
from hrdet_cli.engine.models.necks.hrfpn import HRFPN
from hrdet_cli.engine.models.necks.levels import FinestStride, fpn_levels, hrfpn_levels
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import Size

CANVASES = [(64, 96), (160, 224), (256, 320), (480, 1088)]


@pytest.mark.parametrize("hides_padding", [False, True])
@pytest.mark.parametrize("finest_stride", [4, 8])
@pytest.mark.parametrize("kind", ["fpn", "hrfpn"])
def test_the_numbers_are_those_of_the_necks_maps(
    kind: str, finest_stride: FinestStride, hides_padding: bool
) -> None:
    channels = (1, 1, 1, 1)
    if kind == "fpn":
        convs = CoarseConvs() if finest_stride == 8 else None
        neck: FPN | HRFPN = FPN(in_channels=channels, out_channels=1, coarse_convs=convs)
        levels = fpn_levels(finest_stride)
    else:
        neck = HRFPN(in_channels=channels, out_channels=1, finest_stride=finest_stride)
        levels = hrfpn_levels(finest_stride, hides_padding=hides_padding)

    assert neck.strides == levels.strides == tuple(finest_stride * 2**level for level in range(5))
    for height, width in CANVASES:
        features = [torch.zeros(1, 1, height // s, width // s) for s in (4, 8, 16, 32)]
        area = ValidArea.on_canvas(Size(height, width), torch.tensor([[height, width]]))
        maps = neck(features, area if hides_padding else None).levels
        edges = np.array([height, width])
        cells = [levels.num_cells(edges, level=level).tolist() for level in range(len(maps))]
        assert cells == [[*level.shape[-2:]] for level in maps]


def test_pooling_drops_what_a_stride_keeps() -> None:
    # 480 pixels are 7.5 cells at stride 64: 8 where nothing is dropped, else 7, of which a stride makes 4.
    edges = np.array([480])
    assert [levels.num_cells(edges, level=4).item() for levels in (fpn_levels(4), hrfpn_levels(4))] == [8, 7]
    assert [levels.num_cells(edges, level=3).item() for levels in (fpn_levels(8), hrfpn_levels(8))] == [8, 8]
    # At stride 128 they are 3.75.
    assert [levels.num_cells(edges, level=4).item() for levels in (fpn_levels(8), hrfpn_levels(8))] == [4, 4]
    # 576 are 9 and 4.5; 544 are 8.5 and 4.25, and lose half a cell to pooling first.
    assert hrfpn_levels(8).num_cells(np.array([576, 544]), level=4).tolist() == [5, 4]
    assert fpn_levels(8).num_cells(np.array([576, 544]), level=4).tolist() == [5, 5]

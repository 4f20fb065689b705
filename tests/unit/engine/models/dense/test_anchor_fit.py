from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

from hrdet_cli.engine.models.boxes.arithmetic import pairwise_iou
from hrdet_cli.engine.models.dense.anchor_fit import AnchorFit, PlacedBoxes
from hrdet_cli.engine.models.dense.anchor_shapes import AnchorLayout, AnchorShapes
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator
from hrdet_cli.engine.models.necks.fpn import FPN, CoarseConvs
from hrdet_cli.engine.models.necks.hrfpn import HRFPN
from hrdet_cli.engine.models.necks.levels import PyramidLevels, fpn_levels, hrfpn_levels
from hrdet_cli.engine.structures import Size

INPUT = (1, 1, 1, 1)
NECKS: dict[str, Callable[[], FPN | HRFPN]] = {
    "fpn": partial(FPN, in_channels=INPUT, out_channels=1),
    "hrfpn": partial(HRFPN, in_channels=INPUT, out_channels=1),
    "fpn from 8": partial(FPN, in_channels=INPUT, out_channels=1, coarse_convs=CoarseConvs()),
    "hrfpn from 8": partial(HRFPN, in_channels=INPUT, out_channels=1, finest_stride=8),
}
LEVELS = {
    "fpn": fpn_levels(4),
    "hrfpn": hrfpn_levels(4),
    "fpn from 8": fpn_levels(8),
    "hrfpn from 8": hrfpn_levels(8),
}


def placed(boxes: list[list[float]], *, picture: tuple[int, int], canvas: tuple[int, int]) -> PlacedBoxes:
    """Boxes of one picture; sizes are height and width."""
    return PlacedBoxes(
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        pictures=np.array([picture] * len(boxes)),
        canvases=np.array([canvas] * len(boxes)),
    )


def fit_of(strides: tuple[int, ...], *, allowed_border: float | None) -> AnchorFit:
    """On levels that drop nothing."""
    return AnchorFit(
        anchors=AnchorShapes(strides=strides),
        allowed_border=allowed_border,
        levels=PyramidLevels(strides=strides, pooled_strides=(1,) * len(strides)),
    )


def random_boxes(count: int, *, height: int, width: int) -> list[list[float]]:
    generator = np.random.default_rng(0)
    sides = np.exp(generator.uniform(0, np.log(min(height, width)), (count, 2)))
    starts = generator.uniform(0, 1, (count, 2)) * (np.array([width, height]) - sides)
    corners = np.concatenate([starts, starts + sides], axis=1)
    return [[float(np.float32(edge)) for edge in box] for box in corners]


@pytest.mark.parametrize(("allowed_border", "scales_per_octave"), [(0, 1), (7.5, 1), (None, 1), (None, 3)])
@pytest.mark.parametrize("neck", [*NECKS])
@pytest.mark.parametrize("picture", [(150, 223), (160, 224), (40, 100)])
@pytest.mark.parametrize(
    "layout",
    [
        AnchorLayout(),
        AnchorLayout(offset=0.5, is_rounded=True, area="padded"),
        AnchorLayout(is_rounded=True, step="canvas", area="canvas"),
        AnchorLayout(offset=0.3, step="canvas", has_whole_sides=True),
        AnchorLayout(is_rounded=True, border_end="outside"),
    ],
)
def test_the_best_overlap_is_that_of_all_anchors_the_network_trains_on(
    neck: str,
    allowed_border: float | None,
    scales_per_octave: int,
    picture: tuple[int, int],
    layout: AnchorLayout,
) -> None:
    canvas = (160, 224)  # 64 divides neither
    network = NECKS[neck]()
    features = [torch.zeros(1, 1, canvas[0] // stride, canvas[1] // stride) for stride in (4, 8, 16, 32)]
    grids = [Size(level.shape[2], level.shape[3]) for level in network(features).levels]
    generator = AnchorGenerator(
        strides=network.strides,
        scale=3,
        scales_per_octave=scales_per_octave,
        aspect_ratios=(0.4, 1.0, 2.0),
        layout=layout,
    )
    anchors, size = generator(grids), torch.tensor([picture])
    takes_part = anchors.belong_to(size)[0]
    if allowed_border is not None:
        takes_part &= anchors.lie_inside(size, border=allowed_border)[0]
    boxes = random_boxes(200, height=picture[0], width=picture[1])
    wanted = pairwise_iou(torch.tensor(boxes), anchors.boxes[takes_part]).amax(dim=1)

    fit = AnchorFit(anchors=generator.shapes, allowed_border=allowed_border, levels=LEVELS[neck])
    found = fit.best_iou(placed(boxes, picture=picture, canvas=canvas))
    np.testing.assert_allclose(found, wanted.numpy(), atol=2e-6)


def test_a_box_that_is_an_anchor_fits_entirely() -> None:
    fit = fit_of((4,), allowed_border=0)
    boxes = placed([[24, 28, 56, 60], [26, 30, 58, 62]], picture=(96, 96), canvas=(96, 96))
    # The second lies half a stride off on both axes: 30 x 30 of 2 x 32 x 32 - 30 x 30 are common.
    np.testing.assert_allclose(fit.best_iou(boxes), [1.0, 900 / 1148])


def test_a_picture_too_small_for_every_anchor_fits_none() -> None:
    fit = fit_of((4, 8), allowed_border=0)
    boxes = placed([[2, 2, 18, 18]], picture=(20, 20), canvas=(64, 64))
    assert fit.best_iou(boxes).tolist() == [0.0]
    anywhere = fit_of((4, 8), allowed_border=None)
    assert anywhere.best_iou(boxes)[0] > 0.2


def test_no_boxes_have_no_overlaps() -> None:
    fit = fit_of((4,), allowed_border=0)
    nothing = PlacedBoxes(
        np.zeros((0, 4)), np.zeros((0, 2), dtype=np.int64), np.zeros((0, 2), dtype=np.int64)
    )
    assert fit.best_iou(nothing).shape == (0,)

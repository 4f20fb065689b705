import pytest
import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign, roi_align

from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.pooling import RegionPooling, pyramid_levels
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import Size

STRIDES = (4, 8, 16, 32)


def random_features(*, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(2, 3, 512 // stride, 768 // stride, generator=generator).requires_grad_()
        for stride in STRIDES
    )


def regions_of_all_levels() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    sides = torch.exp2(torch.rand(2, 40, 2, generator=generator) * 6 + 3)
    corners = torch.rand(2, 40, 2, generator=generator) * (torch.tensor([768, 512]) - sides).clamp(min=0)
    regions = torch.cat((corners, torch.minimum(corners + sides, torch.tensor([768.0, 512.0]))), dim=-1)
    regions[0, 0] = torch.tensor([0.0, 0.0, 768.0, 512.0])
    regions[1, -2:] = 0  # padding rows
    return regions


def test_levels_are_the_table() -> None:
    # 2 * 56 = 112 is where level 1 starts; the 1e-6 puts it there exactly.
    table = {0.0: 0, 56.0: 0, 111.9: 0, 112.0: 1, 223.9: 1, 224.0: 2, 447.9: 2, 448.0: 3, 5000.0: 3}
    regions = torch.tensor([[10.0, 20.0, 10 + side * 2, 20 + side / 2] for side in table])
    assert pyramid_levels(regions, num_levels=4, finest_side_pixels=56).tolist() == list(table.values())


@pytest.mark.parametrize(("sampling_ratio", "aligned"), [(2, False), (0, True), (0, False)])
def test_each_region_is_pooled_alone_on_its_level(sampling_ratio: int, aligned: bool) -> None:
    features, regions = random_features(), regions_of_all_levels()
    pooled = RegionPooling(strides=STRIDES, cells=5, sampling_ratio=sampling_ratio, aligned=aligned)(
        Pyramid(features, STRIDES), regions
    ).view(2, 40, 3, 5, 5)
    levels = pyramid_levels(regions, num_levels=4, finest_side_pixels=56).long()
    assert set(levels.flatten().tolist()) == {0, 1, 2, 3}
    for picture in range(2):
        for row in range(40):
            level = int(levels[picture, row])
            wanted = roi_align(
                features[level][picture : picture + 1],
                [regions[picture, row : row + 1]],
                5,
                1 / STRIDES[level],
                sampling_ratio,
                aligned,
            )
            torch.testing.assert_close(pooled[picture, row], wanted[0])


def test_pooling_equals_torchvisions() -> None:
    features, regions = random_features(), regions_of_all_levels()
    pooled = RegionPooling(strides=STRIDES, cells=7, sampling_ratio=2, aligned=False)(
        Pyramid(features, STRIDES), regions
    )
    theirs = MultiScaleRoIAlign(["0", "1", "2", "3"], output_size=7, sampling_ratio=2)
    named = {str(level): maps for level, maps in enumerate(features)}
    torch.testing.assert_close(pooled, theirs(named, [*regions], [(512, 768)] * 2))


def test_a_batch_whose_regions_are_all_on_one_level_is_pooled() -> None:
    regions = torch.tensor([0.0, 0.0, 30.0, 30.0]).expand(2, 3, 4)
    features = random_features()
    pooled = RegionPooling(strides=STRIDES, sampling_ratio=2, aligned=True)(
        Pyramid(features, STRIDES), regions
    )
    assert pooled.shape == (6, 3, 7, 7)
    pooled.sum().backward()
    assert all(maps.grad is not None for maps in features)


def regions_at_the_edges(height: int, width: int) -> Tensor:
    """Whole sides, slivers narrower than a cell, and an empty one in the last corner."""
    return torch.tensor(
        [
            [0.0, 0.0, width, height],
            [width - 30.0, height - 20.0, width, height],
            [width - 0.5, 10.0, width, 90.0],
            [10.0, height - 0.5, 90.0, height],
            [width - 3.0, height - 2.0, width, height],
            [width, height, width, height],
            [20.0, 30.0, 60.0, 50.0],
        ]
    ).double()


def on_a_canvas(canvas: Size, sizes: list[tuple[int, int]]) -> tuple[Tensor, ...]:
    """Maps of random pictures, each a function of its size."""
    maps = [torch.zeros(2, 3, canvas.height // s, canvas.width // s).double() for s in STRIDES]
    for index, (height, width) in enumerate(sizes):
        generator = torch.Generator().manual_seed(index)
        for whole, stride in zip(maps, STRIDES, strict=True):
            part = torch.randn(3, height // stride, width // stride, generator=generator).double()
            whole[index, :, : part.shape[1], : part.shape[2]] = part
    return tuple(whole.requires_grad_() for whole in maps)


@pytest.mark.parametrize(("sampling_ratio", "aligned"), [(2, True), (2, False), (0, True), (0, False)])
def test_with_an_area_regions_at_a_picture_s_edge_do_not_see_how_far_it_is_to_the_canvas_s(
    sampling_ratio: int, aligned: bool
) -> None:
    sizes = [(128, 192), (96, 224)]
    pooling = RegionPooling(
        strides=STRIDES, cells=5, sampling_ratio=sampling_ratio, aligned=aligned, finest_side_pixels=14
    )
    regions = torch.stack([regions_at_the_edges(*size) for size in sizes])
    results = []
    for canvas in (Size(128, 224), Size(128, 256), Size(256, 320)):
        features = on_a_canvas(canvas, sizes)
        area = ValidArea.on_canvas(canvas, torch.tensor(sizes))
        pooled = pooling(Pyramid(features, STRIDES, area), regions)
        gradients = torch.autograd.grad(pooled.square().sum(), features)
        cut = [
            [gradient[i, :, : h // s, : w // s] for i, (h, w) in enumerate(sizes)]
            for gradient, s in zip(gradients, STRIDES, strict=True)
        ]
        results.append([pooled, *(part for parts in cut for part in parts)])
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    if aligned:  # then reading stops at the edge of the map where the picture is as large as the canvas
        first = tuple(x[:1, :, : 128 // s, : 192 // s] for x, s in zip(features, STRIDES, strict=True))
        alone = pooling(Pyramid(first, STRIDES), regions[:1])
        torch.testing.assert_close(results[-1][0][: len(alone)], alone, rtol=0, atol=1e-12)


def test_without_one_they_do() -> None:
    sizes = [(128, 192), (96, 224)]
    pooling = RegionPooling(strides=STRIDES, cells=5, sampling_ratio=2, aligned=True, finest_side_pixels=14)
    regions = torch.stack([regions_at_the_edges(*size) for size in sizes])
    tight, loose = (
        pooling(Pyramid(on_a_canvas(canvas, sizes), STRIDES), regions)
        for canvas in (Size(128, 224), Size(256, 320))
    )
    assert (tight - loose).abs().max() > 0.1

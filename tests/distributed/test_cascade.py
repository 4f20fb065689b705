"""Two processes with a picture each train a cascade as one process with both does."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.distributed.collectives import mean_over_processes
from hrdet_cli.engine.models.cascade_head import CascadeHead
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.structures import ImageBatch, Targets
from tests.cascades import (
    IMAGES,
    STRIDE,
    TARGETS,
    SamplerOfStream,
    draw_some,
    make_head,
    make_masks,
    make_pyramid,
    take_hardest,
)
from tests.distributed.process_group import gloo_group, run_processes

SAMPLERS: dict[str, SamplerOfStream] = {"random": draw_some, "ohem": take_hardest}


def make_hybrid(sampler: SamplerOfStream) -> CascadeHead:
    """With mask branches that hand on features and are trained on what the stages have refined."""
    head = make_head(sampler)
    stages = tuple(
        replace(stage, mask_draw=replace(stage.region_draw, sampler=sampler(4 + index)))
        for index, stage in enumerate(head.stages)
    )
    return replace(head, stages=stages, masks=make_masks(flow=True))


def losses_and_gradients(pictures: slice, sampling: str) -> dict[str, Tensor]:
    """Of some of the pictures; the means over the processes, as the training loop makes them."""
    head, level = make_hybrid(SAMPLERS[sampling]), make_pyramid().levels[0][pictures].detach()
    images = ImageBatch(IMAGES.pixels[pictures], IMAGES.sizes[pictures], IMAGES.keys[pictures])
    assert TARGETS.masks is not None
    targets = Targets(
        TARGETS.boxes[pictures],
        TARGETS.labels[pictures],
        TARGETS.is_valid[pictures],
        TARGETS.masks[pictures],
    )
    losses = head.losses(Pyramid((level,), strides=(STRIDE,)), images, targets)
    torch.autograd.backward(torch.stack([*losses.values()]).sum())
    parameters = {
        f"{part}.{name}": parameter
        for part, module in head.parts.items()
        for name, parameter in module.named_parameters()
    }
    gradients = {name: parameter.grad for name, parameter in parameters.items() if parameter.grad is not None}
    assert gradients.keys() == parameters.keys()
    local = {name: loss.detach() for name, loss in losses.items()} | gradients
    return {name: mean_over_processes(value) for name, value in local.items()}


def work(rank: int, folder: str) -> None:
    with gloo_group(Path(folder, "store"), rank=rank, size=2):
        found = {sampling: losses_and_gradients(slice(rank, rank + 1), sampling) for sampling in SAMPLERS}
        torch.save(found, Path(folder, f"{rank}.pt"))


@pytest.mark.distributed
def test_losses_and_gradients_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    run_processes(work, str(tmp_path), size=2)
    for sampling in SAMPLERS:
        wanted = losses_and_gradients(slice(None), sampling)
        assert wanted["roi_box_3"] > 0
        assert wanted["mask_head.stages.1.conv_res.weight"].any()
        for rank in range(2):
            found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)[sampling]
            assert found.keys() == wanted.keys()
            for name, value in wanted.items():
                torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-12, msg=name)

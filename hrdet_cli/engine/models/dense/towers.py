"""What heads that predict at every cell have in common before their outputs differ."""

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from hrdet_cli.engine.models.normed_convs import ConvTower
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.norm.in_step import run_in_step
from hrdet_cli.engine.numerics import run_exactly

_WEIGHT_STD = 0.01


def run_towers(towers: Sequence[ConvTower], pyramid: Pyramid) -> list[list[Tensor]]:
    """Run towers that share no layer over all levels, norm by norm, so that a depth shares its messages.

    Args:
        towers: Each sees all levels.
        pyramid: Of N pictures.

    Returns:
        Each tower's ``(N, C, H / s, W / s)`` for each stride s.
    """
    area, num_levels = pyramid.area, len(pyramid.levels)
    maps = run_in_step([tower.steps(x, area) for tower in towers for x in pyramid.levels], area)
    return [maps[start : start + num_levels] for start in range(0, len(maps), num_levels)]


def run_output(head: nn.Module) -> Callable[[nn.Conv2d, Tensor], Tensor]:
    """How an output layer of a head is run: outside autocast in detection, where scores are ranked.

    Losses rank nothing, and a layer of hundreds of channels on every cell is most of what a head computes.
    """
    return (lambda layer, maps: layer(maps)) if head.training else run_exactly


def initialise_convs(head: nn.Module, *, classifier: nn.Conv2d, prior_probability: float) -> None:
    """Draw a head's convolutions from a normal distribution, and set the bias that says how rare objects are.

    Lin et al., arXiv:1708.02002, section 4.1.

    Args:
        head: All of whose convolutions to draw, with zero biases.
        classifier: The one whose outputs are logits of classes.
        prior_probability: Of every class everywhere at the start.
    """
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=_WEIGHT_STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if classifier.bias is not None:
        nn.init.constant_(classifier.bias, -math.log((1 - prior_probability) / prior_probability))

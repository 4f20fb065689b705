"""An HRNet that is smaller still than the small one, for tests of all that is around a network."""

from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import hrdet_cli.runs.build.detector
from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS, HRNetConfig

TINY_HRNET = HRNetConfig(
    width=4, stem_channels=8, bottleneck_channels=4, num_bottlenecks=1, num_modules=(1, 1, 1), num_blocks=1
)


def tiny_network() -> AbstractContextManager[Any]:
    """While this context lasts, specs that ask for the small HRNet get this one."""
    return patch.object(
        hrdet_cli.runs.build.detector, "HRNET_CONFIGS", {**HRNET_CONFIGS, "small": TINY_HRNET}
    )

"""What the process imports that others are forked from (``tests.forked``): as the command does it."""

from hrdet_cli.cli.noise import quieten_libraries

quieten_libraries()  # which has to come before torch

import torch.distributed  # noqa: E402, F401

import hrdet_cli.cli.app  # noqa: E402
import hrdet_cli.runs.build.detector  # noqa: E402
import hrdet_cli.runs.train  # noqa: E402, F401

"""The device a run computes on."""

import torch

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.run import RunSpec


def select_device(run: RunSpec) -> torch.device:
    """The device a run computes on.

    Raises:
        SpecError: A GPU was asked for and there is none.
    """
    if run.device == "cuda" and not torch.cuda.is_available():
        raise SpecError(["run.device: 'cuda' was asked for, but torch sees no GPU; set run.device=auto"])
    if run.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())

"""State dicts of detectors, for tests of names and shapes: they cost no memory."""

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

from hrdet_cli.runs.build.detector import build_plain_detector
from hrdet_cli.specs.loading import load_spec

State = dict[str, Tensor]


@cache
def shapes_of(preset: str, *settings: str, num_classes: int = 80) -> Mapping[str, torch.Size]:
    """Shapes of a preset's detector by the names of its tensors."""
    model = load_spec(preset=preset, settings=settings).spec.model
    with torch.device("meta"):
        detector = build_plain_detector(model, num_classes=num_classes)
    return {key: tensor.shape for key, tensor in detector.state_dict().items()}


def ours_of(preset: str, *settings: str, num_classes: int = 80) -> State:
    """Tensors of a preset's detector; each a single number spread over its shape."""
    return numbered(shapes_of(preset, *settings, num_classes=num_classes))


def numbered(shapes: Mapping[str, Sequence[int]]) -> State:
    """Tensors of these shapes; each a single number spread over its shape."""
    return {
        key: torch.tensor(float(index)).expand(torch.Size(shape))
        for index, (key, shape) in enumerate(shapes.items())
    }


def shapes_in(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Shapes by name."""
    return {key: tensor.shape for key, tensor in state.items()}


def renamed(state: State, *replacements: tuple[str, str]) -> State:
    """The same tensors, with texts in their names replaced one after the other."""

    def new(key: str) -> str:
        for old, replacement in replacements:
            key = key.replace(old, replacement)
        return key

    return {new(key): tensor for key, tensor in state.items()}

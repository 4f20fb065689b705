"""What the forward pass of a training step keeps for the backward pass, by the function that computes it.

Tensors that share memory count once, parameters and buffers not at all. So this is exact, unlike the resident
memory of a process, which ``step_memory.py`` measures.
"""

import argparse
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from hrdet_cli import engine
from hrdet_cli.engine.norm import remade
from hrdet_cli.engine.structures import ImageBatch, Size, Targets
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec

from .reporting import show_table

PRESET, NUM_CLASSES, NUM_BOXES = "hrnet-w18-mstrain-pad", 80, 10
CANVAS = Size(512, 800)
_ENGINE = Path(engine.__file__).parent


@dataclass
class Account:
    """Bytes that are kept, by function.

    Attributes:
        counted: Addresses of memory that is counted, or left out.
        bytes_by_function: What it says.
        kept: The tensors, so that no address is used twice.
    """

    counted: set[int]
    bytes_by_function: Counter[str] = field(default_factory=Counter)
    kept: list[Tensor] = field(default_factory=list)

    def keep(self, tensor: Tensor) -> Tensor:
        """Count a tensor that autograd saves."""
        self.kept.append(tensor)
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.counted:
            self.counted.add(storage.data_ptr())
            self.bytes_by_function[_function_of_the_engine()] += storage.nbytes()
        return tensor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bfloat16", action="store_true", help="under autocast")
    parser.add_argument("--recomputed", choices=("off", "norms"), default="off")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    recomputed = f"model.activation_checkpointing={arguments.recomputed}"
    spec = load_spec(preset=PRESET, settings=["model.weights=null", recomputed]).spec
    detector = build_detector(spec, num_classes=NUM_CLASSES, trains=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bfloat16):
        account = account_of(detector, *draw_batch())
    total = account.bytes_by_function.total()
    rows = [
        [function, f"{size / 1e6:.1f}", f"{size / total:.1%}"]
        for function, size in account.bytes_by_function.most_common()
        if size >= total / 1000
    ]
    precision = "bfloat16 autocast" if arguments.bfloat16 else "float32"
    show_table(
        f"Kept for the backward pass of a training step, {PRESET}, 1 picture of {CANVAS}, {precision}, "
        f"{recomputed}",
        ["computed in", "MB", "share"],
        [*rows, ["all", f"{total / 1e6:.1f}", ""]],
    )


def account_of(detector: nn.Module, images: ImageBatch, targets: Targets) -> Account:
    """Of the forward pass with its losses."""
    tensors = (*detector.parameters(), *detector.buffers())
    account = Account({tensor.untyped_storage().data_ptr() for tensor in tensors})

    def counted_hooks(pack: Callable[[Tensor], Any], unpack: Callable[[Any], Tensor]) -> saved_tensors_hooks:
        def counted(tensor: Tensor) -> Any:
            kept = pack(tensor)
            if isinstance(kept, tuple):  # the tensor and its version, not how it is made
                account.keep(tensor)
            return kept

        return saved_tensors_hooks(counted, unpack)

    with (
        saved_tensors_hooks(account.keep, lambda tensor: tensor),
        patch.object(remade, "saved_tensors_hooks", counted_hooks),  # which take the place of these inside
    ):
        detector(images, targets)
    return account


def draw_batch() -> tuple[ImageBatch, Targets]:
    """A picture of noise with random boxes."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand((1, NUM_BOXES, 2), generator=generator) * torch.tensor([500.0, 300.0])
    sides = torch.rand((1, NUM_BOXES, 2), generator=generator) * 150 + 20
    shape = (1, 3, CANVAS.height, CANVAS.width)
    images = ImageBatch(
        pixels=torch.randint(256, shape, dtype=torch.uint8, generator=generator),
        sizes=torch.tensor([[CANVAS.height, CANVAS.width]]),
        keys=torch.tensor([0]),
    )
    targets = Targets(
        boxes=torch.cat((corners, corners + sides), dim=2),
        labels=torch.randint(NUM_CLASSES, (1, NUM_BOXES), generator=generator),
        is_valid=torch.ones((1, NUM_BOXES), dtype=torch.bool),
    )
    return images, targets


def _function_of_the_engine() -> str:
    """The innermost one on the stack, such as ``models/backbones/hrnet.py steps``."""
    frames = [frame for frame in traceback.extract_stack() if Path(frame.filename).is_relative_to(_ENGINE)]
    return f"{Path(frames[-1].filename).relative_to(_ENGINE)} {frames[-1].name}"


if __name__ == "__main__":
    main()

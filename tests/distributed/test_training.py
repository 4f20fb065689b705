"""Two processes with half a batch each train like one process with the whole."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.distributed.collectives import mean_over_processes
from hrdet_cli.engine.norm.convert import convert_norm
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.engine.training.optimiser import build_sgd
from hrdet_cli.engine.training.schedule import StepSchedule

NUM_STEPS, BATCH_SIZE = 4, 6


class Regressor(nn.Module):
    """A convolution, a norm and a loss whose denominator is the number of pictures of all processes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 1, 3))
        convert_norm(self, kind="sync")
        self.double()

    def forward(self, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
        found = self.layers(images.pixels.double() / 255).mean(dim=(1, 2, 3))
        wanted = targets.boxes[:, 0, 0].double()
        count = mean_over_processes(torch.tensor(float(len(found)), dtype=torch.float64))
        return {"square": (found - wanted).square().sum() / count}


class SlicedLoader:
    """Rows of one global batch a step."""

    num_steps_per_epoch = NUM_STEPS

    def __init__(self, rows: slice) -> None:
        self._rows = rows

    def batches(self, epoch: int, *, first_step: int = 0) -> Iterator[Batch]:
        assert epoch == 0
        for step in range(first_step, NUM_STEPS):
            generator = torch.Generator().manual_seed(step)
            pixels = torch.randint(0, 256, (BATCH_SIZE, 3, 8, 9), dtype=torch.uint8, generator=generator)
            boxes = torch.rand((BATCH_SIZE, 1, 4), generator=generator)
            images = ImageBatch(pixels[self._rows], torch.tensor([[8, 9]]), torch.tensor([step]))
            labels = torch.zeros((BATCH_SIZE, 1), dtype=torch.int64)
            targets = Targets(boxes[self._rows], labels[self._rows], labels[self._rows] == 0)
            yield Batch(images, targets, ())


def trained_weights(rows: slice) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = Regressor()
    trainer = Trainer(
        model=model,
        optimiser=build_sgd(model, momentum=0.9, weight_decay=1e-4),
        schedule=StepSchedule(
            learning_rate=0.1, warmup_steps=2, warmup_factor=0.5, drop_epochs=(), drop_factor=0.1
        ),
        loader=SlicedLoader(rows),
        num_epochs=1,
        clip_norm=0.05,
        device=torch.device("cpu"),
        autocast_dtype=None,
    )
    for _ in trainer.train_epoch():
        pass
    return model.state_dict()


def train_half(rank: int, rendezvous: str, folder: str) -> None:
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
    rows = slice(0, 2) if rank == 0 else slice(2, BATCH_SIZE)  # unequal on purpose
    torch.save(trained_weights(rows), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.distributed
def test_two_processes_with_unequal_parts_train_to_the_weights_of_one(tmp_path: Path) -> None:
    rendezvous = (tmp_path / "rendezvous").as_uri()
    spawn(train_half, args=(rendezvous, str(tmp_path)), nprocs=2)  # type: ignore[no-untyped-call]
    halves = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    whole = trained_weights(slice(None))
    for key, value in whole.items():
        for half in halves:
            torch.testing.assert_close(half[key], value, rtol=1e-9, atol=1e-9)

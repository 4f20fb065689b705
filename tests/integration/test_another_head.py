"""A head that only this file knows is trained, evaluated, drawn and exported by the commands.

So none of them knows a kind of detector.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.export.detection_graph import DetectionGraph
from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.head import Head
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.structures import Candidates, ClassRows, Detections, ImageBatch, Size, Targets
from hrdet_cli.engine.training.checkpoint import load_checkpoint
from hrdet_cli.runs.build import detector
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.model import ModelSpec
from tests.integration.conftest import ONE_EPOCH, Hrdet, some_pictures, tiny_options

_LEVEL = 2


@dataclass(frozen=True)
class CellHead:
    """Each cell of one level says which classes have an object centred in it, and how large that would be."""

    conv: nn.Conv2d
    selector: DetectionSelector

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        return {"cells": self.conv}

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        return {"cells": ClassRows(per_class=1, others=2)}

    @property
    def matching_loss(self) -> str:
        return "cell_side"

    def prepare(self, pyramid: Pyramid) -> Pyramid:
        return pyramid

    def losses(self, pyramid: Pyramid, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
        assert images.canvas == pyramid_canvas(pyramid)
        sides, logits, _ = self._predict(pyramid)
        stride, width = pyramid.strides[_LEVEL], pyramid.levels[_LEVEL].shape[-1]
        centres = (targets.boxes[..., :2] + targets.boxes[..., 2:]) / 2
        column, row = (centres // stride).long().unbind(dim=-1)
        cell = row * width + column
        picture = torch.arange(len(cell))[:, None].expand_as(cell)
        place = picture[targets.is_valid], cell[targets.is_valid]
        wanted = torch.zeros_like(logits)
        wanted[(*place, targets.labels[targets.is_valid])] = 1
        wanted_sides = (targets.boxes[..., 2:] - targets.boxes[..., :2])[targets.is_valid]
        num = targets.is_valid.sum().clamp(min=1)
        return {
            "cell_class": F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / num,
            "cell_side": F.l1_loss(sides[place] / stride, wanted_sides / stride, reduction="sum") / num,
        }

    def candidates(self, pyramid: Pyramid, sizes: Tensor) -> Candidates:
        sides, logits, centres = self._predict(pyramid)
        boxes = torch.cat((centres - sides / 2, centres + sides / 2), dim=-1)
        assert len(boxes) == len(sizes)
        return Candidates(boxes[:, :, None].expand(-1, -1, logits.shape[-1], -1), logits.sigmoid())

    def complete(self, pyramid: Pyramid, found: Detections) -> Detections:
        assert len(found.boxes) == len(pyramid.levels[_LEVEL])
        return found

    def _predict(self, pyramid: Pyramid) -> tuple[Tensor, Tensor, Tensor]:
        """Sides ``(N, R, 2)`` in pixels, logits ``(N, R, K)``, centres ``(R, 2)``."""
        stride, level = pyramid.strides[_LEVEL], pyramid.levels[_LEVEL]
        found = self.conv(level).float().flatten(2).transpose(1, 2)
        y, x = torch.meshgrid(torch.arange(level.shape[2]), torch.arange(level.shape[3]), indexing="ij")
        centres = (torch.stack((x, y), dim=-1).reshape(-1, 2) + 0.5) * stride
        return F.softplus(found[..., :2]) * 2 * stride, found[..., 2:], centres


def pyramid_canvas(pyramid: Pyramid) -> Size:
    finest, stride = pyramid.levels[0], pyramid.strides[0]
    return Size(finest.shape[2] * stride, finest.shape[3] * stride)


def build_cell_head(model: ModelSpec, *, num_classes: int, strides: tuple[int, ...]) -> Head:
    assert strides == (4, 8, 16, 32, 64)
    return CellHead(
        conv=nn.Conv2d(model.neck.channels, 2 + num_classes, 1),
        selector=DetectionSelector(score_threshold=0.01, nms_iou=0.5, max_detections=20),
    )


def test_commands_work_with_a_head_that_they_cannot_know(
    hrdet: Hrdet, demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector, "build_head", build_cell_head)
    data, run, sheets = demo_data, tmp_path / "run", tmp_path / "predictions"
    options = tiny_options(data, *ONE_EPOCH, "optimisation.ema={decay: 0.5}")
    trained = hrdet("train", *options, "--run-dir", run)
    assert trained.exit_code == 0, trained.stderr
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    losses = [line["losses"] for line in lines if "losses" in line]
    assert set(losses[0]) == {"cell_class", "cell_side"}
    assert losses[-1]["cell_class"] < losses[0]["cell_class"]
    weights = load_checkpoint(run / "checkpoints" / "last.pt")["model"]
    assert {name.split(".")[0] for name in weights} == {"backbone", "neck", "cells"}

    outcome = hrdet("eval", run)
    assert outcome.exit_code == 0, outcome.stderr
    pictures = some_pictures(data, tmp_path / "pictures")
    outcome = hrdet("predict", run, pictures, "--out", sheets, "--min-score", "0.02")
    assert outcome.exit_code == 0, outcome.stderr
    outcome = hrdet("export", run, "--to", "state-dict", "--out", tmp_path / "weights.pth")
    assert outcome.exit_code == 0, outcome.stderr


def test_what_an_exported_file_computes_is_what_such_a_detector_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detector, "build_head", build_cell_head)
    torch.manual_seed(0)
    built = detector.build_detector(load_spec(preset="demo").spec, num_classes=3, trains=False).eval()
    pixels = torch.randint(256, (1, 3, 128, 160), dtype=torch.uint8)
    sizes = torch.tensor([[120, 150]])
    found = built.detect(ImageBatch(pixels.clone(), sizes, keys=torch.zeros(1, dtype=torch.int64)))
    with torch.no_grad():
        boxes, scores, labels = DetectionGraph(built)(pixels, sizes)
    assert found.is_valid.all()
    assert torch.equal(boxes, found.boxes[0])
    assert torch.equal(scores, found.scores[0])
    assert torch.equal(labels, found.labels[0])

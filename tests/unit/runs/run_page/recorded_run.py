"""A run folder as training leaves it, written by hand."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from hrdet_cli.runs.plan import ClassShowings, PartCounts, Plan
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.run_notes.kinds import Note
from hrdet_cli.runs.run_record import RunRecord
from hrdet_cli.specs.loading import format_spec, load_spec

CLASSES = ("cat", "dog")
PLAN = Plan(
    name="mine",
    class_names=CLASSES,
    train=PartCounts("train.json", 10, 10, 20, 0, {}, "f1"),
    val=PartCounts("val.json", 5, 5, 9, 0, {}, "f2"),
    num_processes=1,
    batch_size=2,
    finds_batch_size=False,
    steps_per_epoch=5,
    num_repeats_per_epoch=0,
    num_steps=20,
    class_showings=(ClassShowings("cat", 5, 5.0), ClassShowings("dog", 6, 6.0)),
    weights=None,
    has_weights=False,
    learning_rate=0.01,
    learning_rate_rule="as set",
    warmup_steps=2,
    parameter_groups=(),
    canvases=("320x256",),
    useful_pixel_share=0.5,
    sources={"norm.kind": "preset demo", "run.seed": "--set run.seed=3"},
    notes=(Note("run-short", "the whole run has 20 steps"),),
)


def launch(plan: Plan = PLAN, **more: Any) -> dict[str, Any]:
    """An entry of ``run.json``."""
    return {
        "started": "2026-11-30T01:59:25+00:00",
        "command": ["/x/hrdet", "train", "--preset", "demo"],
        "folder": "/home/my runs",
        "host": "vm",
        "hosts_by_rank": ["vm"],
        "versions": {"hrdet": "0.1.0", "torch": "2.14.1", "pydantic": None},
        "git": {"commit": "abc", "changed": True},
        "seed": 3,
        "device": "cpu",
        "precision": "float32",
        "kernels": "torchvision",
        "first_step": 0,
        "plan": plan.to_json(),
        "largest_step": {"canvas": "320x256", "num_pictures": 2, "peak_memory_bytes": 2**30},
        **more,
    }


def step_line(step: int, **more: Any) -> dict[str, Any]:
    """The loss is 1 / step, in equal parts."""
    return {
        "kind": "step",
        "epoch": 1 + (step - 1) // 5,
        "step": step,
        "learning_rate": 0.01,
        "loss": 1 / step,
        "losses": {"rpn_box": 0.5 / step, "roi_class": 0.5 / step},
        "gradient_norm": 2.0,
        "num_images": 2,
        "data_seconds": 0.1,
        "step_seconds": 0.4,
        "peak_memory_bytes": 2**30 * step // 4,
        "images_per_second": 5.0,
        **more,
    }


def evaluation_line(epoch: int, ap: float, **more: Any) -> dict[str, Any]:
    """Its AP50 is twice its AP."""
    numbers = {"AP": ap, "AP50": 2 * ap, "AP75": None}
    return {"kind": "evaluation", "weights": "raw", "epoch": epoch, "step": 5 * epoch, "box": numbers, **more}


def metrics(epoch: int, *aps: float | None) -> dict[str, Any]:
    """A ``metrics.json``."""
    classes = {
        name: {"AP": ap, "AP50": ap, "num_boxes": 1000 + number}
        for number, (name, ap) in enumerate(zip(CLASSES, aps, strict=True))
    }
    return {"made_from": {"epoch": epoch, "step": 5 * epoch, "annotations": "val.json"}, "classes": classes}


def lines_of_a_whole_run() -> Iterator[dict[str, Any]]:
    """Four epochs, of which the third is the best."""
    aps = (0.1, 0.2, 0.4, 0.3)
    for epoch, ap in enumerate(aps, start=1):
        yield from (step_line(step) for step in range(5 * epoch - 4, 5 * epoch + 1))
        yield evaluation_line(epoch, ap, loss=0.5 / epoch, losses={"rpn_box": 0.5 / epoch})


def write_run(path: Path) -> RunFolder:
    """A run that was resumed once, with everything there is."""
    folder = RunFolder(path)
    folder.create(overwrite=False)
    spec = load_spec(preset="demo", settings=["run.seed=3", "name=mine"]).spec
    folder.write_spec(format_spec(spec))
    of_resume = {key: str(folder.spec_file) for key in PLAN.sources} | {"evaluation.patience": "--set x"}
    record = RunRecord((launch(), launch(replace(PLAN, sources=of_resume), first_step=10, host="vm2")))
    folder.write_record(record.with_broken_pictures({"a.jpg": "is cut off"}))
    folder.metrics_file.write_text("".join(f"{json.dumps(line)}\n" for line in lines_of_a_whole_run()))
    (folder.evaluation / "metrics.json").write_text(json.dumps(metrics(4, 0.25, 0.35)))
    (folder.evaluation / "metrics-best.json").write_text(json.dumps(metrics(3, 0.5, None)))
    names = ("evaluation/detections", "pictures/train-batch-10", "pictures/train-batch-2")
    for name in names:
        Image.new("RGB", (64, 48), (200, 30, 30)).save(path / f"{name}.png")
    folder.logs.mkdir()
    (folder.logs / "rank-0.log").write_text(
        "--- 2026\nnote: the whole run has 20 steps\nepoch 1 ...\n" + 2 * "note: a picture is odd\n"
    )
    return folder

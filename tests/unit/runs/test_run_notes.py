"""What can ruin a run is noted before it starts, and nothing else is."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.coco_reading import NO_MASK
from hrdet_cli.runs.plan import Plan
from hrdet_cli.runs.run_notes.kinds import NOTE_KINDS
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.presets import all_presets
from tests.planned_runs import TRAIN, make_annotations, plan_of

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "data.md"


def notes_of(plan: Plan) -> dict[str, str]:
    return {note.key: note.text for note in plan.notes}


@pytest.mark.parametrize(
    ("preset", "num_processes"),
    [*((preset, 8) for preset in sorted(all_presets())), ("demo", 1), ("hrnet-w18-mstrain-pad", 1)],
)
def test_a_preset_on_data_it_was_made_for_has_no_notes(
    tmp_path: Path, preset: str, num_processes: int
) -> None:
    size, side = ((240, 320), 40.0) if preset == "demo" else ((480, 640), 60.0)
    train = make_annotations(2000, size=size, side=side)
    plan = plan_of(tmp_path, preset=preset, num_processes=num_processes, train=train)
    assert notes_of(plan) == {}
    if preset != "demo":
        assert plan.warmup_steps == min(
            load_spec(preset=preset).spec.optimisation.warmup_steps, plan.num_steps // 10
        )


@pytest.mark.parametrize("preset", sorted(all_presets()))
def test_a_preset_on_a_few_hundred_pictures_has_no_notes_either(tmp_path: Path, preset: str) -> None:
    size, side = ((240, 320), 40.0) if preset == "demo" else ((480, 640), 60.0)
    assert notes_of(plan_of(tmp_path, preset=preset, train=make_annotations(205, size=size, side=side))) == {}


def turned(annotations: CocoAnnotations, number: int) -> CocoAnnotations:
    """The same, but so many of the pictures are portraits."""
    sizes = annotations.sizes.copy()
    sizes[:number] = sizes[:number, ::-1]
    return replace(annotations, sizes=sizes)


FEW = make_annotations(40)
NOTES_WITHOUT_A_SETTING = (
    "validation-none",
    "classes-untrained",
    "pictures-shared",
    "pictures-repeated",
    "pictures-enlarged",
)
CASES: list[tuple[str, str, dict[str, object], str]] = [
    ("validation-none", "", {"val": None}, "--val-data JSON IMAGES"),
    (
        "rate-high",
        "optimisation.optimiser.kind=adamw",
        {},
        "0.005 would do for SGD, but AdamW moves every weight by about that much at each step; usual are "
        "--set optimisation.base_learning_rate=1e-4",
    ),
    (
        "warmup-long",
        "optimisation.max_warmup_share=null",
        {"train": make_annotations(205)},
        "takes 500 steps of the run's 624, so the learning rate is reached late: --set "
        "optimisation.max_warmup_share=0.1",
    ),
    (
        "warmup-long",
        "optimisation.max_warmup_share=null optimisation.num_epochs=9",
        {"train": make_annotations(205)},
        "is never reached",
    ),
    (
        "drop-in-warmup",
        "optimisation.max_warmup_share=null",
        {"train": make_annotations(205)},
        "drops first after epoch 8, inside the warm-up of 500 steps (52 an epoch)",
    ),
    (
        "drop-never",
        "optimisation.num_epochs=6",
        {},
        "to drop after epochs 8 and 11, but the run has 6 epochs, so it never does: --set "
        "'optimisation.schedule.drop_epochs=[4]'",
    ),
    ("drop-never", "optimisation.num_epochs=11", {}, "after epoch 11, but the run has 11 epochs"),
    (
        "batch-large",
        "data.batch_size_per_process=64 optimisation.num_epochs=999 optimisation.schedule.drop_epochs=[]",
        {"train": FEW},
        "a step has 64 pictures of one orientation, but there are only 40 to train on, so 24 pictures of "
        "each epoch are shown again: --set data.batch_size_per_process=10",
    ),
    (
        "batch-large",
        "data.batch_size_per_process=9 optimisation.num_epochs=999 optimisation.schedule.drop_epochs=[]",
        {"train": turned(FEW, 19)},
        "a step has 9 pictures of one orientation, but there are only 40 to train on, so 14 pictures of "
        "each epoch are shown again: --set data.batch_size_per_process=8",
    ),
    (
        "run-short",
        "",
        {"train": FEW},
        "the whole run has 120 steps, in which a detector learns next to nothing: --set "
        "optimisation.num_epochs=100 --set 'optimisation.schedule.drop_epochs=[67, 92]'",
    ),
    (
        "run-short",
        "optimisation.schedule.kind=cosine",
        {"train": FEW},
        "a detector learns next to nothing: --set optimisation.num_epochs=100",
    ),
    (
        "average-slow",
        "optimisation.ema.decay=0.9999",
        {"train": make_annotations(400)},
        "89% of the average of the weights will be those the run begins with: it remembers about 10,000 "
        "steps, and the run has 1,200: --set optimisation.ema.decay=0.992",
    ),
    ("norm-noisy", "data.batch_size_per_process=1", {}, "from a single picture"),
    (
        "boxes-unmatched",
        "",
        {"train": make_annotations(400, side=3.0)},
        "100% of the boxes can match no anchor, so the detector cannot learn to find them: half of the boxes "
        "have sides below 5 pixels as training sees them, and anchors have 32 to 512: --set "
        "model.head.rpn.anchor_scale=",
    ),
    (
        "threshold-high",
        "model.head.roi_head.score_threshold=0.5",
        {},
        "--set model.head.roi_head.score_threshold=0.05",
    ),
    (
        "threshold-high",
        "model.head.kind=retinanet model.head.score_threshold=0.5",
        {},
        "--set model.head.score_threshold=0.05",
    ),
    (
        "detections-capped",
        "model.head.kind=fcos",
        {"val": make_annotations(10, name="val", boxes_a_picture=150, side=4.0)},
        "--set model.head.max_detections=200",
    ),
    (
        "detections-capped",
        "",
        {"val": make_annotations(10, name="val", boxes_a_picture=150, side=4.0)},
        "10 validation pictures have more boxes than the 100 detections that are kept of one, so 33.3% of "
        "the boxes are out of reach: --set model.head.roi_head.max_detections=200",
    ),
    (
        "scales-unlike",
        "evaluation.scale_pixels=[320,240]",
        {},
        "evaluated at 320x240 but trained on at no scale like it, which costs AP: --set "
        "'evaluation.scale_pixels=[1000, 600]'",
    ),
    (
        "pictures-enlarged",
        "",
        {"train": make_annotations(400, size=(120, 160), side=20.0)},
        "half of the pictures are enlarged 6.7 times or more",
    ),
    (
        "classes-untrained",
        "",
        {"train": make_annotations(400, labels=(0,))},
        "1 class has no box to train on and will never be found: 'dog'; 400 validation boxes are of them",
    ),
    (
        "sampling-idle",
        "data.sampling.kind=repeat-factor",
        {"train": make_annotations(400, labels=(0,) * 39 + (1,))},
        "every class is in at least 10.00% of the pictures, which is not below data.sampling.threshold "
        "(0.001), so none is shown more often: --set data.sampling.threshold=0.4 shows the rarest twice as",
    ),
    (
        "sampling-idle",
        "data.sampling.kind=repeat-factor",
        {"train": make_annotations(400)},
        "--set data.sampling.kind=shuffle does the same",
    ),
    (
        "masks-missing",
        "model.head.mask={}",
        {"train": replace(make_annotations(400), dropped_boxes={NO_MASK: 400})},
        "20% of the training objects have no mask and are left out, so the detector learns that nothing is "
        "where they are",
    ),
    ("pictures-shared", "", {"val": TRAIN}, "the validation data are the training data"),
    (
        "pictures-shared",
        "data.val.images=train-images",
        {"val": replace(make_annotations(3), fingerprint="val")},
        "promises too much: train-0.jpg, train-1.jpg, train-2.jpg",
    ),
    (
        "pictures-repeated",
        "",
        {
            "train": replace(
                TRAIN,
                file_names=np.array([f"{n}:a/train-{i}.jpg" for n in (1, 2) for i in range(500)]),
            ),
            "joined_roots": {"1:a/": Path("a"), "2:a/": Path("b/../a")},
        },
        "500 pictures are in several training data sets, such as 1:a/train-0.jpg, which is 2:a/train-0.jpg",
    ),
    (
        "pictures-repeated",
        "",
        {
            "train": replace(
                TRAIN, file_names=np.array([f"{b}{i}.jpg" for b in ("", "./") for i in range(500)])
            )
        },
        "500 pictures are in the training data under several names, such as ./0.jpg, which is 0.jpg too: an "
        "epoch shows them for each, with the boxes that they have there. Give them one name",
    ),
    (
        "classes-mirrored",
        "",
        {"train": make_annotations(400, classes=("left hand", "Right hand"))},
        "and with them 'left hand' and 'right hand': --set augmentation.flip_probability=0",
    ),
    (
        "pictures-empty",
        "data.keep_pictures_without_boxes=true",
        {"train": make_annotations(400, empty=300)},
        "75% of the training pictures have no box",
    ),
]


@pytest.mark.parametrize(("key", "settings", "data", "text"), CASES)
def test_what_ruins_a_run_is_noted_with_what_cures_it(
    tmp_path: Path, key: str, settings: str, data: dict[str, object], text: str
) -> None:
    notes = notes_of(plan_of(tmp_path, *settings.split(), **data))  # type: ignore[arg-type]
    assert text in notes[key]


def test_every_kind_of_note_has_a_case_and_a_line_in_the_documentation() -> None:
    documentation = DOCUMENTATION.read_text()
    for kind in NOTE_KINDS:
        assert kind.key in {case[0] for case in CASES}
        assert f"| `{kind.key}` | {kind.title} |" in documentation


@pytest.mark.parametrize(
    ("num_processes", "batch_size", "cure"),
    [
        (8, 4, "start no more than 5 processes with --set data.batch_size_per_process=1"),
        (40, 1, "start no more than 5 processes"),
    ],
)
def test_processes_that_are_too_many_for_the_pictures_are_told(
    tmp_path: Path, num_processes: int, batch_size: int, cure: str
) -> None:
    setting = f"data.batch_size_per_process={batch_size}"
    train = make_annotations(20)
    note = notes_of(plan_of(tmp_path, setting, train=train, num_processes=num_processes))["batch-large"]
    assert note.endswith(f"shown again: {cure}")
    cured = plan_of(tmp_path, "data.batch_size_per_process=1", train=train, num_processes=5)
    assert "batch-large" not in notes_of(cured)


@pytest.mark.parametrize(
    ("settings", "data"),
    [(case[1], case[2]) for case in CASES if case[0] not in NOTES_WITHOUT_A_SETTING],
)
def test_the_settings_that_a_note_names_make_it_go_away(
    tmp_path: Path, settings: str, data: dict[str, object]
) -> None:
    plan = plan_of(tmp_path, *settings.split(), **data)  # type: ignore[arg-type]
    for note in plan.notes:
        cures = re.findall(r"--set '?([a-z_.]+=(?:\[[^]]*\]|[^ ';,(]+))", note.text)
        first = cures[:1] if note.key == "norm-noisy" else cures
        assert cures, note
        again = plan_of(tmp_path, *settings.split(), *first, **data)  # type: ignore[arg-type]
        assert note.key not in notes_of(again), first


def test_no_note_is_made_of_a_batch_that_is_still_to_be_found(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "data.batch_size_per_process=auto", train=FEW)
    assert notes_of(plan) == {}


def test_a_panorama_whose_anchors_all_reach_out_of_it_is_told_of_the_border(tmp_path: Path) -> None:
    panorama = make_annotations(400, size=(100, 6400), side=80.0)
    notes = notes_of(plan_of(tmp_path, preset="hrnet-w18", train=panorama, val=panorama))
    assert "100% of the boxes can match no anchor" in notes["boxes-unmatched"]
    assert "leaves 0%" in notes["boxes-unmatched"]


def test_boxes_between_the_points_of_a_head_without_anchors_are_told(tmp_path: Path) -> None:
    tiny = make_annotations(400, side=1.0)
    notes = notes_of(plan_of(tmp_path, "model.head.kind=fcos", train=tiny))
    assert notes["boxes-unmatched"] == (
        "83% of the boxes have no point in them that could learn them, so the detector cannot learn to find "
        "them: half of the boxes have sides below 2 pixels as training sees them, and points lie 8 pixels "
        "apart; set larger augmentation.scales_pixels and canvases"
    )


def test_what_stays_of_a_section_is_a_note_of_the_plan(tmp_path: Path) -> None:
    loaded = load_spec(preset="hrnet-w18", settings=["norm={kind: batch}"])
    (note,) = plan_of(tmp_path, loaded=loaded).notes
    assert (note.key, note.text) == ("section-kept", loaded.notes[0])


def test_the_plan_with_its_notes_is_plain_json(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "optimisation.num_epochs=6")
    assert plan.to_json()["notes"][0]["key"] == "drop-never"


def test_notes_do_not_import_torch() -> None:
    program = "import sys, hrdet_cli.runs.run_notes.kinds; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)

"""Putting a spec together: layers, sources, and every problem at once."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.foreign_names import SETTINGS_BY_DETECTOR, SYNONYM_BY_NAME, answer_to
from hrdet_cli.specs.heads.cascade import CascadeRcnnSpec
from hrdet_cli.specs.heads.two_stage import FasterRcnnSpec
from hrdet_cli.specs.known_keys import all_keys
from hrdet_cli.specs.layers import mapping_layers
from hrdet_cli.specs.loading import format_spec, load_spec
from hrdet_cli.specs.norm import BatchNormSpec, SyncBatchNormSpec
from hrdet_cli.specs.optimisation import SgdSpec
from hrdet_cli.specs.padding import BatchPaddingSpec, CanvasesPaddingSpec, FixedPaddingSpec

MINIMAL = """
name: mine
data:
  train: {annotations: a.json, images: a}
  val: {annotations: b.json, images: b}
augmentation: {scales_pixels: [[640, 480]], kind: resize}
padding: {policy: batch}
"""


def problems_of(tmp_path: Path, text: str, *settings: str) -> list[str]:
    file = tmp_path / "spec.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec(spec_file=file, settings=settings)
    return caught.value.problems


def test_a_setting_wins_over_the_preset_and_the_preset_over_its_base() -> None:
    loaded = load_spec(preset="hrnet-w18-mstrain-pad-2x", settings=["optimisation.optimiser.momentum=0.8"])
    assert loaded.spec.optimisation.optimiser == SgdSpec(momentum=0.8)
    assert loaded.spec.optimisation.num_epochs == 24
    assert loaded.spec.optimisation.drop_epochs == (20, 23)
    assert loaded.sources["optimisation.optimiser.momentum"] == "--set optimisation.optimiser.momentum=0.8"
    assert loaded.sources["optimisation.num_epochs"] == "preset hrnet-w18-mstrain-pad-2x"
    assert loaded.sources["data.num_workers"] == "preset hrnet-w18"
    assert "optimisation.clip_norm" not in loaded.sources, "the preset repeats the default"
    assert "model.head.rpn.nms_iou" not in loaded.sources


def test_changing_what_a_section_is_starts_it_afresh() -> None:
    loaded = load_spec(preset="hrnet-w18-mstrain-pad", settings=["padding.policy=batch"])
    assert loaded.spec.padding == BatchPaddingSpec()
    assert "padding.canvas_pixels" not in loaded.sources
    assert load_spec(preset="hrnet-w18").spec.norm == BatchNormSpec(keep_statistics=True)
    assert load_spec(preset="hrnet-w18", settings=["norm.kind=sync"]).spec.norm == SyncBatchNormSpec(
        kind="sync"
    )


@pytest.mark.parametrize("kind", ["cosine", "constant"])
def test_a_schedule_takes_the_place_of_a_presets_drops_but_not_of_ones_own(kind: str, tmp_path: Path) -> None:
    chosen = f"optimisation.schedule.kind={kind}"
    loaded = load_spec(preset="demo", settings=[chosen])
    assert loaded.spec.optimisation.schedule.model_dump().keys().isdisjoint({"drop_epochs", "drop_factor"})
    text = f"{MINIMAL}optimisation: {{schedule: {{kind: {kind}}}, drop_epochs: [3]}}\n"
    assert problems_of(tmp_path, text) == [
        f"{tmp_path / 'spec.yaml'}: optimisation.schedule.drop_epochs: unknown key; it is for "
        "optimisation.schedule.kind=steps; set that too"
    ]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            ["evaluation.best_by=loss"],
            "evaluation.best_by: 'loss' is only known with evaluation.with_loss=true; set that too, or",
        ),
        (
            ["evaluation.patience=3", "evaluation.every_num_epochs=0"],
            "evaluation.patience: does nothing where evaluation.every_num_epochs=0 never evaluates; set it",
        ),
        (
            ["evaluation.with_loss=true", "data.val=null"],
            "evaluation.with_loss: does nothing where there are no validation data (data.val is null); set",
        ),
        (
            [
                "model.head.kind=cascade_rcnn",
                "model.head.mask={}",
                "model.head.semantic={}",
                "data.train.label_maps=maps",
                "evaluation.with_loss=true",
            ],
            "evaluation.with_loss: true is not for model.head.semantic, whose loss needs label maps,",
        ),
    ],
)
def test_what_evaluations_cannot_do_is_refused(settings: list[str], problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(preset="demo", settings=settings)
    (told,) = caught.value.problems
    assert problem in told


def test_a_schedule_given_as_a_word_is_answered_with_its_key(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, MINIMAL, "optimisation.schedule=cosine")
    assert problem.endswith("got 'cosine'; write --set optimisation.schedule.kind=cosine")


def test_setting_the_same_kind_again_keeps_the_section() -> None:
    loaded = load_spec(preset="hrnet-w18-mstrain-pad", settings=["padding.policy=fixed"])
    assert loaded.spec.padding == FixedPaddingSpec(policy="fixed", canvas_pixels=(1600, 1024))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("optimisation.weight_decay=1e-4", 1e-4),
        ("optimisation.weight_decay=5E-05", 5e-5),
        ("optimisation.weight_decay=0", 0.0),
    ],
)
def test_numbers_are_numbers_however_they_are_written(setting: str, value: float) -> None:
    assert load_spec(preset="hrnet-w18", settings=[setting]).spec.optimisation.weight_decay == value


def test_all_problems_come_at_once_each_with_its_source_and_key(tmp_path: Path) -> None:
    text = MINIMAL + "optimisation: {lr: 0.1, num_epochs: many}\nnorm: {kind: off}\n"
    file = tmp_path / "spec.yaml"
    problems = problems_of(
        tmp_path, text, "model.backbone.kind=hrnet", "model.backbone.wdth=w18", "run.seed=-1"
    )
    assert problems == [
        "--set model.backbone.wdth=w18: model.backbone.wdth: unknown key; did you mean model.backbone.width?",
        f"{file}: norm.kind: 'off' is unknown; choose from 'batch', 'sync', 'frozen', 'group'",
        f"{file}: optimisation.num_epochs: must be a whole number above 0; got 'many'",
        f"{file}: optimisation.lr: unknown key; did you mean optimisation.base_learning_rate?",
        "--set run.seed=-1: run.seed: must be a whole number of at least 0 and below 2147483648; got -1",
    ]


def test_what_is_missing_is_named_with_the_option_that_gives_it(tmp_path: Path) -> None:
    text = MINIMAL.replace("  train: {annotations: a.json, images: a}\n", "")
    assert problems_of(tmp_path, text) == [
        "data.train: is needed and no layer sets it; add --train-data JSON IMAGES"
    ]


def test_a_union_without_its_kind_says_so(tmp_path: Path) -> None:
    text = MINIMAL.replace("policy: batch", "divisor_pixels: 64")
    assert problems_of(tmp_path, text) == [
        "padding.policy: is needed to know what padding is; add --set padding.policy=..."
    ]


def test_malformed_settings_are_all_named() -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(preset="demo", settings=["oops", "run..seed=1"])
    assert caught.value.problems == [
        "--set oops: write it as --set section.key=value",
        "--set run..seed=1: write it as --set section.key=value",
    ]


def test_a_picture_that_would_not_fit_its_canvas_is_an_error_before_training() -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(preset="hrnet-w18-mstrain-pad", settings=["padding.canvas_pixels=[1333,800]"])
    place = "--set padding.canvas_pixels=[1333,800]: padding.canvas_pixels: [1333, 800]"
    assert caught.value.problems == [
        f"{place}: both edges must be multiples of 32",
        f"{place} is smaller than the scale in augmentation.scales_pixels, [1600, 1000]; enlarge it",
    ]


@pytest.mark.parametrize(
    ("canvases", "problem"),
    [
        (
            "[[1344, 800]]",
            "[1344, 800] is smaller than the scale in augmentation.scales_pixels, [1600, 1000]",
        ),
        (
            "[[1344, 800], [1600, 992]]",
            "none of them holds the scale in augmentation.scales_pixels, [1600, 1000]",
        ),
        ("[[1600, 1024], [1000, 608]]", "[1000, 608]: both edges must be multiples of 32"),
        ("[[1600, 1024], [64, 32]]", "[64, 32]: the pyramid's coarsest level needs edges of at least 64"),
    ],
)
def test_canvases_on_which_the_network_or_a_scale_does_not_fit_are_refused(
    canvases: str, problem: str
) -> None:
    settings = ["padding.policy=canvases", f"padding.canvases_pixels={canvases}"]
    with pytest.raises(SpecError) as caught:
        load_spec(preset="hrnet-w18-mstrain-pad", settings=settings)
    assert f"padding.canvases_pixels: {problem}" in str(caught.value)


def test_canvases_are_either_named_or_chosen() -> None:
    chosen = load_spec(preset="hrnet-w18-mstrain-pad", settings=["padding.policy=canvases"]).spec.padding
    assert isinstance(chosen, CanvasesPaddingSpec)
    assert (chosen.canvases_pixels, chosen.num_to_choose) == (None, 6)
    settings = [
        "padding={policy: canvases, canvases_pixels: [[1600, 1024], [1024, 608]], num_canvases: 2}",
    ]
    with pytest.raises(SpecError, match=r"padding\.num_canvases: is for canvases that are chosen"):
        load_spec(preset="hrnet-w18-mstrain-pad", settings=settings)


def test_the_canvas_of_a_resize_and_crop_only_has_to_hold_the_crop() -> None:
    spec = load_spec(preset="hrnet-w18-randresizecrop", settings=["augmentation.crop_pixels=[1216,800]"]).spec
    assert isinstance(spec.padding, FixedPaddingSpec)
    with pytest.raises(SpecError, match=r"smaller than augmentation\.crop_pixels \[1217, 800\]"):
        load_spec(preset="hrnet-w18-randresizecrop", settings=["augmentation.crop_pixels=[1217,800]"])


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            ("padding={policy: fixed, canvas_pixels: [128, 96]}",),
            "padding.canvas_pixels: [128, 96] is not the square that scale-jitter cuts to, "
            "augmentation.edge_pixels=128; set padding={policy: fixed, canvas_pixels: [128, 128]}",
        ),
        (
            ("padding.policy=batch",),
            "padding.policy: 'batch' is not for scale-jitter, whose pictures have all sizes up to a square; "
            "set padding={policy: fixed, canvas_pixels: [128, 128]}, or padding.policy=canvases",
        ),
        (
            ("padding={policy: canvases, canvases_pixels: [[128, 96]]}",),
            "padding.canvases_pixels: [128, 96] is smaller than the square of augmentation.edge_pixels, "
            "[128, 128]; enlarge it",
        ),
        (
            ("augmentation.scale_range=[2.0, 0.1]",),
            "augmentation.scale_range: is (least, largest), so write [0.1, 2]",
        ),
        (
            ("augmentation={kind: scale-jitter, edge_pixels: 9000}",),
            "augmentation.scale_range: 2 times edge_pixels 9000 is more than 16384 pixels; lower one of them",
        ),
    ],
)
def test_scale_jitter_goes_with_its_own_square_alone(settings: tuple[str, ...], problem: str) -> None:
    jitter = ("augmentation={kind: scale-jitter, edge_pixels: 128}", "padding.canvas_pixels=[128, 128]")
    with pytest.raises(SpecError) as caught:
        load_spec(preset="demo", settings=[*jitter, *settings])
    (found,) = caught.value.problems
    assert found.endswith(problem)
    load_spec(preset="demo", settings=[*jitter, "padding={policy: canvases, num_canvases: 3}"])


def test_turned_pictures_want_squares_or_canvases_of_their_batches() -> None:
    turns = "augmentation.extras.turn_probability=0.5"
    for padding, key in (
        ("{policy: fixed, canvas_pixels: [320, 256]}", "canvas_pixels"),
        ("{policy: canvases}", "canvases_pixels"),
        ("{policy: canvases, canvases_pixels: [[320, 320], [256, 192]]}", "canvases_pixels"),
    ):
        with pytest.raises(SpecError, match=rf"turned pictures lie on squares or .*padding\.{key} "):
            load_spec(preset="demo", settings=[turns, f"padding={padding}"])
    for padding in (
        "{policy: fixed, canvas_pixels: [320, 320]}",
        "{policy: canvases, canvases_pixels: [[320, 320], [256, 256]]}",
        "{policy: batch}",
    ):
        load_spec(preset="demo", settings=[turns, f"padding={padding}"])


def test_objects_are_pasted_only_where_masks_are_read() -> None:
    paste = "augmentation.extras.copy_paste={}"
    with pytest.raises(SpecError, match=r"copy_paste: pastes objects by their masks, and model\.head\.kind="):
        load_spec(preset="demo", settings=[paste])
    load_spec(preset="demo-mask", settings=[paste])


def test_a_range_of_what_is_done_to_pixels_begins_before_it_ends() -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(preset="demo", settings=["augmentation.extras={jpeg: {quality: [90, 30]}}"])
    (problem,) = caught.value.problems
    assert problem.endswith("augmentation.extras.jpeg.quality: is (least, largest), so write [30, 90]")


def test_short_before_long_is_refused_with_the_right_order() -> None:
    with pytest.raises(SpecError, match=r"is \(long edge, short edge\), so write \[1333, 800\]"):
        load_spec(preset="hrnet-w18", settings=["augmentation.scales_pixels=[[800,1333]]"])


def test_range_mode_takes_exactly_two_scales() -> None:
    with pytest.raises(SpecError, match="scale_mode 'range' draws between exactly two scales, not 3"):
        load_spec(preset="hrnet-w18-mstrain-pad", settings=["augmentation.scale_mode=range"])


@pytest.mark.parametrize(
    ("preset", "settings", "remedy"),
    [
        ("hrnet-w18", [], "norm.keep_statistics=false"),
        ("hrnet-w18", ["norm.kind=frozen"], "norm.kind=batch"),
        ("r50-fpn-syncbn", [], "model.backbone.frozen_stages=0"),
    ],
)
def test_freezing_random_weights_is_refused_with_a_remedy_that_works(
    preset: str, settings: list[str], remedy: str
) -> None:
    settings = [*settings, "model.weights=null"]
    with pytest.raises(SpecError) as caught:
        load_spec(preset=preset, settings=settings)
    assert remedy in str(caught.value)
    load_spec(preset=preset, settings=[*settings, remedy])


def test_all_that_random_weights_need_is_told_in_one_problem() -> None:
    settings = ["model.backbone.frozen_stages=2", "model.weights=null"]
    with pytest.raises(SpecError) as caught:
        load_spec(preset="hrnet-w18", settings=settings)
    assert caught.value.problems == [
        "--set model.weights=null: model.weights: is null, but norm.keep_statistics=true and "
        "model.backbone.frozen_stages=2 would keep random weights as they are; give weights, or train "
        "everything: hrdet train --from-scratch, elsewhere --set norm.keep_statistics=false "
        "--set model.backbone.frozen_stages=0"
    ]


@pytest.mark.parametrize(
    ("preset", "setting", "notes"),
    [
        (
            "hrnet-w18",
            "norm={kind: batch}",
            [
                "--set norm={kind: batch}: norm was of this kind already, so norm.keep_statistics=true of "
                "preset hrnet-w18 stays; --set norm.keep_statistics=... changes it"
            ],
        ),
        ("hrnet-w18", "norm={kind: batch, keep_statistics: false}", []),
        ("hrnet-w18", "norm={kind: sync}", []),
        ("hrnet-w18", "norm.keep_statistics=false", []),
        ("hrnet-w18", "norm.epsilon=1e-3", []),
        (
            "finetune-w18",
            "model={backbone: {kind: hrnet, width: w18}}",
            [
                "--set model={backbone: {kind: hrnet, width: w18}}: model.backbone was of this kind already, "
                "so model.backbone.frozen_stages=1 of preset finetune-w18 stays; --set "
                "model.backbone.frozen_stages=... changes it"
            ],
        ),
    ],
)
def test_what_stays_of_a_section_whose_kind_is_set_again_is_noted(
    preset: str, setting: str, notes: list[str]
) -> None:
    assert list(load_spec(preset=preset, settings=[setting]).notes) == notes


def test_a_file_that_names_a_kind_again_gets_a_note_and_a_preset_none(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("base: mmdet3-hrnet-w18\nname: mine\nnorm: {kind: batch}\n")
    (note,) = load_spec(spec_file=file).notes
    assert note.startswith(
        f"{file}: norm was of this kind already, so norm.keep_statistics=true of preset hrnet"
    )
    file.write_text(format_spec(load_spec(spec_file=file).spec))
    assert load_spec(spec_file=file).notes == ()


@pytest.mark.parametrize("name", ["''", "' '", "'timm:'", "'torchvision:'", "weights/", "https://"])
def test_weights_that_name_nothing_are_refused(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(preset="hrnet-w18", settings=[f"model.weights={name}"])
    assert caught.value.problems == [
        f"--set model.weights={name}: model.weights: {yaml.safe_load(name)!r} names none; give a file, "
        "a name of `hrdet weights list`, timm:NAME, hf:OWNER/NAME, URL or null"
    ]


def test_a_loss_needs_a_beta_exactly_when_it_is_smooth() -> None:
    head = load_spec(preset="demo", settings=["model.head.rpn.box_loss={kind: l1}"]).spec.model.head
    assert isinstance(head, FasterRcnnSpec)
    assert head.rpn.box_loss.beta is None
    for loss in ("{kind: l1, beta: 1.0}", "{kind: smooth_l1}"):
        with pytest.raises(SpecError, match=r"model\.head\.rpn\.box_loss\.beta"):
            load_spec(preset="demo", settings=[f"model.head.rpn.box_loss={loss}"])


def test_a_resolved_spec_can_be_loaded_again_and_is_the_same(tmp_path: Path) -> None:
    first = load_spec(preset="hrnet-w18-randresizecrop-2x", settings=["norm.kind=group"]).spec
    file = tmp_path / "resolved.yaml"
    file.write_text(format_spec(first))
    second = load_spec(spec_file=file).spec
    assert format_spec(second) == format_spec(first)
    assert second.optimisation == first.optimisation
    assert second.data.root == Path("data/coco").absolute()


def test_a_spec_file_may_be_based_on_a_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("base: hrnet-w32\nname: mine\noptimisation: {num_epochs: 3}\n")
    loaded = load_spec(spec_file=file)
    assert loaded.spec.optimisation.num_epochs == 3
    assert loaded.sources["name"] == str(file)
    assert loaded.sources["model.backbone.width"] == "preset hrnet-w32"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "not valid YAML"),
        ("- 1", "a spec is a mapping of sections, not [1]"),
        ("name: a\nname: b", "line 2, column 1: not valid YAML: the key 'name' is given twice"),
        ("base: 3", "base: must be the name of a preset, not 3"),
        ("base: hrnet-w81", "there is no preset 'hrnet-w81'; did you mean hrnet-w18"),
    ],
)
def test_an_unreadable_file_is_named_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    assert message in problems_of(tmp_path, text)[0]


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nowhere\.yaml: cannot be read as a spec: No such file"):
        load_spec(spec_file=tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("arguments", [{}, {"preset": "demo", "spec_file": Path("x.yaml")}])
def test_one_of_preset_and_file_is_needed(arguments: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="give one of --preset NAME and --spec FILE"):
        load_spec(**arguments)  # type: ignore[arg-type]


def test_values_of_a_spec_cannot_be_changed() -> None:
    spec = load_spec(preset="demo").spec
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("value", ["0", "2.5", "many"])
def test_a_batch_is_a_number_or_auto_and_anything_else_is_one_problem(value: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(preset="demo", settings=[f"data.batch_size_per_process={value}"])
    (problem,) = caught.value.problems
    assert "data.batch_size_per_process: is a number from 1 to 4096, or auto; got " in problem
    auto = load_spec(preset="demo", settings=["data.batch_size_per_process=auto"]).spec.data
    with pytest.raises(SpecError, match=r"add --set data\.batch_size_per_process=N"):
        _ = auto.num_pictures_per_process


@pytest.mark.parametrize(
    "setting",
    [
        "data.num_workers=true",
        "optimisation.optimiser.momentum=false",
        "padding.divisor_pixels=true",
        "model.head.roi_head.nms_iou=true",
        "data.batch_size_per_process=true",
    ],
)
def test_a_truth_value_is_no_number(tmp_path: Path, setting: str) -> None:
    (problem,) = problems_of(tmp_path, MINIMAL, setting)
    key, _, value = setting.partition("=")
    assert problem.startswith(f"--set {setting}: {key}: must be a ")
    assert problem.endswith(f"; got {value}")


def test_a_truth_value_in_a_list_of_numbers_is_refused(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path, MINIMAL, "optimisation.schedule.drop_epochs=[8, true]", "data.num_workers=-1"
    )
    assert problems[1] == (
        "--set optimisation.schedule.drop_epochs=[8, true]: optimisation.schedule.drop_epochs: must be a "
        "list of whole numbers above 0; got [8, true]"
    )
    assert len(problems) == 2, "those of other sections are told too"


def test_an_unknown_base_is_told_with_the_file_that_names_it(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "base: hrnet-w19\n")
    assert problem.startswith(f"{tmp_path / 'spec.yaml'}: base: there is no preset 'hrnet-w19'; did you mean")


def test_a_long_wrong_value_is_shortened(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, MINIMAL, f"data.num_workers=[{', '.join(['1'] * 500)}]")
    assert len(problem.rpartition("got ")[2]) == 80
    assert len(problem.partition(": data.num_workers")[0]) == len("--set ") + 100


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("lr=0.1", "did you mean optimisation.base_learning_rate?"),
        ("model.lr=0.1", "did you mean optimisation.base_learning_rate?"),
        ("epochs=3", "did you mean optimisation.num_epochs?"),
        ("schedule.epochs=3", "did you mean optimisation.num_epochs?"),
        (
            "optimizer={lr: 0.1, weight_decay: 0}",
            "mean optimisation.base_learning_rate and optimisation.weight",
        ),
        ("Batch-Size=3", "did you mean data.batch_size_per_process?"),
        ("canvas_pixels=[1344, 800]", "did you mean padding.canvas_pixels (with padding.policy=fixed)?"),
        ("padding.canvas_pixels=[1344, 800]", "it is for padding.policy=fixed; set that too"),
        ("model.backbone.depth=50", "it is for model.backbone.kind=resnet; set that too"),
        (
            "optimisation.schedule.final_factor=0.1",
            "it is for optimisation.schedule.kind=cosine; set that too",
        ),
        (
            "optimisation.min_lr=1e-6",
            "did you mean optimisation.schedule.final_factor (with optimisation.sch",
        ),
        ("sched=cosine", "did you mean optimisation.schedule.kind?"),
        ("momentum=0.8", "did you mean optimisation.optimiser.momentum?"),
        ("model.head.stages=[]", "it is for model.head.kind=cascade_rcnn; set that too"),
        (
            "model.head.roi_head.stages=3",
            "did you mean model.head.stages (with model.head.kind=cascade_rcnn)?",
        ),
        (
            "model.head.nms_iou=0.4",
            "it is for model.head.kind=retinanet or model.head.kind=fcos; set that too, or did you mean "
            "model.head.rpn.nms_iou or model.head.roi_head.nms_iou?",
        ),
        ("score_thr=0.3", "did you mean model.head.roi_head.score_threshold?"),
        ("roi_head.nms_iou=0.4", "did you mean model.head.roi_head.nms_iou?"),
        ("model.roi_heads.nms_iou=0.4", "did you mean model.head.roi_head.nms_iou?"),
        ("model.mask.norm=group", "did you mean model.head.mask.norm?"),
        ("model.segm=true", "did you mean model.head.mask?"),
        ("model.kind=cascade_rcnn", "did you mean model.head.kind?"),
        ("head.kind=cascade_rcnn", "did you mean model.head.kind?"),
        ("kind=sync", "did you mean norm.kind?"),
        ("seed=1", "did you mean run.seed?"),
        ("num_classes=3", "the classes come from the training annotations"),
        ("model.head.roi_head.num_classes=3", "the classes come from the training annotations"),
        ("optimizer=SGD", "did you mean optimisation.optimiser"),
        ("layer_decay=0.8", "did you mean optimisation.parameter_groups.backbone.stage_decay?"),
        (
            "optimisation.optimiser.betas=[0.9, 0.95]",
            "it is for optimisation.optimiser.kind=adamw; set that too",
        ),
        ("max_iters=100", "counted in epochs: --set optimisation.num_epochs=12"),
        ("work_dir=x", "hrdet train: --run-dir DIR"),
        ("run.x=1", "run has: seed, device"),
    ],
)
def test_an_unknown_key_leads_to_the_right_one(setting: str, meant: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(preset="hrnet-w18", settings=[setting])
    (problem,) = caught.value.problems
    assert problem.startswith(f"--set {setting}: ")
    assert "unknown key; " in problem
    assert meant in problem


def test_every_synonym_leads_to_a_key_that_there_is_and_is_none_itself() -> None:
    keys = set(all_keys())
    for name, (key, _) in SYNONYM_BY_NAME.items():
        sections = {"optimisation.ema", "model.head.mask", "evaluation.test_time_augmentation"}
        sections |= {f"augmentation.extras.{name}" for name in ("colour", "blur", "noise", "jpeg")}
        assert key in keys | sections, name
        assert name == "seed" or name not in ExperimentSpec.model_fields
        assert answer_to(name) is None, name


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("optimisation.num_epochs=1.5", "must be a whole number above 0; got 1.5"),
        ("optimisation.num_epochs=null", "must be a whole number above 0; got null"),
        ("optimisation.num_epochs=100000000000", "got 100000000000; no number goes beyond 2147483647"),
        ("optimisation.base_learning_rate=1e999", "must be a number above 0; got .inf"),
        ("optimisation.optimiser.momentum=.nan", "must be a number from 0 to 1; got .nan"),
        (
            "optimisation.optimiser={kind: adamw, betas: [0.9, 1]}",
            "must be a list of 2 numbers of at least 0 and below 1; got [0.9, 1]",
        ),
        ("optimisation.ema=3", "must be a section with the keys decay or null; got 3"),
        (
            "optimisation.schedule.drop_epochs=8",
            "whole numbers above 0; got 8; write --set 'optimisation.schedule.drop_",
        ),
        (
            "optimisation.schedule.drop_epochs=[8, x, -1]",
            "must be a list of whole numbers above 0; got [8, x, -1]",
        ),
        (
            "augmentation.scales_pixels=[1333, 800]",
            "write --set 'augmentation.scales_pixels=[[1333, 800]]'",
        ),
        ("augmentation.scales_pixels=[]", "such as [[1333, 800]]; got []"),
        ("augmentation.scales_pixels=[[133300, 800]]", "of at most 16384 pixels"),
        ("evaluation.scale_pixels=[1, 2, 3]", "must be a pair [long edge, short edge]"),
        ("model.pixel_mean=[1, 2]", "must be a list of 3 numbers; got [1, 2]"),
        ("model.box_corners=x", "must be one of 'exclusive', 'inclusive'; got 'x'"),
        ("model.backbone.width=18", "'small'; got 18; did you mean w18?"),
        ("run.precision=fp16", "got 'fp16'; did you mean bfloat16?"),
        ("model.weights=3", "must be a text or null; got 3"),
        ("name=2024", "with a letter or digit first; got 2024; in quotes it is one: --set 'name=\"2024\"'"),
        ("data.keep_pictures_without_boxes=2", "must be true or false; got 2"),
        ("data.root=[a]", "must be a path; got [a]"),
        (
            "data.train=x.json",
            "must be a section with the keys annotations, images, split, label_maps or a list of sections",
        ),
        (
            "norm=batch",
            "of one of the kinds batch, sync, frozen, group; got 'batch'; write --set norm.k",
        ),
        ("norm.kind=[1]", "[1] is unknown; choose from 'batch', 'sync', 'frozen', 'group'"),
        ("padding.divisor_pixels=33", "must be a whole number above 0 and a multiple of 32; got 33"),
        ("run.seed.x=3", "must be a whole number of at least 0 and below 2147483648; got {x: 3}"),
    ],
)
def test_a_wrong_value_is_one_problem_in_our_own_words(setting: str, what: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(preset="hrnet-w18", settings=[setting])
    (problem,) = caught.value.problems
    assert what in problem
    assert problem.startswith(f"--set {setting}: {setting.partition('=')[0].removesuffix('.x')}")


def _wrong_values() -> Iterator[tuple[str, str]]:
    for key in all_keys():
        for value in ("[[x]]", "{x: 1}", "-1", "null"):
            yield key, value


def test_no_key_answers_a_wrong_value_with_words_of_a_library() -> None:
    num_problems = 0
    for key, value in _wrong_values():
        try:
            load_spec(preset="demo", settings=[f"{key}={value}"])
        except SpecError as error:
            num_problems += 1
            for problem in error.problems:
                assert not re.search(r"Input should|valid tuple|unable to|instance|NoneType|dict", problem), (
                    problem
                )
    assert num_problems > 250


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "is empty (0 bytes), not a spec. Copy or download it again."),
        (b"# only a comment\n", "is empty; a spec is a mapping of sections"),
        (b"PK\x03\x04 and more", "is a ZIP archive, not a spec. Unpack it"),
        (b"<!DOCTYPE html><html>", "is a web page (HTML), not a spec."),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (
            "name: ä".encode("latin-1"),
            "cannot be read as a spec: is not UTF-8 text (line 1); save it as UTF-8",
        ),
        ("name: a".encode("utf-16"), "cannot be read as a spec: is UTF-16; save it as UTF-8"),
        (b"[" + b"1, " * 400_000 + b"1]", "has more than 1,048,576 bytes, which no spec has"),
    ],
)
def test_a_file_that_is_no_spec_is_named_with_what_it_is(tmp_path: Path, raw: bytes, what: str) -> None:
    file = tmp_path / "spec.yaml"
    file.write_bytes(raw)
    with pytest.raises(SpecError) as caught:
        load_spec(spec_file=file)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{file}: {what}")


def test_a_folder_is_no_spec(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read as a spec: Is a directory"):
        load_spec(spec_file=tmp_path)


def test_a_preset_given_as_a_file_is_told_so() -> None:
    with pytest.raises(SpecError, match="No such file or directory; a preset is given with --preset demo"):
        load_spec(spec_file=Path("demo"))


def test_a_mark_before_a_spec_is_overlooked(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert load_spec(spec_file=file).spec.name == "mine"


@pytest.mark.parametrize("setting", [".".join("a" * 3000) + "=1", "x" * 5000 + "=1", "run.\udc80=1"])
def test_an_endless_or_broken_setting_is_one_short_problem(setting: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(preset="demo", settings=[setting])
    (problem,) = caught.value.problems
    assert len(problem) < 500
    assert problem.startswith("--set ")


@pytest.mark.parametrize(
    ("settings", "num_steps"),
    [
        ([], 62),
        (["optimisation.warmup_steps=500"], 500),
        (["optimisation.warmup_steps=300"], 300),
        (["optimisation.warmup_steps=300", "optimisation.max_warmup_share=0.2"], 124),
        (["optimisation={max_warmup_share: 0.2, warmup_steps: 30}"], 30),
        (["optimisation.max_warmup_share=null"], 500),
    ],
)
def test_a_presets_warmup_fits_the_run_and_one_of_ones_own_is_taken_as_it_is(
    settings: list[str], num_steps: int
) -> None:
    optimisation = load_spec(preset="hrnet-w18", settings=settings).spec.optimisation
    assert optimisation.warmup_steps_of(624) == num_steps
    assert optimisation.warmup_steps_of(88_000) == optimisation.warmup_steps


def test_a_warmup_of_a_spec_file_is_its_own_and_of_a_preset_over_a_preset_is_not(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("base: hrnet-w18\nname: mine\noptimisation: {warmup_steps: 200}\n")
    assert load_spec(spec_file=file).spec.optimisation.warmup_steps_of(624) == 200
    assert load_spec(preset="finetune-w18").spec.optimisation.warmup_steps_of(624) == 62


def test_a_pipe_is_no_spec_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "spec.yaml")
    with pytest.raises(
        SpecError, match=r"spec\.yaml: is a pipe, which may never be written into; give a file"
    ):
        load_spec(spec_file=tmp_path / "spec.yaml")


def test_gpu_means_cuda() -> None:
    with pytest.raises(SpecError, match=r"did you mean cuda\?"):
        load_spec(preset="demo", settings=["run.device=gpu"])


def test_an_item_of_a_list_of_sections_is_named_by_its_number() -> None:
    stages = (
        "[{positive_iou: 0.5, box_stds: [1, 1, 1, 1], loss_weight: 1}, {positive_iou: 2, los_weight: 1, "
        "box_stds: [1, 1, 1, x]}]"
    )
    setting = f"model.head.stages={stages}"
    with pytest.raises(SpecError) as caught:
        load_spec(preset="demo", settings=["model.head.kind=cascade_rcnn", setting])
    assert [problem.partition("}]: ")[2] for problem in caught.value.problems] == [
        "model.head.stages.1.positive_iou: must be a number from 0 to 1; got 2",
        "model.head.stages.1.box_stds: must be a list of 4 numbers above 0; got [1, 1, 1, x]",
        "model.head.stages.1.loss_weight: is needed: a number above 0",
        "model.head.stages.1.los_weight: unknown key; did you mean model.head.stages.1.loss_weight?",
    ]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("[]", "must have a stage at least; got []"),
        ("3", "must be a list of sections with the keys positive_iou, min_positive_iou, box_stds, "),
    ],
)
def test_what_is_no_list_of_sections_is_one_problem(value: str, what: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(preset="demo", settings=["model.head.kind=cascade_rcnn", f"model.head.stages={value}"])
    (problem,) = caught.value.problems
    assert problem.startswith(f"--set model.head.stages={value}: model.head.stages: {what}")
    assert "; write" not in problem


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("casscade", ""),
        ("mask_rcnn", "write --set model.head.kind=faster_rcnn --set 'model.head.mask={}', or "),
        ("Cascade R-CNN", "write --set model.head.kind=cascade_rcnn, or "),
    ],
)
def test_an_unknown_kind_of_detector_is_answered_with_what_makes_it(kind: str, written: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(preset="demo", settings=[f"model.head.kind={kind}"])
    (problem,) = caught.value.problems
    assert re.search(
        rf"model\.head\.kind: '?{kind}'? is unknown; {re.escape(written)}choose from 'fa", problem
    )


@pytest.mark.parametrize("names", SETTINGS_BY_DETECTOR)
def test_what_is_written_for_a_detector_makes_it(names: str) -> None:
    settings = SETTINGS_BY_DETECTOR[names].split()
    head = load_spec(preset="demo", settings=settings).spec.model.head
    assert f"model.head.kind={head.kind}" in settings
    assert (head.masks is not None) == ("model.head.mask={}" in settings) == ("mask" in names)


def test_another_head_starts_afresh_and_keeps_backbone_neck_weights_and_pixels() -> None:
    settings = ["model.head.roi_head.nms_iou=0.4", "model.neck.channels=128", "model.pixel_order=bgr"]
    before = load_spec(preset="hrnet-w32", settings=settings).spec
    after = load_spec(preset="hrnet-w32", settings=[*settings, "model.head.kind=cascade_rcnn"]).spec
    assert after.model.head == CascadeRcnnSpec(kind="cascade_rcnn")
    with_old_head = after.model.model_copy(update={"head": before.model.head})
    assert after.model_copy(update={"model": with_old_head}) == before


def test_a_section_that_is_switched_on_as_it_is_says_which_layer_did_it() -> None:
    loaded = load_spec(preset="mask-hrnet-w18", settings=["optimisation.ema={}"])
    assert loaded.sources["model.head.mask"] == "preset mask-hrnet-w18"
    assert loaded.sources["optimisation.ema"] == "--set optimisation.ema={}"
    off = load_spec(preset="mask-hrnet-w18", settings=["model.head.mask=null"])
    assert "model.head.mask" not in off.sources
    assert off.spec.model.head.masks is None


@pytest.mark.parametrize(
    ("preset", "title"),
    [
        ("mask-hrnet-w32", "faster_rcnn with masks on hrnet w32"),
        ("mmdet3-cascade-r101-fpn", "cascade_rcnn on resnet 101"),
    ],
)
def test_a_model_has_a_title(preset: str, title: str) -> None:
    assert load_spec(preset=preset).spec.model.title == title


def test_what_a_script_sets_is_what_set_would_have_set(tmp_path: Path) -> None:
    texts = [
        "optimisation.momentum=0.8",
        "data.demo={seed: 3}",
        "augmentation.scales_pixels=[[320, 256]]",
        f"data.root={tmp_path}",
    ]
    settings = {
        "optimisation.momentum": 0.8,  # by its older name
        "data.demo": {"seed": 3},
        "augmentation.scales_pixels": ((320, 256),),
        "data.root": tmp_path,
    }
    loaded = load_spec(preset="demo", extra_layers=mapping_layers(settings))
    assert loaded.spec == load_spec(preset="demo", settings=texts).spec
    assert loaded.sources["data.demo.seed"] == "settings"


def test_a_script_sets_plain_values_by_dotted_keys_and_hears_of_every_problem() -> None:
    with pytest.raises(SpecError) as error:
        mapping_layers({"a.b": [1, {2}], "": 1, "a..b": 1})
    assert [problem.partition(";")[0] for problem in error.value.problems] == [
        "settings: a.b: a value of the type set has no place in a spec, which has numbers, texts, bools, "
        "None, and lists and dictionaries of these",
        "settings: : is no dotted key",
        "settings: a..b: is no dotted key",
    ]


def test_what_a_script_sets_contradicts_from_scratch_like_an_option() -> None:
    layers = mapping_layers({"model.weights": "w.pth"})
    with pytest.raises(SpecError, match=r"^--from-scratch: contradicts settings: nothing is trained yet"):
        load_spec(preset="hrnet-w18", extra_layers=layers, from_scratch=True)


_TWO_SETS = "data.train=[{annotations: a.json, images: a}, {annotations: b, split: train}]"


def test_an_item_of_a_list_is_changed_by_its_number() -> None:
    settings = ["data.demo=null", _TWO_SETS, "data.train.1.split=trainval", "data.train.0.label_maps=maps"]
    loaded = load_spec(preset="demo", settings=settings)
    first, second = loaded.spec.data.training_sets
    assert (str(first.images), str(first.label_maps), second.split) == ("a", "maps", "trainval")
    assert loaded.sources["data.train"] == f"--set {_TWO_SETS}"
    assert loaded.sources["data.train.1.split"] == "--set data.train.1.split=trainval"
    again = load_spec(preset="demo", settings=[*settings, _TWO_SETS])
    assert again.spec.data.training_sets[1].split == "train"
    assert "data.train.1.split" not in again.sources


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("data.train.2.split=x", "there is no data.train.2; the last one is data.train.1"),
        ("data.train.0=x.json", "set data.train as a whole, as a list"),
        ("augmentation.scales_pixels.0=[64, 64]", "set augmentation.scales_pixels as a whole, as a list"),
        ("data.train.1.splitt=x", "data.train.1.splitt: unknown key; did you mean data.train.1.split?"),
        (
            "data.train.split=x",
            "data.train.annotations: is needed and no layer sets it; data.train was a list of 2 (--set "
            f"{_TWO_SETS}), whose items are data.train.0 and so on: --set data.train.0.KEY=VALUE",
        ),
    ],
)
def test_what_is_no_item_of_a_list_is_told(setting: str, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(preset="demo", settings=["data.demo=null", _TWO_SETS, setting])
    (found,) = caught.value.problems
    assert found.endswith(problem)


def test_the_label_maps_of_each_data_set_are_asked_for() -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(
            preset="demo",
            settings=[
                "data.demo=null",
                _TWO_SETS,
                "data.train.0.label_maps=maps",
                "model.head.kind=cascade_rcnn",
                "model.head.semantic={num_labels: 3}",
            ],
        )
    assert any("data.train.1.label_maps: is needed by" in problem for problem in caught.value.problems)

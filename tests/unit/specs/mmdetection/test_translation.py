"""What a configuration says is what its spec says, and nothing of it is lost on the way."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.layers import Layer, preset_layers
from hrdet_cli.specs.loading import load_spec, validate_layers
from hrdet_cli.specs.mmdetection.config_file import read_config
from hrdet_cli.specs.mmdetection.entries import flat_entries
from hrdet_cli.specs.mmdetection.nearest_preset import nearest_preset
from hrdet_cli.specs.mmdetection.translation import ENTRY_POINTS, Translation, translate
from tests.mmdetection_configs import (
    BASE_OF_VERSION_3,
    DATA_OF_VERSION_3,
    MASKS_OF_VERSION_2,
    OF_VERSION_1,
    OF_VERSION_3,
)


@pytest.fixture(params=["version-1", "version-2", "version-3"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A configuration of each dialect."""
    texts = {"version-1": OF_VERSION_1, "version-2": MASKS_OF_VERSION_2, "version-3": OF_VERSION_3}
    return written(tmp_path, texts[request.param], request.param)


def written(folder: Path, text: str, name: str = "config") -> Path:
    (folder / "base.py").write_text(BASE_OF_VERSION_3, encoding="utf-8")
    (folder / "data.py").write_text(DATA_OF_VERSION_3, encoding="utf-8")
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder / f"{name}.py"


def translated(folder: Path, text: str) -> Translation:
    return translate(read_config(written(folder, text)))


def became(translation: Translation, key: str) -> tuple[str, str | None, str]:
    """Status, our key and reason of what a key became."""
    (outcome,) = [outcome for outcome in translation.outcomes if key in outcome.leaves]
    return outcome.status, next(iter(outcome.ours), None), outcome.why


def test_every_key_ends_as_exactly_one_thing(config: Path) -> None:
    read = read_config(config)
    ends = Counter(leaf for outcome in translate(read).outcomes for leaf in outcome.leaves)
    own = {name for name in read.values if name in read.used and name not in ENTRY_POINTS}
    of_mmdetection = {name: value for name, value in read.values.items() if name not in own}
    written_keys = {entry.written for _, entry in flat_entries(of_mmdetection)}
    assert set(ends) == written_keys | own
    assert max(ends.values()) == 1


def test_the_nearest_preset_with_the_differences_is_the_spec(config: Path) -> None:
    translation = translate(read_config(config))
    base, values = nearest_preset(translation.spec, translation.generation)
    again = validate_layers([*preset_layers(base), Layer("file", values)]).spec
    assert again == translation.spec


def differences_from(preset: str, translation: Translation) -> dict[str, Any]:
    theirs = load_spec(preset=preset).spec.values_by_key()
    ours = translation.spec.values_by_key()
    differing = {key: ours.get(key) for key in theirs | ours if theirs.get(key) != ours.get(key)}
    return {key: value for key, value in differing.items() if key not in ("name", "description")}


def test_faster_rcnn_of_2019_is_the_preset_of_2019(tmp_path: Path) -> None:
    translation = translated(tmp_path, OF_VERSION_1)
    assert (translation.generation, translation.num_classes) == (1, 80)
    assert differences_from("hrnet2019-w18", translation) == {
        "model.weights": "imagenet:hrnetv2_w18",
        "optimisation.learning_rate_scaling": "none",
        "optimisation.max_warmup_share": None,
        "run.checkpoint_every_epochs": 1,
    }


def test_mask_rcnn_of_version_2_is_the_caffe_preset_with_its_own_data(tmp_path: Path) -> None:
    translation = translated(tmp_path, MASKS_OF_VERSION_2)
    assert (translation.generation, translation.num_classes) == (2, 3)
    weights = "https://download.openmmlab.com/pretrain/third_party/resnet50_msra-5891d200.pth"
    assert differences_from("mmdet3-mask-r50-caffe-fpn", translation) == {
        "model.weights": weights,
        "model.head.roi_head.sampling": "ohem",
        "model.head.roi_head.soft_nms.decay": "linear",
        "model.head.roi_head.soft_nms.min_score": 0.05,
        "model.head.roi_head.soft_nms.sigma": 0.5,
        "data.root": "data/mine",
        "data.classes": ["cat", "dog", "bird"],
        "data.train.annotations": "train.json",
        "data.train.images": "train",
        "data.val.annotations": "val.json",
        "data.val.images": "val",
        "data.batch_size_per_process": 2,
        "data.num_workers": 3,
        "augmentation.scales_pixels": [[1333, 640], [1333, 800]],
        "augmentation.flip_probability": 0.25,
        "evaluation.scale_pixels": [1000, 600],
        "evaluation.every_num_epochs": 6,
        "optimisation.num_epochs": 36,
        "optimisation.schedule.drop_epochs": [27, 33],
        "optimisation.learning_rate_scaling": "none",
        "optimisation.max_warmup_share": None,
        "run.checkpoint_every_epochs": 3,
        "run.log_every_steps": 50,
    }
    assert translation.spec.model.pixel_mean == (123.675, 116.28, 103.53)


def test_fcos_of_version_3_is_its_preset_with_two_scales_and_24_epochs(tmp_path: Path) -> None:
    translation = translated(tmp_path, OF_VERSION_3)
    assert (translation.generation, translation.num_classes) == (3, 80)
    assert differences_from("mmdet3-fcos-hrnet-w18", translation) == {
        "model.weights": "imagenet:hrnetv2_w18",
        "augmentation.scales_pixels": [[1333, 640], [1333, 800]],
        "optimisation.num_epochs": 24,
        "optimisation.schedule.drop_epochs": [16, 22],
        "optimisation.max_warmup_share": None,
    }


@pytest.mark.parametrize(
    ("flip", "horizontal", "vertical"),
    [
        ("prob=0.25", 0.25, 0.0),
        ("prob=0.25, direction='vertical'", 0.0, 0.25),
        ("prob=[0.3, 0.2], direction=['horizontal', 'vertical']", 0.0, 0.0),
        ("prob=0.5, direction='diagonal'", 0.0, 0.0),
    ],
)
def test_a_flip_is_of_its_direction_or_none(
    tmp_path: Path, flip: str, horizontal: float, vertical: float
) -> None:
    text = OF_VERSION_3.replace("type='RandomFlip', prob=0.5", f"type='RandomFlip', {flip}")
    translation = translated(tmp_path, text)
    augmentation = translation.spec.augmentation
    assert augmentation.flip_probability == horizontal
    assert augmentation.extras.vertical_flip_probability == vertical
    status, _, why = became(translation, "train_dataloader.dataset.pipeline[3].prob")
    is_none = horizontal == vertical == 0
    assert ((status == "no counterpart"), "draws flips apart" in why) == (is_none, is_none)


def test_what_hrdet_has_not_is_named_with_a_reason(tmp_path: Path) -> None:
    translation = translated(tmp_path, MASKS_OF_VERSION_2)
    status, _, why = became(translation, "data.train.dataset.pipeline[4].brightness_delta")
    assert (status, "augmentations are others" in why) == ("no counterpart", True)
    assert became(translation, "data.train.dataset.classes")[:2] == ("taken", "data.classes")
    assert became(translation, "custom_hooks[0].type")[0] == "default"
    assert became(translation, "model.test_cfg.rcnn.nms.type")[0] == "taken"
    assert became(translation, "classes") == ("taken", None, "stands in other keys")
    assert became(translation, "runner.max_epochs") == ("taken", "optimisation.num_epochs", "")
    assert became(translation, "model.rpn_head.anchor_generator.scales")[0] == "default"


@pytest.mark.parametrize(
    ("change", "key", "status", "target"),
    [
        ("model = dict(x_y=1)", "model.x_y", "no counterpart", None),
        ("epochs = 3", "epochs", "no counterpart", None),
        (
            "optim_wrapper = dict(type='AmpOptimWrapper', loss_scale=512.)",
            "optim_wrapper.loss_scale",
            "no counterpart",
            None,
        ),
        (
            "model = dict(bbox_head=dict(norm_on_bbox=True))",
            "model.bbox_head.norm_on_bbox",
            "taken",
            "model.head.distances",
        ),
        (
            "model = dict(bbox_head=dict(center_sampling=True))",
            "model.bbox_head.center_sampling",
            "taken",
            "model.head.centre_radius",
        ),
        (
            "model = dict(backbone=dict(_delete_=True, type='ResNeXt', depth=101, groups=32, frozen_stages=1,"
            "dcn=dict(type='DCNv2', deform_groups=4, fallback_on_stride=False),"
            "init_cfg=dict(checkpoint='w.pth'), stage_with_dcn=(False, True, True, True)),"
            "neck=dict(_delete_=True, type='FPN', out_channels=256, num_outs=5, start_level=1,"
            "add_extra_convs='on_output'))",
            "model.backbone.dcn.deform_groups",
            "taken",
            "model.backbone.deformable",
        ),
        (
            "train_dataloader = dict(dataset=dict(pipeline=["
            "dict(type='RandomResize', scale=(1024, 1024), ratio_range=(.1, 2.), keep_ratio=True)]))",
            "train_dataloader.dataset.pipeline[0].ratio_range",
            "no counterpart",
            None,
        ),
        (
            "train_dataloader = dict(dataset=dict(pipeline=["
            "dict(type='RandomResize', scale=(1024, 1024), ratio_range=(.1, 2.), keep_ratio=True),"
            "dict(type='RandomCrop', crop_type='absolute_range', crop_size=(1024, 1024))]))",
            "train_dataloader.dataset.pipeline[0].ratio_range",
            "taken",
            "augmentation",
        ),
        (
            "train_dataloader = dict(sampler=dict(type='ClassAwareSampler', num_sample_class=1))",
            "train_dataloader.sampler.type",
            "taken",
            "data.sampling",
        ),
        (
            "train_dataloader = dict(dataset=dict(type='VOCDataset', ann_file='ImageSets/Main/train.txt'))",
            "train_dataloader.dataset.ann_file",
            "no counterpart",
            None,
        ),
        (
            "val_dataloader = dict(dataset=dict(type='OpenImagesDataset', ann_file='validation.csv'))",
            "val_dataloader.dataset.data_prefix.img",
            "no counterpart",
            None,
        ),
        ("randomness = dict(seed=3)", "randomness.seed", "taken", "run.seed"),
        (
            "optim_wrapper = dict(accumulative_counts=4)",
            "optim_wrapper.accumulative_counts",
            "taken",
            "optimisation.accumulate_steps",
        ),
        ("load_from = 'my.pth'", "load_from", "taken", "model.weights"),
        ("train_cfg = dict(_delete_=True, max_iters=90000)", "train_cfg.max_iters", "no counterpart", None),
        (
            "model = dict(data_preprocessor=dict("
            "batch_augments=[dict(type='BatchFixedSizePad', size=(1344, 1344))]))",
            "model.data_preprocessor.batch_augments[0].size",
            "taken",
            "padding",
        ),
    ],
)
def test_a_key_becomes(change: str, key: str, status: str, target: str | None, tmp_path: Path) -> None:
    written(tmp_path, OF_VERSION_3, "whole")
    translation = translated(tmp_path, f"_base_ = 'whole.py'\n{change}\n")
    assert became(translation, key)[:2] == (status, target)


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        ("default_hooks = dict(checkpoint=dict(max_keep_ckpts=-1))", "run.num_epoch_checkpoints", None),
        ("default_hooks = dict(checkpoint=dict(interval=-1))", "run.checkpoint_every_epochs", 4),
        (
            "default_hooks = dict(checkpoint=dict(interval=999, by_epoch=False))",
            "run.checkpoint_every_epochs",
            4,
        ),
        ("train_cfg = dict(val_interval=-1)", "evaluation.every_num_epochs", 0),
        ("randomness = dict(seed=None)", "run.seed", 0),
        (
            "param_scheduler = [dict(type='LinearLR', start_factor=0.1, begin=0, end=1)]",
            "optimisation.warmup_steps",
            0,
        ),
        ("custom_hooks = [dict(type='EMAHook', momentum=0.001)]", "optimisation.ema.decay", 0.999),
        ("custom_hooks = [dict(type='EMAHook', priority=49)]", "optimisation.ema.decay", 0.9998),
        (
            "param_scheduler = [dict(type='MultiStepLR', begin=2, end=9, milestones=[6, 9])]",
            "optimisation.schedule.drop_epochs",
            [8, 11],
        ),
        (
            "param_scheduler = [dict(type='CosineAnnealingLR', eta_min_ratio=0.05)]",
            "optimisation.schedule.final_factor",
            0.05,
        ),
        (
            "optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=0.01))",
            "optimisation.optimiser.momentum",
            0,
        ),
        (
            "optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=0.01))",
            "optimisation.weight_decay",
            0.01,
        ),
        (
            "optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=0.01, betas=(0.9, 0.99)))",
            "optimisation.optimiser.kind",
            "sgd",
        ),
        (
            "train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDataset', times=2, dataset=dict("
            "type='RepeatDataset', times=3, dataset=dict(type='CocoDataset', ann_file='a.json'))))",
            "optimisation.num_epochs",
            144,
        ),
    ],
)
def test_a_value_is_what_mmdetection_makes_of_it(
    change: str, key: str, value: object, tmp_path: Path
) -> None:
    written(tmp_path, OF_VERSION_3, "whole")
    translation = translated(tmp_path, f"_base_ = 'whole.py'\n{change}\n")
    assert translation.spec.values_by_key()[key] == value


@pytest.mark.parametrize(
    ("change", "key", "why"),
    [
        (
            "custom_hooks = [dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.1)]",
            "custom_hooks[0].momentum",
            "hrdet's average has one decay",
        ),
        (
            "custom_hooks = [dict(type='EMAHook', momentum=1)]",
            "custom_hooks[0].momentum",
            "hrdet's average has one decay",
        ),
        (
            "train_dataloader = dict(dataset=dict(pipeline=[dict(type='Resize', scale=(1333, 800))]))",
            "train_dataloader.dataset.pipeline[0].type",
            "pictures keep their aspect ratio in hrdet",
        ),
        (
            "val_dataloader = dict(dataset=dict(pipeline=[dict(type='Resize', scale=(640, 640))]))",
            "val_dataloader.dataset.pipeline[0].type",
            "pictures keep their aspect ratio in hrdet",
        ),
        (
            "param_scheduler = [dict(type='CosineAnnealingLR', begin=0, T_max=6, end=12)]",
            "param_scheduler[0].T_max",
            "hrdet's cosine goes from the first step to the last",
        ),
        (
            "custom_hooks = [dict(type='EarlyStoppingHook', patience=5)]",
            "custom_hooks[0].patience",
            "set evaluation.patience",
        ),
        ("data = dict(train=[dict(ann_file='a.json')])", "data.train[0].ann_file", "give several data sets"),
        (
            "train_dataloader = dict(dataset=dict(_delete_=True, type='ConcatDataset'))",
            "train_dataloader.dataset.type",
            "give several data sets",
        ),
    ],
)
def test_what_has_another_place_is_told(change: str, key: str, why: str, tmp_path: Path) -> None:
    text = (
        f"_base_ = ['base.py']\n{change}\n"
        if change.startswith("data")
        else f"_base_ = 'whole.py'\n{change}\n"
    )
    written(tmp_path, OF_VERSION_3, "whole")
    status, _, told = became(translated(tmp_path, text), key)
    assert (status, told.startswith(why)) == ("no counterpart", True)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            "backbone=dict(_delete_=True, type='SwinTransformer')",
            "model.backbone: hrdet has no SwinTransformer; it has HRNet, ResNet",
        ),
        (
            "backbone=dict(_delete_=True, type='ResNet', depth=18)",
            "model.backbone.depth 18: hrdet has 50 and 101 layers",
        ),
        ("backbone='HRNet'", "model.backbone is missing, or has no type"),
        ("bbox_head=dict(_delete_=True)", "the model's head is missing, or has no type"),
        ("neck=dict(num_outs=6)", "model.neck.num_outs 6: hrdet has five levels"),
        (
            "neck=dict(_delete_=True, type='FPN', out_channels=256, num_outs=5), backbone=dict("
            "_delete_=True, type='ResNet', depth=50)",
            "model.neck without start_level: hrdet's levels begin at stride 4 before regions",
        ),
        ("bbox_head=dict(dcn_on_last_conv=True)", "model.bbox_head.dcn_on_last_conv true: hrdet has plain"),
        ("type='YOLOX'", "model.type is YOLOX; hrdet has FasterRCNN, MaskRCNN, CascadeRCNN"),
    ],
)
def test_another_network_is_an_error(change: str, problem: str, tmp_path: Path) -> None:
    written(tmp_path, OF_VERSION_3, "whole")
    with pytest.raises(SpecError) as caught:
        translated(tmp_path, f"_base_ = 'whole.py'\nmodel = dict({change})\n")
    assert problem in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "config.py"))


def test_a_coder_without_stds_has_ones_and_masks_may_be_what_is_best(tmp_path: Path) -> None:
    written(tmp_path, MASKS_OF_VERSION_2, "whole")
    coder = "dict(_delete_=True, type='DeltaXYWHBBoxCoder')"
    model = f"model = dict(roi_head=dict(bbox_head=dict(bbox_coder={coder})))"
    change = f"{model}\nevaluation = dict(save_best='segm_mAP')"
    values = translated(tmp_path, f"_base_ = 'whole.py'\n{change}\n").spec.values_by_key()
    assert values["model.head.roi_head.box_stds"] == [1.0, 1.0, 1.0, 1.0]
    assert values["evaluation.best_by"] == "mask"


@pytest.mark.parametrize(
    ("coder", "stds"),
    [("bbox_coder=dict(_delete_=True, type='DeltaXYWHBBoxCoder')", 1.0), ("bbox_coder=None", 0.1)],
)
def test_a_stage_of_a_cascade_has_the_stds_of_its_coder_or_of_its_head(
    coder: str, stds: float, tmp_path: Path
) -> None:
    written(tmp_path, MASKS_OF_VERSION_2, "whole")
    heads = "stage_loss_weights=[1, 0.5], bbox_head=dict(reg_class_agnostic=True, " + coder + ")"
    change = f"model = dict(type='CascadeRCNN', roi_head=dict(type='CascadeRoIHead', {heads}))"
    values = translated(tmp_path, f"_base_ = 'whole.py'\n{change}\n").spec.values_by_key()
    assert [stage["box_stds"][0] for stage in values["model.head.stages"]] == [stds, stds]


def _two_sets(of_second: str = "resized") -> str:
    return f"""
_base_ = 'whole.py'
resized = [dict(type='Resize', scale=(640, 480), keep_ratio=True)]
common = dict(type='CocoDataset', data_root='data/coco/', filter_cfg=dict(filter_empty_gt=True))
sets = [
    dict(ann_file='a.json', data_prefix=dict(img='a/'), pipeline=resized, **common),
    dict(ann_file='b.json', data_prefix=dict(img='b/'), pipeline={of_second}, **common)]
train_dataloader = dict(dataset=dict(_delete_=True, type='ConcatDataset', datasets=sets))
"""


def test_several_data_sets_that_say_the_same_become_a_list(tmp_path: Path) -> None:
    written(tmp_path, OF_VERSION_3, "whole")
    translation = translated(tmp_path, _two_sets())
    data = translation.spec.data
    assert [(str(one.annotations), str(one.images)) for one in data.training_sets] == [
        ("a.json", "a"),
        ("b.json", "b"),
    ]
    assert str(data.root) == "data/coco"
    assert translation.spec.values_by_key()["augmentation.scales_pixels"] == [[640, 480]]
    assert became(translation, "train_dataloader.dataset.datasets[1].ann_file")[:2] == ("taken", "data.train")
    last = "train_dataloader.dataset.datasets[1].pipeline[0].scale"
    assert became(translation, last)[::2] == ("default", "all of the data sets say it")


def test_a_list_of_data_sets_that_is_repeated_is_a_list_too(tmp_path: Path) -> None:
    written(tmp_path, MASKS_OF_VERSION_2, "whole")
    sets = ", ".join(f"dict(type='CocoDataset', ann_file='{n}.json', img_prefix='{n}/')" for n in "ab")
    repeated = f"dict(_delete_=True, type='RepeatDataset', times=2, dataset=[{sets}])"
    translation = translated(tmp_path, f"_base_ = 'whole.py'\ndata = dict(train={repeated})\n")
    assert [str(one.annotations) for one in translation.spec.data.training_sets] == ["a.json", "b.json"]
    assert translation.spec.optimisation.num_epochs == 24


def test_data_sets_with_pipelines_of_their_own_are_left_to_the_command_line(tmp_path: Path) -> None:
    written(tmp_path, OF_VERSION_3, "whole")
    key = "train_dataloader.dataset.datasets[0].ann_file"
    status, _, why = became(translated(tmp_path, _two_sets("[]")), key)
    assert (status, why.startswith("give several data sets")) == ("no counterpart", True)


def test_pictures_may_lie_in_the_root_as_lvis_has_them(tmp_path: Path) -> None:
    text = OF_VERSION_1.replace("data_root + 'train2017/'", "data_root")
    values = translated(tmp_path, text).spec.values_by_key()
    places = [values[f"data.{key}"] for key in ("root", "train.images", "val.images")]
    assert places == ["data/coco", ".", "val2017"]


def test_anchors_of_other_scales_are_another_network(tmp_path: Path) -> None:
    """Two of our keys follow from the scales, and either would be wrong."""
    with pytest.raises(SpecError) as caught:
        translated(tmp_path, MASKS_OF_VERSION_2.replace("scales=[8]", "scales=[2, 4, 8]"))
    assert str(caught.value) == (
        f"{tmp_path}/config.py: model.rpn_head.anchor_generator.scales [2, 4, 8]: "
        "hrdet's scales of anchors share one octave out evenly"
    )


def test_a_value_of_the_wrong_shape_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    written(tmp_path, OF_VERSION_3, "whole")
    for change in (
        "backbone=dict(extra=3)",
        "data_preprocessor=dict(mean=3)",
        "bbox_head=dict(regress_ranges=1)",
    ):
        with pytest.raises(SpecError, match="is not as mmdetection writes it"):
            translated(tmp_path, f"_base_ = 'whole.py'\nmodel = dict({change})\n")
    for line in (
        "train_cfg = dict(max_epochs=1e999)",
        "param_scheduler = [dict(type='CosineAnnealingLR', eta_min=1e-6)]\n"
        "optim_wrapper = dict(optimizer=dict(lr=0))",
    ):
        with pytest.raises(SpecError, match="is not as mmdetection writes it"):
            translated(tmp_path, f"_base_ = 'whole.py'\n{line}\n")


def test_weights_are_needed_where_some_stay_as_they_are(tmp_path: Path) -> None:
    text = BASE_OF_VERSION_3.replace("open-mmlab://detectron/resnet50_caffe", "mmcls://of/others")
    with pytest.raises(SpecError, match=r"config\.py: names no weights that hrdet can fetch"):
        translated(tmp_path, text)
    spec = translate(read_config(tmp_path / "config.py"), weights="my.pth").spec
    assert spec.model.weights == "my.pth"


def test_weights_that_are_given_take_the_place_of_the_config_s(tmp_path: Path) -> None:
    translation = translate(read_config(written(tmp_path, OF_VERSION_3)), weights="my.pth")
    status, _, why = became(translation, "model.backbone.init_cfg.checkpoint")
    assert (status, why) == ("no counterpart", "my.pth was given in its place")


def test_a_model_alone_has_data_to_be_given(tmp_path: Path) -> None:
    translation = translated(tmp_path, "_base_ = 'base.py'\n")
    assert translation.implied["data.train.annotations"] == "annotations/instances_train2017.json"
    assert translation.spec.data.val is None

"""What the keys and options of other detection code are called here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Synonym(NamedTuple):
    """Our key for what others call otherwise.

    Attributes:
        key: Dotted.
        example: A value of it, as ``--set`` takes it.
    """

    key: str
    example: str


_NAMES_BY_KEY: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("optimisation.base_learning_rate", "0.01"): "lr base_lr lr0 init_lr learning_rate initial_lr",
        (
            "optimisation.num_epochs",
            "12",
        ): "epochs epoch max_epochs total_epochs n_epochs max_epoch num_epoch",
        (
            "data.batch_size_per_process",
            "4",
        ): "batch batch_size bs samples_per_gpu imgs_per_gpu ims_per_batch "
        "images_per_gpu train_batch_size batch_size_per_gpu per_device_train_batch_size",
        (
            "data.num_workers",
            "4",
        ): "workers num_worker workers_per_gpu nw dataloader_num_workers loader_workers",
        (
            "optimisation.accumulate_steps",
            "4",
        ): "accumulate_grad_batches gradient_accumulation_steps accumulation_steps grad_accum accum_iter "
        "accumulate accumulative_counts",
        ("optimisation.weight_decay", "1e-4"): "wd weightdecay",
        (
            "optimisation.optimiser.kind",
            "adamw",
        ): "optimizer optim opt optimiser optimizer_type optimizer_name",
        ("optimisation.optimiser.momentum", "0.9"): "sgd_momentum",
        ("optimisation.optimiser.betas", "[0.9, 0.999]"): "adam_betas opt_betas",
        ("optimisation.optimiser.epsilon", "1e-8"): "adam_epsilon adam_eps opt_eps",
        (
            "optimisation.parameter_groups.backbone.stage_decay",
            "0.8",
        ): "layer_decay layer_decay_rate decay_rate lr_decay_rate llrd",
        (
            "optimisation.warmup_steps",
            "500",
        ): "warmup warmup_iters warmup_iterations warmup_epochs lr_warmup_epochs",
        ("optimisation.warmup_factor", "0.1"): "warmup_ratio warmup_lr start_factor warmup_bias_lr",
        ("optimisation.warmup_shape", "constant"): "warmup_method warmup_policy warmup_type warmup_mode",
        (
            "optimisation.schedule.drop_epochs",
            "[8, 11]",
        ): "milestones lr_steps lr_step steps step lr_step_size step_size",
        ("optimisation.schedule.drop_factor", "0.1"): "gamma lr_gamma lr_drop",
        ("optimisation.schedule.final_factor", "0.01"): "lrf min_lr eta_min final_lr lr_min min_lr_ratio",
        (
            "optimisation.schedule.kind",
            "cosine",
        ): "scheduler lr_scheduler lr_config lr_schedule schedule param_scheduler sched "
        "lr_scheduler_type cos_lr",
        ("optimisation.clip_norm", "35"): "clip clip_grad grad_clip max_norm clip_max_norm gradient_clip_val "
        "max_grad_norm clip_gradients",
        ("optimisation.ema", "{decay: 0.999}"): "model_ema use_ema ema_decay model_ema_decay",
        ("optimisation.learning_rate_scaling", "none"): "auto_scale_lr scale_lr autoscale_lr",
        ("run.seed", "0"): "seed random_seed manual_seed",
        ("run.deterministic", "true"): "deterministic use_deterministic_algorithms cudnn_deterministic",
        ("run.device", "cuda"): "device cuda gpu_id gpu_ids no_cuda accelerator",
        ("run.precision", "bfloat16"): "amp fp16 bf16 half mixed_precision dtype use_amp fp32 float16",
        ("augmentation.scales_pixels", "[[1333, 800]]"): "imgsz img_size img_scale image_size scales scale "
        "input_size min_size max_size multi_scale multiscale min_size_train max_size_train img_scales",
        (
            "augmentation.extras.vertical_flip_probability",
            "0.5",
        ): "flipud vflip vertical_flip vflip_prob",
        ("augmentation.extras.turn_probability", "0.5"): "rot90 rotate90 random_rotate90 rotate rotation",
        (
            "augmentation.extras.colour",
            "{}",
        ): "color_jitter colour_jitter colorjitter photometric photo_metric_distortion photometric_distort",
        ("augmentation.extras.blur", "{}"): "gaussian_blur",
        ("augmentation.extras.noise", "{}"): "gaussian_noise gauss_noise",
        ("augmentation.extras.jpeg", "{}"): "jpeg_compression image_compression",
        ("evaluation.scale_pixels", "[1333, 800]"): "test_scale eval_scale min_size_test max_size_test",
        ("padding.canvas_pixels", "[1344, 800]"): "canvas canvas_size pad_size pad_shape",
        ("padding.divisor_pixels", "32"): "size_divisor pad_size_divisor size_divisibility",
        ("augmentation.flip_probability", "0.5"): "flip flip_ratio hflip fliplr flip_prob horizontal_flip "
        "hflip_prob random_flip",
        ("model.weights", "FILE"): "weight pretrained pretrained_weights checkpoint ckpt load_from init_cfg "
        "init_from pretrained_backbone weights_backbone backbone_weights ckpt_path load_checkpoint finetune",
        ("model.backbone.frozen_stages", "1"): "freeze freeze_at trainable_layers trainable_backbone_layers "
        "frozen_layers num_frozen_stages",
        ("model.backbone.width", "w32"): "arch hrnet_width variant",
        ("model.backbone.kind", "hrnet"): "backbone backbone_name backbone_type model_type",
        (
            "model.head.kind",
            "cascade_rcnn",
        ): "detector architecture meta_architecture detector_type head_type model_name",
        ("model.head.mask", "{}"): "with_mask masks use_masks segm instance_segmentation mask_on",
        ("model.head.roi_head.max_detections", "300"): "max_det max_dets max_per_img detections_per_img "
        "topk_per_image detections_per_image box_detections_per_img test_topk_per_image",
        (
            "model.head.roi_head.score_threshold",
            "0.05",
        ): "score_thr conf score_thresh box_score_thresh conf_thres score_thresh_test min_score confidence",
        (
            "model.head.roi_head.nms_iou",
            "0.5",
        ): "iou nms iou_thres iou_threshold nms_thresh box_nms_thresh nms_iou_thr",
        ("model.head.rpn.anchor_scale", "8"): "anchor_scales anchor_sizes octave_base_scale anchors",
        ("model.head.rpn.anchor_aspect_ratios", "[0.5, 1.0, 2.0]"): "aspect_ratios anchor_ratios ratios",
        ("model.pixel_mean", "[123.675, 116.28, 103.53]"): "mean img_mean image_mean",
        ("model.pixel_std", "[58.395, 57.12, 57.375]"): "std img_std image_std",
        ("model.pixel_order", "bgr"): "to_rgb bgr_to_rgb color_order channel_order",
        ("norm.kind", "sync"): "norm_cfg norm_type sync_bn syncbn sync_batchnorm bn use_syncbn",
        ("norm.keep_statistics", "true"): "norm_eval bn_eval freeze_bn",
        ("norm.epsilon", "1e-5"): "eps bn_eps",
        ("evaluation.every_num_epochs", "1"): "eval_interval val_interval check_val_every_n_epoch eval_freq "
        "eval_every val_every eval_period evaluation_interval",
        (
            "evaluation.test_time_augmentation",
            "{}",
        ): "tta test_time_aug tta_cfg tta_model tta_pipeline aug_test test_aug use_tta",
        ("evaluation.patience", "5"): "patience early_stopping early_stop early_stopping_patience",
        ("evaluation.with_loss", "true"): "val_loss eval_loss compute_val_loss validation_loss",
        ("run.checkpoint_every_epochs", "4"): "save_interval checkpoint_interval save_period save_every "
        "checkpoint_period save_freq interval",
        ("run.num_epoch_checkpoints", "3"): "max_keep_ckpts save_total_limit save_top_k",
        ("run.log_every_steps", "10"): "log_interval print_freq log_every log_every_n_steps log_freq",
        ("data.root", "DIR"): "data_root data_dir dataset_root data_path dataset_path dataset_dir",
        ("data.train.annotations", "JSON"): "ann_file train_ann annotation_file train_annotations train_json",
        ("data.val.annotations", "JSON"): "val_ann val_annotations val_json test_json",
        ("data.train.images", "DIR"): "img_prefix data_prefix img_dir image_dir image_root train_images",
        ("data.keep_pictures_without_boxes", "true"): "filter_empty_gt filter_empty skip_empty keep_empty",
        ("model.activation_checkpointing", "true"): "with_cp gradient_checkpointing grad_checkpoint "
        "checkpointing use_checkpoint",
        ("name", "mine"): "experiment_name exp_name exp experiment run_name",
    }
)
SYNONYM_BY_NAME: Mapping[str, Synonym] = {
    name: Synonym(key, example) for (key, example), names in _NAMES_BY_KEY.items() for name in names.split()
}

SETTINGS_BY_DETECTOR: Mapping[str, str] = MappingProxyType(
    {
        "fasterrcnn frcnn": "model.head.kind=faster_rcnn",
        "maskrcnn mask": "model.head.kind=faster_rcnn model.head.mask={}",
        "cascadercnn cascade": "model.head.kind=cascade_rcnn",
        "cascademaskrcnn cascademask": "model.head.kind=cascade_rcnn model.head.mask={}",
    }
)
_SETTINGS_BY_NAME = {
    name: settings.split() for names, settings in SETTINGS_BY_DETECTOR.items() for name in names.split()
}

_ANSWER_BY_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "ratio_range lsj large_scale_jitter scale_jitter jitter_scale": (
            "large-scale jitter is --set 'augmentation={kind: scale-jitter}' "
            "--set 'padding={policy: fixed, canvas_pixels: [1024, 1024]}'"
        ),
        "copypaste simple_copy_paste": (
            "objects are pasted, where a detector has masks, by --set augmentation.extras.copy_paste={}"
        ),
        "num_classes nc classes class_names metainfo names category_names num_class categories": (
            "the classes come from the training annotations (their categories); "
            "--set 'data.classes=[NAME, NAME]' takes some of them"
        ),
        "max_iters max_iter iterations iters num_iters num_steps max_steps total_steps": (
            "the length of a run is counted in epochs: --set optimisation.num_epochs=12"
        ),
        "work_dir output_dir save_dir out_dir output logdir log_dir default_root_dir project outdir out": (
            "the run folder is an option of hrdet train: --run-dir DIR"
        ),
        "resume_from resume auto_resume": "that is an option: hrdet train --resume --run-dir DIR",
        "source img images input inputs": "pictures are given without an option: hrdet predict RUN PICTURES",
        "gpus num_gpus ngpus devices world_size nproc_per_node num_processes n_gpu launcher nproc": (
            "all GPUs of a machine are used; --processes-per-node N takes another number"
        ),
        "num_nodes num_machines nnodes num_machine": "machines are an option: --nodes N --master-addr HOST",
        "machine_rank rank": "the machine's place is an option: --node-rank N",
        "dist_url master_address rdzv_endpoint": (
            "the meeting place is an option: --master-addr HOST and --master-port N"
        ),
        "local_rank": "hrdet starts its own processes, or joins those of torchrun, without this option",
        "config cfg config_file cfg_file yaml": (
            "a spec file is given with --spec FILE, and one that comes with hrdet with --preset NAME"
        ),
        "model": "the detector is chosen by --preset NAME; see `hrdet presets list`",
        "data dataset data_config dataset_name train_dataset dataset_file": (
            "data are given with --train-data and --val-data: data.yaml, a VOC folder, or COCO's JSON IMAGES"
        ),
        "train train_data_dir train_dir": (
            "training data are given with --train-data: a data.yaml, a VOC folder, or COCO's JSON IMAGES"
        ),
        "val valid test val_dir validation eval_data test_data": (
            "validation data are given with --val-data: a data.yaml, a VOC folder, or COCO's JSON IMAGES"
        ),
        "cfg_options options opts override overrides": "single values are changed with --set KEY=VALUE, each",
        "eval_only test_only evaluate val_only": "a trained detector is scored with: hrdet eval RUN",
        "no_validate no_val skip_val noval": "nothing is evaluated with --set evaluation.every_num_epochs=0",
        "force yes": "a run folder that is in the way is replaced with --overwrite",
        "cudnn_benchmark": "cuDNN tries its algorithms by itself where all batches lie on a few canvases",
        "verbose quiet debug": "run.log_every_steps sets how often a line is printed",
        "version v": "the version is printed by: hrdet --version",
        "base preset _base_": "a base is chosen by --preset NAME, or by base: NAME in a spec file",
        "lr_drop_epochs": "--set optimisation.schedule.drop_epochs='[8, 11]'",
    }
)
_ANSWER_BY_NAME = {name: answer for names, answer in _ANSWER_BY_NAMES.items() for name in names.split()}


def plain_name(name: str) -> str:
    """A name as the table has it: lower case, underscores, no dashes in front."""
    return name.lower().lstrip("-").replace("-", "_").rpartition(".")[2]


def synonym_of(name: str) -> Synonym | None:
    """Our key for what other code calls so; None where the table has none."""
    return SYNONYM_BY_NAME.get(plain_name(name))


def answer_to(name: str) -> str | None:
    """What to say of a name that stands for no key of ours; None where nothing is known of it."""
    return _ANSWER_BY_NAME.get(plain_name(name))


def settings_of_detector(name: str) -> list[str]:
    """What to give ``--set`` for a kind of detector as people call it; nothing where it is not known."""
    return _SETTINGS_BY_NAME.get("".join(letter for letter in name.lower() if letter.isalpha()), [])

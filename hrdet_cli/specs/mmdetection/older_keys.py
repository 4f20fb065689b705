"""Keys of the older generations of mmdetection, and where the latest one has them."""

from dataclasses import dataclass

from hrdet_cli.specs.mmdetection.entries import Entries, Path


@dataclass(frozen=True, slots=True)
class Move:
    """A key of an older generation, and where the latest one has it.

    Attributes:
        old: Dotted; ``*`` stands for the number of a stage, which is put in for the ``*`` of the new one.
        new: Dotted.
        only_with: A key that must be there for the old one to mean this.
    """

    old: str
    new: str
    only_with: str | None = None

    def apply(self, entries: Entries) -> Entries:
        """The entries with this one moved; what is at the new place already stays."""
        if self.only_with is not None and not any(is_within(path, self.only_with) for path in entries):
            return entries
        old, new = self.old.split("."), self.new.split(".")
        moved: Entries = {}
        for path, entry in entries.items():
            target = path
            if (found := _starts(path, old)) is not None:
                stars = iter(found)
                target = (*(next(stars) if part == "*" else part for part in new), *path[len(old) :])
            moved[path if target in entries else target] = entry
        return moved


def is_within(path: Path, key: str) -> bool:
    """Whether a path is that of a dotted key, or leads into it."""
    return _starts(path, key.split(".")) is not None


def _starts(path: Path, pattern: list[str]) -> list[str] | None:
    """What the stars of a pattern stand for at the start of a path; None where it does not fit."""
    if len(path) < len(pattern):
        return None
    if any(
        not have.isdigit() if want == "*" else want != have for want, have in zip(pattern, path, strict=False)
    ):
        return None
    return [have for want, have in zip(pattern, path, strict=False) if want == "*"]


def _moves(*lines: str) -> tuple[Move, ...]:
    return tuple(Move(*line.split(" -> ")) for line in lines)


_HEADS = ("model.rpn_head", "model.bbox_head", "model.roi_head.bbox_head", "model.roi_head.bbox_head.*")
_EXTRACTORS = tuple(f"model.roi_head.{part}_roi_extractor" for part in ("bbox", "mask", "semantic"))
MOVES = (
    *_moves(
        "data.imgs_per_gpu -> train_dataloader.batch_size",
        "data.samples_per_gpu -> train_dataloader.batch_size",
        "data.workers_per_gpu -> train_dataloader.num_workers",
        "data.train_dataloader.samples_per_gpu -> train_dataloader.batch_size",
        "data.train_dataloader.workers_per_gpu -> train_dataloader.num_workers",
        "data.val_dataloader.samples_per_gpu -> val_dataloader.batch_size",
        "data.test_dataloader.samples_per_gpu -> test_dataloader.batch_size",
        "data.train -> train_dataloader.dataset",
        "data.val.samples_per_gpu -> val_dataloader.batch_size",
        "data.test.samples_per_gpu -> test_dataloader.batch_size",
        "data.val -> val_dataloader.dataset",
        "data.test -> test_dataloader.dataset",
        "data.pad_size -> train_dataloader.pad_size",
        "total_epochs -> train_cfg.max_epochs",
        "runner.max_epochs -> train_cfg.max_epochs",
        "runner.max_iters -> train_cfg.max_iters",
        "optimizer.paramwise_cfg -> optim_wrapper.paramwise_cfg",
        "optimizer.paramwise_options -> optim_wrapper.paramwise_cfg",
        "optimizer -> optim_wrapper.optimizer",
        "optimizer_config.grad_clip -> optim_wrapper.clip_grad",
        "optimizer_config.cumulative_iters -> optim_wrapper.accumulative_counts",
        "evaluation.interval -> train_cfg.val_interval",
        "evaluation.metric -> val_evaluator.metric",
        "evaluation.save_best -> default_hooks.checkpoint.save_best",
        "checkpoint_config -> default_hooks.checkpoint",
        "log_config.interval -> default_hooks.logger.interval",
        "seed -> randomness.seed",
        "deterministic -> randomness.deterministic",
        "model.pretrained -> model.backbone.init_cfg.checkpoint",
        "model.backbone.pretrained -> model.backbone.init_cfg.checkpoint",
        "model.backbone.normalize -> model.backbone.norm_cfg",
        "model.backbone.dcn.deformable_groups -> model.backbone.dcn.deform_groups",
        "model.neck.normalize -> model.neck.norm_cfg",
        "model.bbox_roi_extractor -> model.roi_head.bbox_roi_extractor",
        "model.mask_roi_extractor -> model.roi_head.mask_roi_extractor",
        "model.semantic_roi_extractor -> model.roi_head.semantic_roi_extractor",
        "model.mask_head -> model.roi_head.mask_head",
        "model.semantic_head -> model.roi_head.semantic_head",
        "model.num_stages -> model.roi_head.num_stages",
        "model.interleaved -> model.roi_head.interleaved",
        "model.mask_info_flow -> model.roi_head.mask_info_flow",
        "train_cfg.stage_loss_weights -> model.roi_head.stage_loss_weights",
    ),
    *_moves(
        *(f"train_cfg.{name} -> model.train_cfg.{name}" for name in ("rpn", "rpn_proposal", "rcnn")),
        *(
            f"train_cfg.{name} -> model.train_cfg.{name}"
            for name in ("assigner", "sampler", "allowed_border", "pos_weight", "debug", "smoothl1_beta")
        ),
        *(
            f"test_cfg.{name} -> model.test_cfg.{name}"
            for name in (
                *("rpn", "rcnn", "nms_pre", "min_bbox_size", "score_thr", "nms", "max_per_img"),
                *("keep_all_stages",),
            )
        ),
        "model.train_cfg.stage_loss_weights -> model.roi_head.stage_loss_weights",
        *(
            f"model.{part}.{old} -> model.{part}.{new}"
            for part in ("train_cfg.rpn_proposal", "test_cfg.rpn")
            for old, new in (("max_num", "max_per_img"), ("nms_thr", "nms.iou_threshold"))
        ),
        *(
            f"model.test_cfg.{part}nms.iou_thr -> model.test_cfg.{part}nms.iou_threshold"
            for part in ("", "rcnn.", "rpn.")
        ),
    ),
    Move("model.bbox_head", "model.roi_head.bbox_head", only_with="model.roi_head.bbox_roi_extractor"),
    *_moves(
        *(
            f"{head}.{old} -> {head}.{new}"
            for head in _HEADS
            for old, new in (
                ("anchor_scales", "anchor_generator.scales"),
                ("anchor_ratios", "anchor_generator.ratios"),
                ("anchor_strides", "anchor_generator.strides"),
                ("anchor_base_sizes", "anchor_generator.base_sizes"),
                ("octave_base_scale", "anchor_generator.octave_base_scale"),
                ("scales_per_octave", "anchor_generator.scales_per_octave"),
                ("target_means", "bbox_coder.target_means"),
                ("target_stds", "bbox_coder.target_stds"),
            )
        ),
        *(
            f"{extractor}.roi_layer.{old} -> {extractor}.roi_layer.{new}"
            for extractor in _EXTRACTORS
            for old, new in (("out_size", "output_size"), ("sample_num", "sampling_ratio"))
        ),
        "model.roi_head.semantic_head.ignore_label -> model.roi_head.semantic_head.loss_seg.ignore_index",
        "model.roi_head.semantic_head.loss_weight -> model.roi_head.semantic_head.loss_seg.loss_weight",
    ),
)
"""Keys of mmdetection 0, 1 and 2, and where 3 has them."""

PARTS = ("train", "val", "test")
MOVES_OF_STEPS = _moves(
    *(
        f"{part}_dataloader.dataset.{old} -> {part}_dataloader.dataset.pipeline.{new}"
        for part in PARTS
        for old, new in (
            ("img_scale", "Resize.img_scale"),
            ("multiscale_mode", "Resize.multiscale_mode"),
            ("resize_keep_ratio", "Resize.keep_ratio"),
            ("flip_ratio", "RandomFlip.prob"),
            ("img_norm_cfg", "Normalize"),
            ("size_divisor", "Pad.size_divisor"),
            ("with_mask", "LoadAnnotations.with_mask"),
            ("with_label", "LoadAnnotations.with_label"),
            ("with_crowd", "LoadAnnotations.with_crowd"),
            ("with_semantic_seg", "LoadAnnotations.with_seg"),
        )
    ),
    *(
        f"{part}_dataloader.dataset.pipeline.{old} -> {part}_dataloader.dataset.pipeline.{new}"
        for part in PARTS
        for old, new in (
            ("MultiScaleFlipAug.img_scale", "Resize.scale"),
            ("Resize.img_scale", "Resize.scale"),
            ("RandomFlip.flip_ratio", "RandomFlip.prob"),
        )
    ),
    *(
        f"{part}_dataloader.dataset.{old} -> {part}_dataloader.dataset.{new}"
        for part in PARTS
        for old, new in (
            ("img_prefix", "data_prefix.img"),
            ("seg_prefix", "data_prefix.seg"),
            ("classes", "metainfo.classes"),
            ("filter_empty_gt", "filter_cfg.filter_empty_gt"),
        )
    ),
    *(
        f"train_dataloader.dataset.datasets.*.{name}_prefix -> "
        f"train_dataloader.dataset.datasets.*.data_prefix.{name}"
        for name in ("img", "seg")
    ),
    *(
        f"train_dataloader.dataset.pipeline.Normalize.{old} -> model.data_preprocessor.{new}"
        for old, new in (("mean", "mean"), ("std", "std"), ("to_rgb", "bgr_to_rgb"))
    ),
    "train_dataloader.dataset.pipeline.Pad.size_divisor -> model.data_preprocessor.pad_size_divisor",
    "train_dataloader.dataset.pipeline.Pad.size -> train_dataloader.pad_size",
)
"""Keys of data sets and of pipelines' steps, and where mmdetection 3 has them."""

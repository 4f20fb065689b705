"""Settings of the demo preset with which a run takes a second."""

SETTINGS: dict[str, object] = {
    "data.demo": {"seed": 1, "num_train_images": 6, "num_val_images": 2},
    "data.batch_size_per_process": 2,
    "data.num_workers": 0,
    "augmentation.scales_pixels": [[160, 128]],
    "padding.canvas_pixels": (160, 128),
    "optimisation.num_epochs": 1,
    "optimisation.schedule.drop_epochs": [],
    "evaluation.scale_pixels": [160, 128],
    "evaluation.every_num_epochs": 1,
    "model.head.roi_head.score_threshold": 0.001,
    "run.num_pictured_batches": 0,
}

"""Which models and which sizes are compared, for both sides of a comparison."""

MMDETECTION_CONFIGS = {
    "w18": "hrnet/faster-rcnn_hrnetv2p-w18-1x_coco.py",
    "w32": "hrnet/faster-rcnn_hrnetv2p-w32-1x_coco.py",
    "w40": "hrnet/faster-rcnn_hrnetv2p-w40-1x_coco.py",
    "r50": "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
    "r50-caffe": "faster_rcnn/faster-rcnn_r50-caffe_fpn_1x_coco.py",
}
"""Below ``mmdet/.mim/configs``."""

PIXEL_STDS = {"r50-caffe": 58.0}
"""Of the normalised pixels, where that is not 1."""

DETECTION_BATCHES = {
    "128x96": [(96, 128)],
    "333x250": [(250, 333)],
    "101x203": [(203, 101)],
    "800x608": [(608, 800)],
    "three": [(150, 217), (128, 160), (97, 131)],
}
"""Pictures ``(height, width)`` of each batch: upright ones, and sides that are no multiples of 32."""

TRAINING_BATCHES = {"128x96": [(96, 128)], "three": [(150, 217), (128, 160), (97, 131)]}
"""Batches whose losses are compared."""

CHAIN_SCALES = {"1333x800": ((1333, 800), 6), "500x300": ((500, 300), 23)}
"""Scales (long, short) at which picture files are detected in, and in how many of them: COCO's pictures are
about 640 pixels long, so that they grow at the first and shrink at the second."""


def original_size(height: int, width: int) -> tuple[int, int]:
    """What a compared picture is said to have been before it was resized; both axes differ a little."""
    return round(height * 0.73), round(width * 0.74)

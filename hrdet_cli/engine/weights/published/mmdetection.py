"""The detectors on HRNet that mmdetection 2 and 3 published. Does not import torch.

Sources: ``configs/hrnet/README.md`` and ``metafile.yml`` of mmdetection 3.3, and the same README of March
2020 for the first FCOS detectors. Mirrors: the README of onedl-mmdetection, which goes on with mmdetection
and has its files; and Amazon, where they were until the summer of 2020.
"""

from collections.abc import Mapping
from types import MappingProxyType

from hrdet_cli.engine.weights.names import MMDETECTION
from hrdet_cli.engine.weights.published.entry import PublishedWeights

_PAGE = "https://github.com/open-mmlab/mmdetection/tree/main/configs/hrnet"
_FOLDER = "mmdetection/v2.0/hrnet"
_OPENMMLAB = f"https://download.openmmlab.com/{_FOLDER}"
_ONEDL = f"https://pub-ed9ed750ddcc469da251e2d1a2cea382.r2.dev/{_FOLDER}"
_AMAZON = f"https://open-mmlab.s3.ap-northeast-2.amazonaws.com/{_FOLDER}"
_LAST_DAY_AT_AMAZON = "20200316"
"""Of the files that a README says to be there."""

_NETWORKS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "faster_rcnn": ("Faster R-CNN", "mmdet3-hrnet"),
        "mask_rcnn": ("Mask R-CNN", "mmdet3-mask-hrnet"),
        "cascade_rcnn": ("Cascade R-CNN", "mmdet3-cascade-hrnet"),
        "cascade_mask_rcnn": ("Cascade Mask R-CNN", "mmdet3-cascade-mask-hrnet"),
        "htc": ("HTC", "mmdet3-htc-hrnet"),
        "fcos": ("FCOS", "mmdet3-fcos-hrnet"),
    }
)
"""What a name begins with: the network, and the preset's name in front of the width."""

_ROWS: tuple[tuple[str, str, float, float | None], ...] = (
    ("faster_rcnn_hrnetv2p_w18_1x_coco", "20200130-56651a6d", 36.9, None),
    ("faster_rcnn_hrnetv2p_w18_2x_coco", "20200702_085731-a4ec0611", 38.9, None),
    ("faster_rcnn_hrnetv2p_w32_1x_coco", "20200130-6e286425", 40.2, None),
    ("faster_rcnn_hrnetv2p_w32_2x_coco", "20200529_015927-976a9c15", 41.4, None),
    ("faster_rcnn_hrnetv2p_w40_1x_coco", "20200210-95c1f5ce", 41.2, None),
    ("faster_rcnn_hrnetv2p_w40_2x_coco", "20200512_161033-0f236ef4", 42.1, None),
    ("mask_rcnn_hrnetv2p_w18_1x_coco", "20200205-1c3d78ed", 37.7, 34.2),
    ("mask_rcnn_hrnetv2p_w18_2x_coco", "20200212-b3c825b1", 39.8, 36.0),
    ("mask_rcnn_hrnetv2p_w32_1x_coco", "20200207-b29f616e", 41.2, 37.1),
    ("mask_rcnn_hrnetv2p_w32_2x_coco", "20200213-45b75b4d", 42.5, 37.8),
    ("mask_rcnn_hrnetv2p_w40_1x_coco", "20200511_015646-66738b35", 42.1, 37.5),
    ("mask_rcnn_hrnetv2p_w40_2x_coco", "20200512_163732-aed5e4ab", 42.8, 38.2),
    ("cascade_rcnn_hrnetv2p_w18_20e_coco", "20200210-434be9d7", 41.2, None),
    ("cascade_rcnn_hrnetv2p_w32_20e_coco", "20200208-928455a4", 43.3, None),
    ("cascade_rcnn_hrnetv2p_w40_20e_coco", "20200512_161112-75e47b04", 43.8, None),
    ("cascade_mask_rcnn_hrnetv2p_w18_20e_coco", "20200210-b543cd2b", 41.6, 36.4),
    ("cascade_mask_rcnn_hrnetv2p_w32_20e_coco", "20200512_154043-39d9cf7b", 44.3, 38.6),
    ("cascade_mask_rcnn_hrnetv2p_w40_20e_coco", "20200527_204922-969c4610", 45.1, 39.3),
    ("htc_hrnetv2p_w18_20e_coco", "20200210-b266988c", 42.8, 37.9),
    ("htc_hrnetv2p_w32_20e_coco", "20200207-7639fa12", 45.4, 39.9),
    ("htc_hrnetv2p_w40_20e_coco", "20200529_183411-417c4d5b", 46.4, 40.8),
    ("fcos_hrnetv2p_w18_gn-head_4x4_1x_coco", "20201212_100710-4ad151de", 35.3, None),
    ("fcos_hrnetv2p_w18_gn-head_4x4_2x_coco", "20201212_101110-5c575fa5", 38.2, None),
    ("fcos_hrnetv2p_w32_gn-head_4x4_1x_coco", "20201211_134730-cb8055c0", 39.5, None),
    ("fcos_hrnetv2p_w32_gn-head_4x4_2x_coco", "20201212_112133-77b6b9bb", 40.8, None),
    ("fcos_hrnetv2p_w18_gn-head_mstrain_640-800_4x4_2x_coco", "20201212_111651-441e9d9f", 38.3, None),
    ("fcos_hrnetv2p_w32_gn-head_mstrain_640-800_4x4_2x_coco", "20201212_090846-b6f2b49f", 41.9, None),
    ("fcos_hrnetv2p_w40_gn-head_mstrain_640-800_4x4_2x_coco", "20201212_124752-f22d2ce5", 42.7, None),
)
"""Name, end of the file's name (date and start of the SHA-256), box AP, mask AP."""

_FIRST_FCOS: tuple[tuple[str, str, float, float | None], ...] = (
    ("fcos_hrnetv2p_w18_gn-head_4x4_1x_coco", "20200316-c24bac34", 35.1, None),
    ("fcos_hrnetv2p_w18_gn-head_4x4_2x_coco", "20200316-15348c5b", 37.7, None),
    ("fcos_hrnetv2p_w32_gn-head_4x4_1x_coco", "20200314-59a7807f", 39.2, None),
    ("fcos_hrnetv2p_w32_gn-head_4x4_2x_coco", "20200314-faf8f0b8", 40.3, None),
    ("fcos_hrnetv2p_w18_gn-head_mstrain_640-800_4x4_2x_coco", "20200316-a668468b", 38.1, None),
    ("fcos_hrnetv2p_w32_gn-head_mstrain_640-800_4x4_2x_coco", "20200314-065d37a6", 41.8, None),
    ("fcos_hrnetv2p_w40_gn-head_mstrain_640-800_4x4_2x_coco", "20200314-e201886d", 42.8, None),
)
"""Replaced in December 2020; the date is a part of their names here."""


def _published(
    name: str, stamp: str, box_ap: float, mask_ap: float | None, *, dated: bool = False
) -> PublishedWeights:
    kind, _, rest = name.partition("_hrnetv2p_")
    width, _, recipe = rest.removesuffix("_coco").partition("_")
    network, preset = _NETWORKS[kind]
    path = f"{name}/{name}_{stamp}.pth"
    date = stamp[: len("20200130")]
    is_at_amazon = date <= _LAST_DAY_AT_AMAZON
    hosts = (_OPENMMLAB, _ONEDL, _AMAZON) if is_at_amazon else (_OPENMMLAB, _ONEDL)
    schedule = recipe.replace("gn-head_", "").replace("4x4_", "").replace("_", " ")
    return PublishedWeights(
        publisher="mmdetection 2 and 3",
        network=network,
        backbone=f"HRNetV2-{width.upper()}",
        schedule=f"{schedule}, first of {date[:4]}" if dated else schedule,
        figures={"box AP": box_ap} | ({} if mask_ap is None else {"mask AP": mask_ap}),
        page=_PAGE,
        name=f"{MMDETECTION}{name}_{date}" if dated else f"{MMDETECTION}{name}",
        addresses=tuple(f"{host}/{path}" for host in ((_AMAZON,) if dated else hosts)),
        preset=f"{preset}-{width}",
    )


DETECTORS = (
    *(_published(*row) for row in _ROWS),
    *(_published(*row, dated=True) for row in _FIRST_FCOS),
)

"""The detectors on HRNet that mmdetection published, and where. Does not import torch.

Source: ``configs/hrnet/metafile.yml`` of mmdetection 3.3.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from hrdet_cli.engine.weights.names import MMDETECTION
from hrdet_cli.errors import WeightsError

_FOLDER = "https://download.openmmlab.com/mmdetection/v2.0/hrnet"

STAMPS: Mapping[str, str] = MappingProxyType(
    {
        "faster_rcnn_hrnetv2p_w18_1x_coco": "20200130-56651a6d",
        "faster_rcnn_hrnetv2p_w18_2x_coco": "20200702_085731-a4ec0611",
        "faster_rcnn_hrnetv2p_w32_1x_coco": "20200130-6e286425",
        "faster_rcnn_hrnetv2p_w32_2x_coco": "20200529_015927-976a9c15",
        "faster_rcnn_hrnetv2p_w40_1x_coco": "20200210-95c1f5ce",
        "faster_rcnn_hrnetv2p_w40_2x_coco": "20200512_161033-0f236ef4",
        "mask_rcnn_hrnetv2p_w18_1x_coco": "20200205-1c3d78ed",
        "mask_rcnn_hrnetv2p_w18_2x_coco": "20200212-b3c825b1",
        "mask_rcnn_hrnetv2p_w32_1x_coco": "20200207-b29f616e",
        "mask_rcnn_hrnetv2p_w32_2x_coco": "20200213-45b75b4d",
        "mask_rcnn_hrnetv2p_w40_1x_coco": "20200511_015646-66738b35",
        "mask_rcnn_hrnetv2p_w40_2x_coco": "20200512_163732-aed5e4ab",
        "cascade_rcnn_hrnetv2p_w18_20e_coco": "20200210-434be9d7",
        "cascade_rcnn_hrnetv2p_w32_20e_coco": "20200208-928455a4",
        "cascade_rcnn_hrnetv2p_w40_20e_coco": "20200512_161112-75e47b04",
        "cascade_mask_rcnn_hrnetv2p_w18_20e_coco": "20200210-b543cd2b",
        "cascade_mask_rcnn_hrnetv2p_w32_20e_coco": "20200512_154043-39d9cf7b",
        "cascade_mask_rcnn_hrnetv2p_w40_20e_coco": "20200527_204922-969c4610",
        "htc_hrnetv2p_w18_20e_coco": "20200210-b266988c",
        "htc_hrnetv2p_w32_20e_coco": "20200207-7639fa12",
        "htc_hrnetv2p_w40_20e_coco": "20200529_183411-417c4d5b",
        "fcos_hrnetv2p_w18_gn-head_4x4_1x_coco": "20201212_100710-4ad151de",
        "fcos_hrnetv2p_w18_gn-head_4x4_2x_coco": "20201212_101110-5c575fa5",
        "fcos_hrnetv2p_w32_gn-head_4x4_1x_coco": "20201211_134730-cb8055c0",
        "fcos_hrnetv2p_w32_gn-head_4x4_2x_coco": "20201212_112133-77b6b9bb",
        "fcos_hrnetv2p_w18_gn-head_mstrain_640-800_4x4_2x_coco": "20201212_111651-441e9d9f",
        "fcos_hrnetv2p_w32_gn-head_mstrain_640-800_4x4_2x_coco": "20201212_090846-b6f2b49f",
        "fcos_hrnetv2p_w40_gn-head_mstrain_640-800_4x4_2x_coco": "20201212_124752-f22d2ce5",
    }
)
"""Date, and the start of the SHA-256, at the end of each file's name."""


def mmdetection_url(name: str) -> str:
    """Where the weights of a published detector are.

    Args:
        name: As mmdetection calls its folder, such as ``htc_hrnetv2p_w18_20e_coco``.

    Raises:
        WeightsError: It is none of those on HRNet.
    """
    if name not in STAMPS:
        near = get_close_matches(name, STAMPS, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(f'{MMDETECTION}{known}' for known in near)}?" if near else ""
        raise WeightsError(
            f"{MMDETECTION}{name}: is none of the {len(STAMPS)} detectors on HRNet that mmdetection "
            f"published; {hint or 'docs/weights.md lists them'}"
        )
    return f"{_FOLDER}/{name}/{name}_{STAMPS[name]}.pth"


def published_name(file: str) -> str | None:
    """The published detector whose file has this name, with its date or without; None if there is none.

    Args:
        file: A file's name without its folder.
    """
    stem = file.removesuffix(".pth")
    return next((name for name, stamp in STAMPS.items() if stem in (name, f"{name}_{stamp}")), None)

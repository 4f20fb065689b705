"""mmdetection's detectors with arithmetic weights, and arithmetic batches as its pipeline packs them.

Needs mmdet 3.3.0 and mmcv 2.1.0 with its operators, as all modules named ``mmdetection_*`` do.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mmcv.ops  # type: ignore[import-not-found]  # noqa: F401 - listed in sys.modules
import mmdet  # type: ignore[import-not-found]
import mmdet.models.roi_heads.mask_heads.fcn_mask_head as fcn_mask_head  # type: ignore[import-not-found]
import numpy as np
import pycocotools.mask
import torch
from mmdet.registry import MODELS  # type: ignore[import-not-found]
from mmdet.structures import DetDataSample  # type: ignore[import-not-found]
from mmdet.structures.mask import BitmapMasks  # type: ignore[import-not-found]
from mmdet.utils import register_all_modules  # type: ignore[import-not-found]
from mmengine.config import Config  # type: ignore[import-not-found]
from mmengine.structures import InstanceData, PixelData  # type: ignore[import-not-found]
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.parity.cases import CASES, original_size
from tests.parity.filling import fill, make_picture, make_polygons, make_semantic_map, make_targets

Sizes = Sequence[tuple[int, int]]

register_all_modules()
_operators = sys.modules["mmcv.ops.nms"].ext_module
_nms, _paste = _operators.nms, fcn_mask_head._do_paste_mask


def _nms_in_float32(bboxes: Tensor, scores: Tensor, **settings: Any) -> Tensor:
    """It knows nothing else: where the rest is in float64, boxes are rounded for it alone."""
    kept: Tensor = _nms(bboxes.float(), scores.float(), **settings)
    return kept


def _paste_in_float32(masks: Tensor, boxes: Tensor, *size: int, skip_empty: bool) -> Any:
    """Likewise."""
    return _paste(masks, boxes.float(), *size, skip_empty=skip_empty)


_operators.nms, fcn_mask_head._do_paste_mask = _nms_in_float32, _paste_in_float32


def build(name: str) -> Any:
    """A detector of mmdetection's own configuration, with arithmetic weights.

    Args:
        name: A key of ``CASES``.
    """
    case = CASES[name]
    config = Config.fromfile(str(Path(mmdet.__file__).parent / ".mim" / "configs" / str(case.config)))
    config.merge_from_dict({f"model.{key}": value for key, value in case.config_changes.items()})
    config.model.backbone.init_cfg = None
    model = MODELS.build(config.model)
    state = model.state_dict()
    filled = fill({key: tuple(value.shape) for key, value in state.items()}, pixel_std=case.pixel_std)
    model.load_state_dict({key: torch.from_numpy(filled[key]).to(state[key].dtype) for key in state})
    return model


def preprocess(model: Any, sizes: Sizes, *, training: bool) -> dict[str, Any]:
    """Normalised pixels ``inputs`` on their canvas, and ``data_samples``, in the model's own precision."""
    data: dict[str, Any] = model.data_preprocessor(make_batch(sizes), training)
    precision = next(model.parameters()).dtype
    data["inputs"] = data["inputs"].to(precision)
    for sample in data["data_samples"]:
        for instances in (sample.gt_instances, sample.ignored_instances):
            instances.bboxes = instances.bboxes.to(precision)
    return data


def make_batch(sizes: Sizes) -> dict[str, Any]:
    """Pictures as mmdetection's pipeline packs them, BGR bytes, with all that any head trains on."""
    inputs, samples = [], []
    for number, (height, width) in enumerate(sizes):
        inputs.append(torch.from_numpy(make_picture(height, width, number=number)).flip(0))
        boxes, labels = make_targets(height, width, number=number)
        original_height, original_width = original_size(height, width)
        sample = DetDataSample(
            metainfo={
                "img_shape": (height, width),
                "ori_shape": (original_height, original_width),
                "scale_factor": (width / original_width, height / original_height),
            }
        )
        bitmaps = np.stack(list(_drawn(make_polygons(boxes), height, width)))
        sample.gt_instances = InstanceData(
            bboxes=torch.from_numpy(boxes),
            labels=torch.from_numpy(labels),
            masks=BitmapMasks(bitmaps, height, width),
        )
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
        semantic_map = make_semantic_map(height, width, number=number)
        sample.gt_sem_seg = PixelData(sem_seg=torch.from_numpy(semantic_map)[None])
        samples.append(sample)
    return {"inputs": inputs, "data_samples": samples}


def _drawn(polygons: np.ndarray[Any, Any], height: int, width: int) -> Iterator[np.ndarray[Any, Any]]:
    """Bitmaps of the picture, as mmdetection loads polygons."""
    for polygon in polygons:
        (encoded,) = pycocotools.mask.frPyObjects([polygon.flatten().tolist()], height, width)
        yield pycocotools.mask.decode(encoded)

"""Torchvision's compiled operators, without its Python code.

``import torchvision`` imports torch's compiler and every network and transform there is, which takes nearly
as much time again as ``import torch``, in every process. Its shared library alone registers what is used
here. What needs shapes without values (``FakeTensorMode``, export), or differentiates these operators
themselves, has to import torchvision too, which registers that.
"""

from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from hrdet_cli.errors import HrdetError

_LIBRARIES = ("_C_stable", "_C")
"""What torchvision calls it from 0.29 on, and before."""
_NO_CUDA = -1


def _load() -> None:
    spec = find_spec("torchvision")  # which imports nothing
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent
    if folder is None:
        raise HrdetError("torchvision is not installed: install the version that belongs to this torch")
    names = [name + suffix for name in _LIBRARIES for suffix in EXTENSION_SUFFIXES]
    library = next((folder / name for name in names if (folder / name).is_file()), None)
    if library is None:
        raise HrdetError(f"{folder} holds none of {', '.join(names)}: install torchvision anew")
    try:
        torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise HrdetError(
            f"{library} does not fit torch {torch.__version__}: install the torchvision that belongs to it "
            f"({error})"
        ) from error
    cuda = _built_for_cuda()
    if cuda != _NO_CUDA and torch.version.cuda and str(cuda)[:2] != torch.version.cuda.partition(".")[0]:
        raise HrdetError(
            f"torchvision was built for CUDA {str(cuda)[:2]} and torch for {torch.version.cuda}: install the "
            "torchvision that belongs to this torch"
        )


def _built_for_cuda() -> int:
    """13000 for 13.0."""
    version: int = torch.ops.torchvision._cuda_version()
    return version


_load()


def nms(boxes: Tensor, scores: Tensor, max_iou: float) -> Tensor:
    """Indices ``(K,)`` of the boxes ``(R, 4)`` that survive, best first; as ``torchvision.ops.nms``."""
    kept: Tensor = torch.ops.torchvision.nms(boxes, scores, max_iou)
    return kept


def roi_align(
    features: Tensor, rois: Tensor, *, scale: float, num_cells: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Pooled features ``(R, C, m, m)``, as ``torchvision.ops.roi_align``, without gradients.

    Args:
        features: ``(N, C, H, W)``.
        rois: ``(R, 5)`` of the same dtype: index of the picture, then the box.
        scale: Cells per pixel of the boxes.
        num_cells: m.
        sampling_ratio: Samples along a side of a cell; 0 takes about one for each cell of the features.
        aligned: Whether cells' middles, not their corners, are at whole numbers.
    """
    pooled: Tensor = torch.ops.torchvision.roi_align(
        features, rois, scale, num_cells, num_cells, sampling_ratio, aligned
    )
    return pooled


def roi_align_backward(
    gradient: Tensor,
    rois: Tensor,
    shape: Sequence[int],
    *,
    scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """The gradient of the features, of their ``shape``, from that of what ``roi_align`` made of them."""
    of_features: Tensor = torch.ops.torchvision._roi_align_backward(
        gradient, rois, scale, *gradient.shape[-2:], *shape, sampling_ratio, aligned
    )
    return of_features

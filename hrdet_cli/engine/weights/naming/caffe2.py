"""Caffe2's names: ResNets of ImageNet in the pickles of Detectron and of detectron2's model zoo.

Their underscores are dots elsewhere, ``res2_0_branch2a`` is the first convolution of a block of what others
call ``layer1``, and a norm may be no more than a scale and a shift.
Source: ``detectron2/checkpoint/c2_model_loading.py``.
"""

import re

import torch
from torch import Tensor

from hrdet_cli.engine.weights.naming.renaming import Tensors
from hrdet_cli.engine.weights.naming.writer import Writer

_CONV = re.compile(r"(?:res_)?(conv1|res(\d)_(\d+)_branch(1|2[abc]))_(.+)")
_ENDS = {
    "w": "weight",
    "bn_s": "weight",
    "bn_gamma": "weight",
    "bn_b": "bias",
    "bn_beta": "bias",
    "bn_rm": "running_mean",
    "bn_running_mean": "running_mean",
    "bn_riv": "running_var",
    "bn_running_var": "running_var",
}
_EPSILON = 1e-5
"""Of our norms: what makes one of this variance less change nothing but its scale and shift."""


def _wrote(tensors: Tensors) -> bool:
    return "res2_0_branch2a_w" in tensors


def _renamed(tensors: Tensors) -> dict[str, Tensor]:
    ours = {_new_key(key): tensor for key, tensor in tensors.items()}
    for key in [key for key in ours if re.search(r"\.(?:bn\d|downsample\.1)\.weight$", key)]:
        layer = key.removesuffix(".weight")
        if f"{layer}.running_var" not in ours:
            ours[f"{layer}.running_mean"] = torch.zeros_like(ours[key])
            ours[f"{layer}.running_var"] = torch.full_like(ours[key], 1 - _EPSILON)
    return ours


def _new_key(key: str) -> str:
    found = _CONV.fullmatch(key)
    if found is None or found[5] not in _ENDS:
        return re.sub(
            r"\A(?:fc1000|pred)_(?:(w)|b)\Z", lambda end: f"backbone.fc.{'weight' if end[1] else 'bias'}", key
        )
    is_norm = found[5].startswith("bn_")
    if found[2] is None:
        layer = "bn1" if is_norm else "conv1"
    else:
        number = "abc".find(found[4][-1]) + 1
        of_block = f"{'bn' if is_norm else 'conv'}{number}" if number else f"downsample.{int(is_norm)}"
        layer = f"layer{int(found[2]) - 1}.{found[3]}.{of_block}"
    return f"backbone.{layer}.{_ENDS[found[5]]}"


CAFFE2 = Writer(
    name="Caffe2",
    wrote=_wrote,
    renamed=_renamed,
    background=None,
    other_heads=((r"conv_rpn_|cls_score_w$", "a detector of Detectron, detectron2's ancestor"),),
)

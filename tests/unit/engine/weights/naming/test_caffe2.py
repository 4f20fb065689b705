"""Caffe2's names of ResNets become ours."""

import pytest
import torch

from hrdet_cli.engine.weights.naming.caffe2 import CAFFE2
from hrdet_cli.engine.weights.naming.recognition import recognise, to_ours
from hrdet_cli.errors import WeightsError
from tests.state_dicts import State, numbered


def of(**shapes: tuple[int, ...]) -> State:
    return numbered({"conv1_w": (4, 3, 7, 7), "res2_0_branch2a_w": (4, 4, 1, 1), **shapes})


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("conv1_w", "conv1.weight"),
        ("res_conv1_bn_s", "bn1.weight"),
        ("conv1_bn_gamma", "bn1.weight"),
        ("conv1_bn_running_var", "bn1.running_var"),
        ("res2_0_branch1_w", "layer1.0.downsample.0.weight"),
        ("res2_0_branch1_bn_b", "layer1.0.downsample.1.bias"),
        ("res4_22_branch2a_bn_rm", "layer3.22.bn1.running_mean"),
        ("res5_2_branch2c_bn_beta", "layer4.2.bn3.bias"),
        ("res3_3_branch2b_w", "layer2.3.conv2.weight"),
        ("fc1000_w", "fc.weight"),
        ("pred_b", "fc.bias"),
    ],
)
def test_a_layer_of_theirs_is_one_of_ours(theirs: str, ours: str) -> None:
    state = of(**{theirs: (4, 4)})
    assert recognise(state)[0] == CAFFE2
    assert to_ours(state, CAFFE2)[f"backbone.{ours}"] is state[theirs]


def test_what_is_no_layer_of_a_resnet_stays_under_its_name() -> None:
    assert "conv1_b" in to_ours(of(conv1_b=(4,)), CAFFE2)


def test_a_norm_that_is_a_scale_and_a_shift_becomes_one_that_changes_nothing_more() -> None:
    state = of(res2_0_branch2a_bn_s=(4,), res2_0_branch2a_bn_b=(4,))
    ours = to_ours(state, CAFFE2)
    norm = torch.nn.BatchNorm2d(4).double().eval()
    norm.load_state_dict(
        {key.rpartition(".")[2]: tensor.double() for key, tensor in ours.items() if ".bn1." in key},
        strict=False,
    )
    x = torch.randn(1, 4, 2, 2, dtype=torch.float64)
    scale, shift = (state[f"res2_0_branch2a_bn_{name}"].double().view(-1, 1, 1) for name in "sb")
    torch.testing.assert_close(norm(x), x * scale + shift, rtol=1e-7, atol=1e-7)


def test_detectors_of_detectron_are_refused_by_its_name() -> None:
    with pytest.raises(
        WeightsError, match="are of a detector of Detectron, detectron2's ancestor, for which"
    ):
        recognise(of(conv_rpn_fpn2_w=(4,)))

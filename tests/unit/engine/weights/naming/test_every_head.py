"""Whatever a detector is made of: its names become mmdetection's and come back, and say what it is."""

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hrdet_cli.engine.weights.naming.classes import num_classes_of
from hrdet_cli.engine.weights.naming.contents import contents_of
from hrdet_cli.engine.weights.naming.mmdetection import MMDETECTION, to_mmdetection
from hrdet_cli.engine.weights.naming.recognition import recognise, to_ours
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.runs.conventions.presets import contents_of_model
from hrdet_cli.specs.loading import load_spec

NORMS = st.sampled_from(["null", "batch", "group"])
BACKBONES = st.sampled_from(
    [
        "{kind: hrnet, width: small}",
        "{kind: resnet, frozen_stages: 0}",
        "{kind: resnet, frozen_stages: 0, cardinality: 32, group_width: 4, deformable: {version: v2}}",
    ]
)


@st.composite
def rpns(draw: st.DrawFn) -> str:
    return f"{{num_convs: {draw(st.integers(1, 2))}, norm: {draw(NORMS)}}}"


@st.composite
def heads(draw: st.DrawFn) -> str:
    """A section ``model.head`` of any kind."""
    kind = draw(st.sampled_from(["faster_rcnn", "cascade_rcnn", "retinanet", "fcos", "rpn"]))
    keys = [f"kind: {kind}"]
    if kind in ("retinanet", "fcos"):
        keys += [f"norm: {draw(NORMS)}", f"num_convs: {draw(st.integers(1, 4))}"]
        keys += [f"conv_bias: {draw(st.sampled_from(['true', 'false']))}"] if kind == "fcos" else []
    else:
        keys += [f"rpn: {draw(rpns())}"]
    if kind in ("faster_rcnn", "cascade_rcnn"):
        convs = draw(st.sampled_from(["num_convs: 0", f"num_convs: 2, norm: {draw(NORMS)}"]))
        keys += [f"roi_head: {{hidden_features: 8, {convs}}}"]
        if draw(st.booleans()):
            flow = f", flow: {draw(st.sampled_from(['true', 'false']))}" if kind == "cascade_rcnn" else ""
            keys += [f"mask: {{num_convs: {draw(st.integers(1, 4))}, norm: {draw(NORMS)}{flow}}}"]
    if kind == "cascade_rcnn" and draw(st.booleans()):
        keys += [f"semantic: {{num_labels: 5, num_convs: {draw(st.integers(1, 4))}}}"]
    return f"{{{', '.join(keys)}}}"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    head=heads(),
    backbone=BACKBONES,
    neck=NORMS,
    kind=st.sampled_from(["batch", "group"]),
    num_classes=st.integers(1, 5),
)
def test_names_go_to_mmdetection_and_back_and_no_tensor_changes(
    head: str, backbone: str, neck: str, kind: str, num_classes: int
) -> None:
    spec = load_spec(
        preset="demo",
        settings=[
            *(f"model.backbone={backbone}", f"model.neck={{channels: 8, norm: {neck}}}"),
            *(f"model.head={head}", f"norm={{kind: {kind}}}", "model.weights=null"),
            "data.train.label_maps=maps",
        ],
    ).spec
    with torch.device("meta"):
        ours = build_detector(spec, num_classes=num_classes, trains=False).state_dict()
    theirs = to_mmdetection(ours)
    writer, contents = recognise(theirs)
    assert writer == MMDETECTION
    assert contents == contents_of(ours) == contents_of_model(spec.model)
    back = to_ours(theirs, writer)
    assert back.keys() == ours.keys()
    assert all(back[key] is tensor for key, tensor in ours.items())
    assert num_classes_of(back) == (num_classes if contents.has_classes else None)

import io

from rich.console import Console

from hrdet_cli.cli.display.weights import draw_inspection
from hrdet_cli.engine.weights.backbones import Backbone
from hrdet_cli.engine.weights.loading import LoadReport, ShapeDifference
from hrdet_cli.engine.weights.naming.contents import Contents
from hrdet_cli.runs.weights.inspection import Fit, Inspection

WIDTH = 80


def drawn(inspection: Inspection) -> list[str]:
    console = Console(file=io.StringIO(), width=WIDTH, highlight=False, markup=False)
    console.print(draw_inspection(inspection))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_detector_that_does_not_fit_is_told_in_80_columns() -> None:
    report = LoadReport(
        matched=("a",) * 79,
        missing=tuple(f"backbone.stage{stage}.0.weight" for stage in range(2, 9)),
        left_over=("extra.bias",),
        surplus=("backbone.bn1.num_batches_tracked",),
        differing=(ShapeDifference("backbone.conv1.weight", "(64, 3, 7, 7)", "(64, 3, 3, 3)"),),
        remade=(),
        num_classes=80,
        weights=Contents(Backbone("resnet", "50"), "faster_rcnn"),
        model=Contents(Backbone("hrnet", "w18"), "faster_rcnn"),
    )
    lines = drawn(
        Inspection(
            source="weights/faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth",
            writer="mmdetection 2 or 3",
            head="Faster R-CNN",
            backbone="ResNet-50",
            background="last",
            num_classes=80,
            class_names=("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train"),
            names_are_coco=True,
            num_tensors=348,
            num_parameters=41_753_286,
            num_tensors_by_dtype={"float32": 295, "int64": 53},
            state_dict_key="net",
            other_state_dicts=("ema",),
            impossible_values=("backbone.conv1.weight (1 NaN of 9)",),
            entries=(),
            likely_preset="mmdet3-r50-fpn",
            fit=Fit("hrnet-w18", report, ("weights w.pth were trained with model.pixel_order bgr, not rgb",)),
        )
    )
    assert lines == [
        "weights        weights/faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth",
        "written by     mmdetection 2 or 3",
        "head           Faster R-CNN",
        "backbone       ResNet-50",
        "classes        80 (by their number COCO): person, bicycle, car, motorcycle,",
        "               airplane, bus, ...",
        "background     last row of the classifier",
        "tensors        348 (295 float32, 53 int64)",
        "parameters     41.75 M",
        "state dict     net, not ema",
        "unusable       NaN, infinity or a negative variance: backbone.conv1.weight (1",
        "               NaN of 9); no command takes them",
        "likely preset  mmdet3-r50-fpn",
        "",
        "does not fit hrnet-w18: 79 tensors match",
        "  7 of 87 tensors are missing: backbone.stage2.0.weight,",
        "backbone.stage3.0.weight, backbone.stage4.0.weight, backbone.stage5.0.weight,",
        "backbone.stage6.0.weight and 2 more",
        "  1 tensor has another shape: backbone.conv1.weight is (64, 3, 7, 7), needed",
        "(64, 3, 3, 3)",
        "  1 tensor has no place in the model: extra.bias",
        "  These are of Faster R-CNN on ResNet-50, and the model is Faster R-CNN on",
        "HRNetV2-W18.",
        "  1 more are not needed (classifier of ImageNet, counters)",
        "but weights w.pth were trained with model.pixel_order bgr, not rgb",
    ]


def test_a_backbone_that_no_preset_has_is_told_without_classes() -> None:
    lines = drawn(
        Inspection(
            source="timm:hrnet_w48",
            writer="ImageNet",
            head=None,
            backbone="HRNetV2-W48",
            background=None,
            num_classes=None,
            class_names=None,
            names_are_coco=False,
            num_tensors=1956,
            num_parameters=77_469_864,
            num_tensors_by_dtype={"float32": 1956},
            state_dict_key=None,
            other_state_dicts=(),
            impossible_values=(),
            entries=(),
            likely_preset=None,
            fit=None,
        )
    )
    assert lines == [
        "weights        timm:hrnet_w48",
        "written by     ImageNet",
        "head           none: a backbone alone",
        "backbone       HRNetV2-W48",
        "tensors        1956 (1956 float32)",
        "parameters     77.47 M",
        "likely preset  none",
    ]

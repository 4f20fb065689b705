"""A detector as an ONNX model, through torch's exporter for ``torch.export`` programs.

The model has one input, ``image``: ``(3, height, width)`` uint8 RGB, already resized. Its outputs are
``boxes`` ``(D, 4)`` float32 in the pixels of that picture, ``scores`` ``(D,)`` float32, descending, and
``labels`` ``(D,)`` int64. A detector with masks has a fourth: ``masks`` ``(D, m, m)`` float32 in [0, 1], each
in the frame of its box. They are laid out by whoever knows the size of the picture that was resized.

It is put together from two graphs: one that pads, and one for canvases whose sides are multiples of 32. For
these torch proves that nothing in the graph depends on the size it was traced with, which it could not if
sides were rounded up inside.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import onnx
import torch
import torchvision  # noqa: F401 - registers its operators' shapes, without which none is exported
from onnx import compose
from onnxscript import opset18
from torch import Tensor, nn

from hrdet_cli.engine.export.detection_graph import DetectionGraph, PictureOnCanvas
from hrdet_cli.engine.geometry import CANVAS_DIVISOR_PIXELS
from hrdet_cli.engine.models.backbones.deformable import DeformableConv
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.version import __version__

OUTPUTS = ("boxes", "scores", "labels", "masks")
"""Names of what a model puts out; without masks the first three."""
_OPSET, _OPSET_OF_DEFORMABLE = 18, 19
"""As old as it can be, so that older runtimes take the model."""
_LOWEST_FLOAT32 = float(np.finfo(np.float32).min)
"""Only minus infinity, the score of no candidate, is not above it."""
op: Any = opset18  # whose annotations are about values in graphs, not about what stands for them here
_FEWEST_CANVAS_STEPS, _MOST_CANVAS_STEPS = 2, 512
"""Multiples of 32 pixels along a side: HRFPN's coarsest level needs 64, anchors are numbered up to 16,384."""
_TRACED_HEIGHT, _TRACED_WIDTH = 512, 704
"""Of the canvas that stands for all others; large enough that no side of any level is one cell."""


def build_onnx_model(detector: Detector, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Translate a detector.

    Args:
        detector: In evaluation mode, on the CPU, in float32, without soft-NMS.
        metadata: Texts to put into the model, by name.
    """
    canvas_sides = {
        axis: CANVAS_DIVISOR_PIXELS * torch.export.Dim(name, min=_FEWEST_CANVAS_STEPS, max=_MOST_CANVAS_STEPS)
        for axis, name in ((2, "rows"), (3, "columns"))
    }
    is_deformable = any(isinstance(module, DeformableConv) for module in detector.modules())
    opset = _OPSET_OF_DEFORMABLE if is_deformable else _OPSET
    graph, on_canvas = DetectionGraph(detector), PictureOnCanvas()(_traced_image())
    with torch.no_grad():
        num_outputs = len(graph(*on_canvas))
    detection = _translate(
        graph, on_canvas, ["pixels", "sizes"], OUTPUTS[:num_outputs], (canvas_sides, None), opset
    )
    padding = compose.add_prefix(_padding(opset), "padding/", rename_inputs=False, rename_outputs=False)
    model = compose.merge_models(padding, detection, io_map=[("pixels", "pixels"), ("sizes", "sizes")])
    _tidy(model)
    model.producer_name, model.producer_version = "hrdet", __version__
    model.doc_string = "image: (3, height, width) uint8 RGB, already resized. See the metadata."
    onnx.helper.set_model_props(model, dict(metadata))
    return model


def _traced_image() -> Tensor:
    """A picture that the canvas is made for."""
    return torch.zeros(3, _TRACED_HEIGHT - 3, _TRACED_WIDTH - 5, dtype=torch.uint8)


@cache
def _padding(opset: int) -> onnx.ModelProto:
    """The graph that pads, which is that of all detectors; nobody changes it."""
    sides = {1: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
    inputs = (_traced_image(),)
    return _translate(PictureOnCanvas(), inputs, ["image"], ["pixels", "sizes"], (sides,), opset)


def _translate(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    input_names: Sequence[str],
    output_names: Sequence[str],
    dynamic_shapes: tuple[Any, ...],
    opset: int,
) -> onnx.ModelProto:
    with _quiet(), torch.no_grad():
        program = torch.export.export(module, inputs, dynamic_shapes=dynamic_shapes)
        translated = torch.onnx.export(
            program,
            input_names=input_names,
            output_names=output_names,
            opset_version=opset,
            custom_translation_table=_translations(),
            verbose=False,
        )
    if translated is None:
        raise RuntimeError("torch.onnx.export translated nothing")
    return translated.model_proto


def _translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Operators that torch's exporter does not know."""
    return {
        torch.ops.aten.sort.stable: _stable_sort,
        torch.ops.hrdet.keep_after_nms.default: _keep_after_nms,
    }


def _stable_sort(values: Any, *, stable: bool, dim: int = -1, descending: bool = False) -> Any:  # noqa: ARG001
    """ONNX's ``TopK``, which is stable, of as many values as there are."""
    count = op.Gather(op.Shape(values), [dim], axis=0)
    return op.TopK(values, count, axis=dim, largest=int(descending), sorted=1)


def _keep_after_nms(boxes: Any, scores: Any, *, lengths: Sequence[Any], max_iou: float) -> Any:
    """ONNX's ``NonMaxSuppression`` for each of ``lengths``, with pictures or classes as its batch.

    It names boxes by rows of batch, 0 and number of the box.
    """
    keeps, start = [], [0]
    for length in lengths:
        end = op.Add(start, op.Reshape(length, [1]))
        of_list = op.Slice(scores, start, end, [1])
        all_boxes = op.Sub(end, start)
        kept = op.NonMaxSuppression(
            op.Slice(boxes, start, end, [1]),
            op.Unsqueeze(of_list, [1]),
            all_boxes,
            [max_iou],
            [_LOWEST_FLOAT32],
        )
        places = op.Gather(kept, [0, 2], axis=1)
        nowhere = op.Expand([0], op.Shape(of_list))
        keeps.append(op.ScatterND(nowhere, places, op.Expand([1], op.Shape(places, end=1))))
        start = end
    return op.Cast(op.Concat(*keeps, axis=1), to=onnx.TensorProto.BOOL)


def _tidy(model: onnx.ModelProto) -> None:
    """Give dimensions names for people, and take out what the exporter notes about our source files."""
    graph = model.graph
    del model.opset_import[1:]  # each of the two graphs brought its own, which are the same
    for noted in (*graph.node, *graph.value_info, *graph.input, *graph.output, graph):
        noted.ClearField("metadata_props")
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[0].dim_param = "detections"
    for dimension, name in zip(
        model.graph.input[0].type.tensor_type.shape.dim[1:], ("height", "width"), strict=True
    ):
        dimension.dim_param = name


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch, torchvision and onnxscript have to say about their own code to each other."""
    logger = logging.getLogger("onnx_ir")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

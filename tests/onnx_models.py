"""ONNX models with a detector's interface that give the same answer for every picture."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import onnx


def model_that_finds(
    boxes: ArrayLike,
    scores: ArrayLike,
    labels: ArrayLike,
    metadata: Mapping[str, str] | None = None,
    *,
    masks: ArrayLike | None = None,
) -> "onnx.ModelProto":
    """A model whose outputs are constants; needs onnx."""
    from onnx import TensorProto, helper, numpy_helper

    values: dict[str, NDArray[Any]] = {
        "boxes": np.asarray(boxes, dtype=np.float32).reshape(-1, 4),
        "scores": np.asarray(scores, dtype=np.float32),
        "labels": np.asarray(labels, dtype=np.int64),
    }
    if masks is not None:
        values["masks"] = np.asarray(masks, dtype=np.float32)
    tensors = {name: numpy_helper.from_array(value, name) for name, value in values.items()}
    graph = helper.make_graph(
        [helper.make_node("Constant", [], [name], value=tensor) for name, tensor in tensors.items()],
        "constants",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [3, "height", "width"])],
        [
            helper.make_tensor_value_info(name, tensor.data_type, [*tensor.dims])
            for name, tensor in tensors.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_operatorsetid("", 18)], ir_version=10)
    helper.set_model_props(model, dict(metadata or {}))
    return model

"""ONNX files: the graph of an encoder, from pixels in 0..1 to codes."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from featlearn.rows import Array

OPSET, IR = 18, 9  # of 2023: what onnxruntime 1.14 and later run
PIXELS, CODES = "pixels", "codes"


class OnnxGraph:
    """Collects operations (ops/graph.py); its tensors are names."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def __call__(self, operation: str, *inputs: Any, **attributes: Any) -> Any:
        names = [self._constant(one) if isinstance(one, np.ndarray) else one for one in inputs]
        results = attributes.get("num_outputs", 2 if operation == "TopK" else 1)
        outputs = [f"{operation.lower()}_{len(self.nodes)}_{i}" for i in range(results)]
        self.nodes.append(helper.make_node(operation, names, outputs, **attributes))
        return outputs[0] if results == 1 else tuple(outputs)

    def _constant(self, value: Array) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    @property
    def n_bytes(self) -> int:
        """The size of all constants."""
        return sum(one.ByteSize() for one in self.constants)

    def cast(self, X: Any, dtype: np.dtype[Any]) -> Any:
        """Write down the conversion to another type of numbers."""
        return self("Cast", X, to=helper.np_dtype_to_tensor_dtype(dtype))

    def to_bytes(self, codes: str, shape: tuple[int, int, int], units: int, words: dict[str, str]) -> bytes:
        """Return the file: float32 "pixels" (n, height, width, channels) become float32 "codes" (n, units).

        `words` are said in the file's metadata.
        """
        self.nodes.append(helper.make_node("Identity", [codes], [CODES]))
        graph = helper.make_graph(
            self.nodes,
            "encode",
            [helper.make_tensor_value_info(PIXELS, TensorProto.FLOAT, ["n", *shape])],
            [helper.make_tensor_value_info(CODES, TensorProto.FLOAT, ["n", units])],
            self.constants,
        )
        model = helper.make_model(
            graph, producer_name="featlearn", ir_version=IR, opset_imports=[helper.make_opsetid("", OPSET)]
        )
        helper.set_model_props(model, words)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))

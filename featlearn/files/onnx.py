"""ONNX files: the graph of a model, from pixels in 0..1 to codes, and to probabilities of classes."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from featlearn.rows import Array

OPSET, IR = 18, 9  # of 2023: what onnxruntime 1.14 and later run
PIXELS = "pixels"


class OnnxGraph:
    """Collects operations (ops/graph.py); its tensors are names.

    What is written down twice, an operation on the same inputs or a constant, is there once.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._written: dict[tuple[Any, ...], Any] = {}
        """What operations and constants have made, by all that says what it is."""

    def __call__(self, operation: str, *inputs: Any, **attributes: Any) -> Any:
        names = [self._constant(one) if isinstance(one, np.ndarray) else one for one in inputs]
        key = (operation, *names, repr(sorted(attributes.items())))
        if key in self._written:
            return self._written[key]
        results = attributes.get("num_outputs", 2 if operation == "TopK" else 1)
        outputs = [f"{operation.lower()}_{len(self.nodes)}_{i}" for i in range(results)]
        self.nodes.append(helper.make_node(operation, names, outputs, **attributes))
        self._written[key] = outputs[0] if results == 1 else tuple(outputs)
        return self._written[key]

    def _constant(self, value: Array) -> str:
        value = np.ascontiguousarray(value)
        key = value.dtype.str, value.shape, hashlib.sha256(value.data.cast("B")).digest()
        if key not in self._written:
            self._written[key] = f"constant_{len(self.constants)}"
            self.constants.append(numpy_helper.from_array(value, self._written[key]))
        return str(self._written[key])

    @property
    def n_bytes(self) -> int:
        """The size of all constants."""
        return sum(one.ByteSize() for one in self.constants)

    def cast(self, X: Any, dtype: np.dtype[Any]) -> Any:
        """Write down the conversion to another type of numbers."""
        return self("Cast", X, to=helper.np_dtype_to_tensor_dtype(dtype))

    def to_bytes(
        self, outputs: Mapping[str, tuple[str, int]], shape: tuple[int, int, int], words: dict[str, str]
    ) -> bytes:
        """Return the file: float32 "pixels" (n, height, width, channels) become float32 outputs (n, width).

        `outputs` are tensors with their widths, by the names that they shall have. `words` are said in the
        file's metadata.
        """
        named = [helper.make_node("Identity", [tensor], [name]) for name, (tensor, _) in outputs.items()]
        graph = helper.make_graph(
            self.nodes + named,
            "encode",
            [helper.make_tensor_value_info(PIXELS, TensorProto.FLOAT, ["n", *shape])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])
                for name, (_, width) in outputs.items()
            ],
            self.constants,
        )
        model = helper.make_model(
            graph, producer_name="featlearn", ir_version=IR, opset_imports=[helper.make_opsetid("", OPSET)]
        )
        helper.set_model_props(model, words)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))

"""Encoders written down as standard operations, for programs that know nothing of featlearn."""

from typing import Any, Protocol

Value = Any
"""A tensor of the graph, or an array, which becomes a constant."""


class Graph(Protocol):
    """Takes operations down, one a call, by their ONNX names (opset 18), and hands out what they make.

    g("Add", g("MatMul", X, W), c) is X W + c. Operations with several results hand out a tuple.
    """

    def __call__(self, operation: str, *inputs: Value, **attributes: Any) -> Value: ...


def affine(g: Graph, X: Value, W: Value, bias: Value) -> Value:
    """Return X W + bias."""
    return g("Add", g("MatMul", X, W), bias)

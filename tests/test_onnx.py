"""Encoders written down for other programs: run by onnxruntime, their codes are ours."""

import numpy as np
import onnxruntime
import pytest

from featlearn.errors import ConfigError
from featlearn.files.onnx import OnnxGraph
from featlearn.models import model_class
from featlearn.models.base import DataSummary
from featlearn.models.stack import Stack
from featlearn.patches.fitter import Fitter
from featlearn.patches.normalize import unit_pixels
from featlearn.patches.settings import PreprocessSpec
from featlearn.random import Random
from helpers import SINGLE

SHAPE = (4, 3, 1)
VARIANTS = [(id, name) for id in SINGLE for name in model_class(id).variants()]


def run(graph, codes, units, pixels):
    made = graph.to_bytes({"codes": (codes, units)}, SHAPE, {"model": "one"})
    session = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == {"model": "one"}
    return session.run(None, {"pixels": pixels.reshape(-1, *SHAPE).astype(np.float32)})[0]


@pytest.mark.parametrize(("id", "name"), VARIANTS or [("pca", "default")])
def test_codes_of_every_variant(id, name):
    cls, rng = model_class(id), np.random.default_rng(0)
    X = rng.random((300, 12)).astype(np.float32)
    try:
        config = cls.resolve(cls.variants()[name], DataSummary(12, 0.0, 1.0, variance=1.0, classes=3))
    except ConfigError:  # it wants other data than pixels
        X = 4 * X - 2
        config = cls.resolve(cls.variants()[name], DataSummary(12, -np.inf, np.inf, variance=16.0))
    model = cls(config, np.float32)
    model.init(12, Random(0))
    for value in (*model.params.values(), *(v for k, v in model.state.items() if k == "threshold")):
        value += rng.normal(0, 0.5, value.shape).astype(np.float32)
    graph, H = OnnxGraph(), model.encode(X)
    rows = graph("Reshape", "pixels", np.array([-1, 12]))
    found = run(graph, model.portable(graph, rows), H.shape[1], X)
    np.testing.assert_allclose(found, H, atol=1e-5 * max(1, np.abs(H).max()))


SPECS = {
    "nothing": PreprocessSpec("none", "none"),
    "threshold": PreprocessSpec("none", "none", threshold=0.4),
    "center, zca": PreprocessSpec("center", "zca"),
    "contrast": PreprocessSpec("contrast", "none"),
    "contrast, pca": PreprocessSpec("contrast", "pca", epsilon=0.01),
    "standardize, clip": PreprocessSpec("standardize", "none", clip=1.5),
    "standardize-patch": PreprocessSpec("standardize-patch", "none"),
    "global": PreprocessSpec("global", "none"),
    "mapped": PreprocessSpec("center", "zca", clip=2, to=(0.1, 0.9)),
}


@pytest.mark.parametrize("name", SPECS)
def test_rows_of_every_preprocessing(name):
    pixels = np.random.default_rng(0).integers(0, 256, (500, 12)).astype(np.uint8)
    pixels[7] = 9
    fitter = Fitter(SPECS[name], 12, np.uint8)
    fitter.update(pixels)
    preprocess = fitter.finish().divided(3.0)
    graph = OnnxGraph()
    rows = graph.cast(graph("Reshape", "pixels", np.array([-1, 12])), np.dtype(np.float64))
    codes = graph.cast(preprocess.portable(graph, rows), np.dtype(np.float32))
    wanted = preprocess.apply(pixels)
    np.testing.assert_allclose(run(graph, codes, 12, unit_pixels(pixels)), wanted, atol=2e-6)
    assert len(np.unique(wanted)) > 1


def test_a_stack_with_classes_on_top():
    """Its layers below are written down once; codes are divided on the way."""
    rng, X = np.random.default_rng(0), np.random.default_rng(1).random((50, 12)).astype(np.float32)
    layers = []
    for id, n, options in (("rbm", 12, {"hidden": 5}), ("label-rbm", 5, {"hidden": 4, "classes": 3})):
        cls = model_class(id)
        layer = cls(cls.resolve(cls.Config(**options), DataSummary(n, 0.0, 1.0, variance=1.0)))
        layer.init(n, Random(0))
        for value in layer.params.values():
            value += rng.normal(0, 1, value.shape).astype(np.float32)
        layers.append(layer)
    stack, graph = Stack.of(layers, [1.0, 0.5]), OnnxGraph()
    rows = graph("Reshape", "pixels", np.array([-1, 12]))
    told, codes = stack.portable_probabilities(graph, rows), stack.portable(graph, rows)
    written = [tuple(node.input) for node in graph.nodes if node.op_type in ("MatMul", "Div")]
    assert len(written) == len(set(written)) == 3
    assert len(graph.constants) == len(
        {(one.data_type, tuple(one.dims), one.raw_data) for one in graph.constants}
    )
    np.testing.assert_allclose(run(graph, told, 3, X), stack.probabilities(X), atol=1e-6)
    np.testing.assert_allclose(run(graph, codes, 4, X), stack.encode(X), atol=1e-6)

"""Layers in a row, as nets and deep autoencoders have them: settings, params, first weights.

The params are W1, c1, W2, ... from below, of prelu units also their slopes s1, s2, ... How weights begin: see
models/network.py.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from featlearn.errors import ConfigError
from featlearn.ops.activations import ACTIVATIONS, LEAKY, SLOPE, pieces
from featlearn.ops.dense import Dense
from featlearn.random import Purpose, Random
from featlearn.rows import Array

RECTIFIED = ("relu", *LEAKY, "maxout")


def refuse_layers(activations: Sequence[str], stays: Sequence[int], hidden: Sequence[int]) -> None:
    """Raise ConfigError for unknown functions, and where more entries stay than a layer has units."""
    for kind in activations:
        if kind not in ACTIVATIONS:
            raise ConfigError(f"--activation: got {kind!r}, must be of {', '.join(ACTIVATIONS)}")
    for kept, units in zip(stays, hidden, strict=True):
        if kept > units:
            raise ConfigError(f"--kept {kept}: more than the {units} units of its layer; lower it")


def each(name: str, values: tuple[Any, ...], layers: int) -> tuple[Any, ...]:
    """Return a setting's value for each of the layers, where one stands for all. Raises ConfigError."""
    if len(values) == 1:
        return values * layers
    if len(values) != layers:
        raise ConfigError(f"--{name}: got {len(values)} for {layers} hidden layers; give one, or one each")
    return values


def chain_shapes(sizes: tuple[int, ...], activations: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of W1, c1, W2, ... of a chain of layers between `sizes` values."""
    found: dict[str, tuple[int, ...]] = {}
    for i, kind in enumerate(activations, start=1):
        width = sizes[i] * pieces(kind)
        found |= {f"W{i}": (sizes[i - 1], width), f"c{i}": (width,)}
        if kind == "prelu":
            found[f"s{i}"] = (width,)
    return found


def chain_of(
    params: dict[str, Array], activations: tuple[str, ...], stays: tuple[int, ...], slope: float | None
) -> list[Dense]:
    """Return the chain of layers of the params W1, c1, W2, ...; `slope` is that of leaky units."""
    usual = SLOPE if slope is None else slope
    return [
        Dense(params[f"W{i}"], params[f"c{i}"], kind, kept, params.get(f"s{i}", usual))
        for i, (kind, kept) in enumerate(zip(activations, stays, strict=True), start=1)
    ]


def pairs_of(params: dict[str, Array]) -> list[tuple[Array, Array]]:
    """Return (W, c) of each layer, of the params W1, c1, W2, ..."""
    return [(params[f"W{i}"], params[f"c{i}"]) for i in range(1, len(params) // 2 + 1)]


def grads_of(grads: Sequence[tuple[Array, ...]]) -> dict[str, Array]:
    """Return the gradients (dW, dc [, ds]) of each layer by the names of the params: W1, c1, W2, ..."""
    return {
        f"{name}{i}": grad
        for i, layer in enumerate(grads, 1)
        for name, grad in zip("Wcs", layer, strict=False)
    }


def params_of(layers: Sequence[Dense]) -> dict[str, Array]:
    """Return the params of a chain of layers by their names: W1, c1, W2, ..."""
    found: dict[str, Array] = {}
    for i, layer in enumerate(layers, start=1):
        found |= {f"W{i}": layer.W, f"c{i}": layer.c}
        if layer.activation == "prelu":
            found[f"s{i}"] = np.asarray(layer.slope)
    return found


def slope_of(layers: Sequence[Dense]) -> float | None:
    """Return the slope of the leaky units of layers, which keep them; None where there are none.

    Raises ConfigError where layers have several, which a net cannot have.
    """
    found = {float(layer.slope) for layer in layers if layer.activation == "leaky-relu"}
    if len(found) > 1:
        words = ", ".join(f"{slope:g}" for slope in sorted(found))
        raise ConfigError(
            f"--slope: the layers have several, {words}; train them again with one, or with prelu"
        )
    return found.pop() if found else None


def begun(
    name: str,
    shape: tuple[int, ...],
    activations: Sequence[str],
    slope: float | None,
    dtype: Any,
    rng: Random,
) -> Array:
    """Return what the parameter W1, c1, s1, W2, ... of a chain begins with."""
    layer = int(name[1:]) - 1
    if name[0] == "W":
        return initial(shape, activations[layer], dtype, rng, layer)
    return np.full(shape, (slope or 0.0) if name[0] == "s" else 0.0, dtype)


def initial(shape: tuple[int, ...], kind: str, dtype: Any, rng: Random, draw: int) -> Array:
    """Return the weights (inputs, pieces * units) that a layer begins with."""
    if kind in RECTIFIED:
        return np.asarray(math.sqrt(2 / shape[0]) * rng.normal(shape, dtype, Purpose.INIT, draw), dtype)
    bound = math.sqrt(6 / (shape[0] + shape[1]))
    u = rng.uniform(shape[0] * shape[1], Purpose.INIT, draw).reshape(shape)
    return np.asarray((2 * u - 1) * bound, dtype)

"""Layers in a row, as nets and deep autoencoders have them: settings, params, first weights.

The params are W1, c1, W2, ... from below. How weights begin: see models/network.py.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from featlearn.errors import ConfigError
from featlearn.ops.activations import ACTIVATIONS, pieces
from featlearn.ops.dense import Dense
from featlearn.random import Purpose, Random
from featlearn.rows import Array

RECTIFIED = ("relu", "leaky-relu", "maxout")


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
    return found


def chain_of(params: dict[str, Array], activations: tuple[str, ...], stays: tuple[int, ...]) -> list[Dense]:
    """Return the chain of layers of the params W1, c1, W2, ..."""
    return [
        Dense(params[f"W{i}"], params[f"c{i}"], kind, kept)
        for i, (kind, kept) in enumerate(zip(activations, stays, strict=True), start=1)
    ]


def pairs_of(params: dict[str, Array]) -> list[tuple[Array, Array]]:
    """Return (W, c) of each layer, of the params W1, c1, W2, ..."""
    return [(params[f"W{i}"], params[f"c{i}"]) for i in range(1, len(params) // 2 + 1)]


def grads_of(pairs: list[tuple[Array, Array]]) -> dict[str, Array]:
    """Return the gradients (dW, dc) of each layer by the names of the params: W1, c1, W2, ..."""
    found: dict[str, Array] = {}
    for i, (dW, dc) in enumerate(pairs, start=1):
        found |= {f"W{i}": dW, f"c{i}": dc}
    return found


def initial(shape: tuple[int, ...], kind: str, dtype: Any, rng: Random, draw: int) -> Array:
    """Return the weights (inputs, pieces * units) that a layer begins with."""
    if kind in RECTIFIED:
        return np.asarray(math.sqrt(2 / shape[0]) * rng.normal(shape, dtype, Purpose.INIT, draw), dtype)
    bound = math.sqrt(6 / (shape[0] + shape[1]))
    u = rng.uniform(shape[0] * shape[1], Purpose.INIT, draw).reshape(shape)
    return np.asarray((2 * u - 1) * bound, dtype)

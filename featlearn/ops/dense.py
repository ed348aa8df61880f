"""Dense layers: what nets are chains of, there and back.

    a = W'x + c,   h = f(a)                 with `kept` > 0: f of the `kept` largest a of a row, else 0
    delta_a = delta_h f'(a)                 0 where an entry was not kept
    dW = <x delta_a'>,   dc = <delta_a>,   delta_x = W delta_a

Largest means signed, and ties go to the lowest unit, as in k_sparse.py. Dropout multiplies what a layer sees
by 0, or by 1 / (1 - rate), so that codes for use need nothing of it (N. Srivastava, G. Hinton, A. Krizhevsky,
I. Sutskever, R. Salakhutdinov, Dropout, JMLR 15, 2014). Its masks are counted random numbers: the same draw
on the way back drops the same entries, so none is kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from featlearn import _core
from featlearn.ops import activations
from featlearn.ops.arrays import add_bias, product
from featlearn.ops.graph import Graph, Value, affine
from featlearn.ops.reduce import column_mean, outer_mean
from featlearn.rows import Array


@dataclass(frozen=True)
class Dense:
    """A layer of W (in, pieces * out) and c (pieces * out,); maxout has two pieces a unit, others one.

    With `kept` above 0 so many entries of each row stay, the others are 0. `slope` is that of leaky units
    below zero; prelu units have one each, (out,).
    """

    W: Array
    c: Array
    activation: str = "linear"
    kept: int = 0
    slope: activations.Slope = activations.SLOPE

    @property
    def n_in(self) -> int:
        """How many values it sees."""
        return int(self.W.shape[0])

    @property
    def units(self) -> int:
        """How many values it gives."""
        return int(self.W.shape[1]) // activations.pieces(self.activation)

    def forward(self, X: Array) -> "Passed":
        """Return what the layer makes of rows X (n, in), with what the way back needs."""
        A = product(X, self.W)
        if not self.kept:
            inputs = A + self.c if activations.needs_inputs(self.activation) else None
            return Passed(X, activations.activate(A, self.c, self.activation, self.slope), inputs)
        inputs = add_bias(A, self.c)
        totals = np.maximum(*np.split(inputs, 2, axis=1)) if self.activation == "maxout" else inputs
        index, value = np.empty((len(X), self.kept), np.int32), np.empty((len(X), self.kept), X.dtype)
        _core.top_k(index, value, np.ascontiguousarray(totals))
        if self.activation != "maxout":
            if self.activation == "prelu":  # each entry has its own unit's
                own = np.asarray(self.slope)[index].reshape(1, -1)
                activations.activate(value.reshape(1, -1), np.zeros(value.size, X.dtype), "prelu", own[0])
            else:
                activations.activate(value, np.zeros(self.kept, X.dtype), self.activation, self.slope)
        H = np.zeros((len(X), self.units), X.dtype)
        np.put_along_axis(H, index, value, axis=1)
        return Passed(X, H, inputs, index)

    def encode(self, X: Array) -> Array:
        """Return h of each row: (n, in) -> (n, units)."""
        return self.forward(X).H

    def backward(self, passed: "Passed", delta: Array) -> Array:
        """Return the derivative by a of what has the derivative delta (n, units) by h, in place of delta."""
        self._keep(passed, delta)
        return activations.backward(delta, passed.H, self.activation, A=passed.A, slope=self.slope)

    def gradients(self, passed: "Passed", delta: Array) -> tuple[Array, tuple[Array, ...]]:
        """Return the same, and the gradients (dW, dc), of prelu units (dW, dc, ds), means over the rows."""
        more: tuple[Array, ...] = ()
        if self.activation == "prelu":
            assert passed.A is not None
            self._keep(passed, delta)
            more = (activations.slope_gradient(delta, passed.A),)
        delta_a = self.backward(passed, delta)
        return delta_a, (outer_mean(passed.X, delta_a), column_mean(delta_a), *more)

    def _keep(self, passed: "Passed", delta: Array) -> None:
        """Make delta (n, units) 0 where an entry was not kept, in place."""
        if passed.index is not None:
            stay = np.zeros_like(delta)
            np.put_along_axis(stay, passed.index, 1, axis=1)
            delta *= stay

    def is_mirror_of(self, other: "Dense") -> bool:
        """Whether its weights are those of another layer the other way round."""
        return np.array_equal(self.W, other.W.T)

    def portable(self, g: Graph, X: Value) -> Value:
        """Write it down for other programs: of rows X (n, in)."""
        A = affine(g, X, self.W, self.c)
        if not self.kept:
            return activations.portable(g, A, self.activation, self.slope)
        if self.activation == "maxout":
            A = activations.portable(g, A, self.activation)
        values, index = g("TopK", A, np.array([self.kept]))
        if self.activation != "maxout":
            slope = self.slope
            if self.activation == "prelu":
                slope = g("Gather", slope, index)
            values = activations.portable(g, values, self.activation, slope)
        return g("ScatterElements", g("Mul", A, np.zeros((), self.W.dtype)), index, values, axis=1)


@dataclass(frozen=True)
class Passed:
    """What a layer has made of rows X (n, in): H (n, units).

    A (n, pieces * units) are the total inputs of maxout and prelu units, index (n, kept) the entries that
    stayed.
    """

    X: Array
    H: Array
    A: Array | None = None
    index: Array | None = None


@dataclass(frozen=True)
class Dropout:
    """Shares of the inputs and of the hidden units that are left out of an update.

    `draw(i)` names the random draw of what layer i sees, of which `first` rows are before these.
    """

    inputs: float
    hidden: float
    seed: int
    draw: Callable[[int], int]
    first: int = 0

    def __call__(self, layer: int, X: Array) -> Array:
        """Return X (n, in) as that layer sees it; where nothing is dropped, X itself."""
        rate = self.hidden if layer else self.inputs
        if not rate:
            return X
        seen = np.empty_like(X)
        _core.dropout(seen, X, rate, self.seed, self.draw(layer), self.first * X.shape[1])
        return seen


def encode(layers: Sequence[Dense], X: Array) -> Array:
    """Return what the last layer of a chain makes of rows (n, in)."""
    for layer in layers:
        X = layer.encode(X)
    return X


def forward(layers: Sequence[Dense], X: Array, dropout: Dropout | None = None) -> list[Passed]:
    """Return what each layer of a chain makes of rows X (n, in)."""
    found: list[Passed] = []
    for i, layer in enumerate(layers):
        seen = found[-1].H if found else X
        found.append(layer.forward(seen if dropout is None else dropout(i, seen)))
    return found


def backward(
    layers: Sequence[Dense], passed: Sequence[Passed], delta: Array, dropout: Dropout | None = None
) -> list[tuple[Array, ...]]:
    """Return the gradients (dW, dc), of prelu units (dW, dc, ds), of each layer of a chain, means over rows.

    `delta` (n, units) is the derivative of each row's loss by the last layer's codes; it is changed.
    """
    grads: list[tuple[Array, ...]] = []
    for i in range(len(layers) - 1, -1, -1):
        delta_a, found = layers[i].gradients(passed[i], delta)
        grads.append(found)
        if i:
            delta = product(delta_a, layers[i].W, trans_b=True)
            delta = delta if dropout is None else dropout(i, delta)
    return grads[::-1]


def portable(layers: Sequence[Dense], g: Graph, X: Value) -> Value:
    """Write a chain down for other programs."""
    for layer in layers:
        X = layer.portable(g, X)
    return X

"""Sparse codes: of each row of hidden activations some entries are kept, and products run over those.

A = X F' + c,  z = f of the kept entries of A,  Y = z D (+ b)    F and D have a row for each unit
delta_e = R_i D_e f'_e          R: a residual as Y - X, seen by entry e of row i
dD_j = sum_e z_e R_i,   dF_j = sum_e delta_e X_i,   dc_j = sum_e delta_e          over the entries e of unit j
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.ops import activations
from featlearn.ops.arrays import add_bias, product
from featlearn.ops.reduce import Make, add_up, all_rows, before, count
from featlearn.rows import Array

Units = Mapping[str, Array]
"""W (units, visible), c (units,), and D (units, visible) where the decoder has features of its own."""

BLOCK = 1 << 21  # activations that are looked through while they are still in a cache
ROWS = 128  # at least so many rows a block: fewer cost the matrix product more than they save


@dataclass(frozen=True)
class Code:
    """Rows of which few entries are kept: start[i]..start[i + 1] are those of row i, columns ascending."""

    start: Array  # (n + 1,) int64
    index: Array  # (m,) int32, the column of each entry
    value: Array  # (m,)

    def decode(self, D: Array, bias: Array | None = None) -> Array:
        """(n, visible): the code times D (units, visible), plus a bias."""
        Y: Array = np.empty((len(self.start) - 1, D.shape[1]), self.value.dtype)
        _core.sparse_decode(Y, self.start, self.index, self.value, D, bias)
        return Y

    def activated(self, kind: str) -> "Code":
        """The code whose entries are f of these, f of that kind."""
        if kind == "linear":
            return self
        value = self.value[None].copy()
        activations.activate(value, np.zeros_like(self.value), kind)
        return replace(self, value=value[0])

    def dense(self, units: int) -> Array:
        """(n, units) with zeros for what is not kept."""
        n = len(self.start) - 1
        H = np.zeros((n, units), self.value.dtype)
        H[np.repeat(np.arange(n), np.diff(self.start)), self.index] = self.value
        return H

    @property
    def row_sums(self) -> Array:
        """The sum of each row's entries, (n,)."""
        width = int(self.index.max(initial=0)) + 1
        return self.decode(np.ones((width, 1), self.value.dtype))[:, 0]

    def rows(self, which: slice) -> tuple[Array, Array, slice]:
        """Return start and index of some of the rows, and which entries are theirs."""
        start = self.start[which.start : which.stop + 1]
        entries = slice(start[0], start[-1])
        return start - start[0], self.index[entries], entries

    def between(self, low: int, high: int) -> "Code":
        """The columns low..high - 1, as a code of their own."""
        kept = (self.index >= low) & (self.index < high)
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
        return Code(before[self.start], self.index[kept] - np.int32(low), self.value[kept])


def total_inputs(X: Array, F: Array, c: Array) -> Array:
    """X F' + c, (n, units)."""
    return add_bias(product(X, F, trans_b=True), c)


def largest(X: Array, F: Array, c: Array, k: int) -> Code:
    """The k largest activations of each row, signed; ties go to the lowest column."""
    index, value = np.empty((len(X), k), np.int32), np.empty((len(X), k), X.dtype)
    rows = max(ROWS, BLOCK // len(F))
    A = np.empty((min(rows, len(X)), len(F)), X.dtype)
    for first in range(0, len(X), rows):
        block = slice(first, first + rows)
        a = A[: len(X[block])]
        _core.gemm(a, X[block], F, trans_b=True)
        _core.top_k(index[block], value[block], a, c)
    return Code(k * np.arange(len(X) + 1), index.ravel(), value.ravel())


def largest_of_batch(X: Array, F: Array, c: Array, k: int) -> Code:
    """Return the n k largest activations of all n rows together.

    Ties go to the first row, then to the lowest column. Where ranks share the rows, the code is of those
    here: each finds the candidates among its own.

    Raises ConfigError where there are too many activations for one row of the kernel.
    """
    n, h, kept = len(X), len(F), count(X) * k
    if count(X) * h >= 1 << 31:
        raise ConfigError(
            f"--batch-top-k: chooses among {count(X):,} rows times {h:,} units at once; lower --batch-size"
        )
    index, value = _largest_of_all(total_inputs(X, F, c).reshape(n * h), min(kept, n * h))
    candidates = all_rows(value)
    if len(candidates) > kept:
        own = _largest_of_all(candidates, kept)[0] - before(value)
        own = own[(own >= 0) & (own < len(value))]
        index, value = index[own], value[own]
    start = np.searchsorted(index, h * np.arange(n + 1))
    return Code(start, index % np.int32(h), value)


def _largest_of_all(a: Array, k: int) -> tuple[Array, Array]:
    """Return the places of the k largest of a (n,), in order, and these; ties go to the first."""
    index, value = np.empty((1, k), np.int32), np.empty((1, k), a.dtype)
    if k:
        _core.top_k(index, value, a[None])
    return index[0], value[0]


def prefix_outputs(parts: list[Code], D: list[Array]) -> list[Array]:
    """Return z D of the first part of a code, of the first two, ... and of all; each part has its own D."""
    outputs = [parts[0].decode(D[0])]
    for part, rows in zip(parts[1:], D[1:], strict=True):
        outputs.append(outputs[-1] + part.decode(rows))
    return outputs


def decoder(units: Units) -> Array:
    """D, which is W where units have none of their own."""
    return units["D"] if "D" in units else units["W"]


def chosen(units: Units, which: slice | Array) -> dict[str, Array]:
    """Some of the units: a view for a slice, a copy for indices."""
    return {name: value[which] for name, value in units.items()}


def backward(
    grads: Units,
    units: Units,
    code: Code,
    X: Array,
    R: Array,
    alpha: float,
    kind: str,
) -> None:
    """Writes alpha times dF, dc and dD to `grads` under W, c and D; without D, W gets the sum of both.

    The entries of the code are f of the kept A, f of that kind, and so delta has the factor f'.
    """
    at = (code.start, code.index)
    delta = np.empty_like(code.value)
    _core.sparse_dot(delta, *at, R, decoder(units))
    if kind != "linear":
        activations.backward(delta[None], code.value[None], kind)
    found = {"c": grads["c"], "W": grads["W"]} | ({"D": grads["D"]} if "D" in units else {})

    def sums(name: str) -> Make:
        def make(into: Array, rows: slice, alpha: float, beta: float) -> None:
            start, index, entries = code.rows(rows)
            z, d = code.value[entries], delta[entries]
            if name == "c":
                _core.scatter_sum(into, start, index, d, alpha, beta)
            elif name == "D":
                _core.sparse_gradient(into, start, index, z, R[rows], alpha=alpha, beta=beta)
            elif "D" in units:
                _core.sparse_gradient(into, start, index, d, X[rows], alpha=alpha, beta=beta)
            else:
                _core.sparse_gradient(into, start, index, z, R[rows], d, X[rows], alpha, beta)

        return make

    for name, grad in found.items():
        add_up(grad, len(X), sums(name), alpha)

"""Curvature of a chain's loss: its product with a vector, and the whole Hessian.

    R{a_l} = W_l'R{h_{l-1}} + V_l'h_{l-1} + v_l,      R{h_l} = f'(a_l) R{a_l}
    R{delta_L} = (d delta_L / d a_L) R{a_L}           delta = dJ / da of each row, dh = dJ / dh
    R{dh_l} = W_{l+1} R{delta_{l+1}} + V_{l+1} delta_{l+1}
    R{delta_l} = f'(a_l) R{dh_l} + f''(a_l) R{a_l} dh_l
    R{dW_l} = <h_{l-1} R{delta_l}' + R{h_{l-1}} delta_l'>,      R{dc_l} = <R{delta_l}>

That is the Hessian times (V, v), by one pass forward and one back (B. Pearlmutter, Fast exact multiplication
by the Hessian, Neural Computation 6, 1994). Without the terms that hold delta or dh it is the Gauss-Newton
matrix, which has no negative direction (N. Schraudolph, Fast curvature matrix-vector products for
second-order gradient descent, Neural Computation 14, 2002). Of rectified units f'' is 0, as almost
everywhere.

The whole Hessian takes one such pass for each unit, not for each weight. The weight from input p to a unit
moves its a in each row by that row's h_p times what the unit's bias does, and a bias is the weight of an
input that is 1. So with the R of the bias of a unit in layer k, the derivative by its weight from p and by
another weight, from i to j in layer l >= k, is (C. Bishop, Exact calculation of the Hessian matrix for the
multilayer perceptron, Neural Computation 4, 1992)

    <h_{k-1,p} (h_{l-1,i} R{delta_l,j} + R{h_{l-1,i}} delta_l,j)>         the second term if l > k

The cost of the mean code <h_1> adds its second derivative times g g' for the weights of one unit in the first
layer, g_p = <x_p f'(a_1)>.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from featlearn.ops import activations
from featlearn.ops.arrays import add_bias, product
from featlearn.ops.dense import Dense, forward
from featlearn.ops.reduce import BLOCK, column_mean, outer_mean, outer_sum
from featlearn.rows import Array, Float64

Vector = dict[str, Array]
"""An array for each of a model's params, by their names."""


@dataclass(frozen=True)
class Top:
    """The loss of each row as the last layer's total inputs a see it.

    delta (n, units) is its derivative by a; `turn` gives R{delta} of R{a} (n, units), exactly or by Gauss and
    Newton.
    """

    delta: Array
    turn: Callable[[Array, bool], Array]


@dataclass(frozen=True)
class Penalty:
    """The cost of the mean code of the first layer: first and second derivative by the mean, (units,)."""

    row: Array
    bend: Array


class ChainCurvature:
    """Curvature of the mean loss of rows X (n, in), at what a chain's layers hold.

    `pairs` gives views of a vector: W and c of each layer, from below. Layers may share weights. `top` makes
    of the last layer's total inputs what it says of the loss. No layer is of maxout or prelu units, or keeps
    the largest entries alone.
    """

    def __init__(
        self,
        layers: Sequence[Dense],
        pairs: Callable[[Vector], list[tuple[Array, Array]]],
        X: Array,
        top: Callable[[Array], Top],
        penalty: Callable[[Array], Penalty | None] = lambda H: None,
    ) -> None:
        self.layers, self.pairs = layers, pairs
        self.seen = [X, *(one.H for one in forward(layers[:-1], X))]
        self.top = top(add_bias(product(self.seen[-1], layers[-1].W), layers[-1].c))
        self.penalty = penalty(self.seen[1]) if len(layers) > 1 else None
        self.deltas = [self.top.delta]
        self.by_codes: list[Array] = []
        for i in range(len(layers) - 1, 0, -1):
            dh = product(self.deltas[0], layers[i].W, trans_b=True)
            if i == 1 and self.penalty is not None:
                dh += self.penalty.row
            self.by_codes.insert(0, dh)
            self.deltas.insert(0, _through(layers[i - 1], dh.copy(), self.seen[i]))

    def __call__(self, v: Vector, exact: bool) -> Vector:
        """Return the product with a vector."""
        vectors = [(np.ascontiguousarray(V), c) for V, c in self.pairs(v)]
        inputs, codes = self._forward(vectors)
        turned = self.top.turn(inputs[-1], exact)
        found = {name: np.zeros_like(w) for name, w in v.items()}
        for i, (dW, dc) in reversed(list(enumerate(self.pairs(found)))):
            own = outer_mean(self.seen[i], turned)
            if exact and i:
                outer_mean(codes[i - 1], self.deltas[i], out=own)
            dW += own
            dc += column_mean(turned)
            if i:
                more = [product(self.deltas[i], vectors[i][0], trans_b=True)] if exact else []
                if i == 1 and self.penalty is not None:
                    more.append(self.penalty.bend * column_mean(codes[0]))
                turned = self._down(i, turned, inputs[i - 1], exact, *more)
        return found

    def hessian(self, like: Vector) -> Float64:
        """Return the whole Hessian, in the order of the entries of `like`, which is such a vector."""
        starts = np.cumsum([0, *(w.size for w in like.values())])
        numbers = {
            name: start + np.arange(w.size).reshape(w.shape)
            for start, (name, w) in zip(starts, like.items(), strict=False)
        }
        entries = [np.vstack([W, c]) for W, c in self.pairs(numbers)]  # (in + 1, units) of each layer
        seen = [np.hstack([H, np.ones((len(H), 1), H.dtype)]) for H in self.seen]
        found = np.zeros((starts[-1], starts[-1]))
        for k, layer in enumerate(self.layers):
            for unit in range(layer.units):
                turned, codes = self._of_bias(k, unit)
                rows = entries[k][:, unit]
                units = np.flatnonzero(turned[0].any(axis=0))
                units = units[units >= unit]  # their mirror image has those before
                second = self._second(seen, k, k, turned[0][:, units])
                if k == 0 and self.penalty is not None:
                    g = outer_mean(seen[0], np.ascontiguousarray(codes[0][:, unit, None]))
                    bend = self.penalty.bend[unit] * product(g, g, trans_b=True)
                    second[:, :, units == unit] += bend[:, :, None]
                second[:, :, units == unit] /= 2  # which is its own mirror image
                found[np.ix_(rows, entries[k][:, units].ravel())] += second.reshape(len(rows), -1)
                for i in range(k + 1, len(self.layers)):
                    second = self._second(seen, k, i, turned[i - k], codes[i - k - 1])
                    found[np.ix_(rows, entries[i].ravel())] += second.reshape(len(rows), -1)
        found += found.T
        return found

    def _forward(self, vectors: Sequence[tuple[Array, Array]]) -> tuple[list[Array], list[Array]]:
        """Return R{a} of all layers, and R{h} of those below the last."""
        inputs: list[Array] = []
        codes: list[Array] = []
        for i, (layer, (V, v)) in enumerate(zip(self.layers, vectors, strict=True)):
            A = add_bias(product(self.seen[i], V), v)
            if codes:
                A += product(codes[-1], layer.W)
            inputs.append(A)
            if i + 1 < len(self.layers):
                codes.append(_through(layer, A.copy(), self.seen[i + 1]))
        return inputs, codes

    def _down(self, i: int, turned: Array, inputs: Array, exact: bool, *more: Array) -> Array:
        """Return R{delta} of the layer below layer i, of its R{a} and of `more` terms of its R{dh}."""
        dh = product(turned, self.layers[i].W, trans_b=True)
        for term in more:
            dh += term
        below, H = self.layers[i - 1], self.seen[i]
        found = _through(below, dh, H)
        bend = activations.second_derivative(H, below.activation) if exact else None
        return found if bend is None else found + bend * inputs * self.by_codes[i - 1]

    def _of_bias(self, k: int, unit: int) -> tuple[list[Array], list[Array]]:
        """Return R{delta} of layer k and those above, and R{h} but the last, of the bias of a unit in k."""
        A = np.zeros_like(self.deltas[k])
        A[:, unit] = 1
        inputs: list[Array] = [A]
        codes: list[Array] = []
        for i in range(k + 1, len(self.layers)):
            codes.append(_through(self.layers[i - 1], inputs[-1].copy(), self.seen[i]))
            inputs.append(product(codes[-1], self.layers[i].W))
        turned = [self.top.turn(inputs[-1], True)]
        for i in range(len(self.layers) - 1, k, -1):
            turned.insert(0, self._down(i, turned[0], inputs[i - 1 - k], True))
        return turned, codes

    def _second(self, seen: list[Array], k: int, i: int, turned: Array, codes: Array | None = None) -> Array:
        """Return the derivatives (inputs of layer k, inputs of layer i, units) of R{delta} and R{h}.

        They are summed over blocks of rows, each of which has one value for each weight of layer i.
        """
        found = np.zeros((seen[k].shape[1], seen[i].shape[1] * turned.shape[1]), turned.dtype)
        moved = np.flatnonzero(() if codes is None else codes.any(axis=0))
        for start in range(0, len(turned), BLOCK):
            rows = slice(start, start + BLOCK)
            each = seen[i][rows, :, None] * turned[rows, None]
            if codes is not None:
                each[:, moved] += codes[rows, moved, None] * self.deltas[i][rows, None]
            outer_sum(seen[k][rows], each.reshape(len(each), -1), 1 / len(turned), out=found)
        return found.reshape(len(found), seen[i].shape[1], -1)


def _through(layer: Dense, A: Array, H: Array) -> Array:
    """Return f' A of a layer whose codes are H, in place of A; all (n, units)."""
    return activations.backward(A, H, layer.activation, slope=layer.slope)

"""Products of the curvature of a chain's loss with vectors: one pass forward, one back.

    R{a_l} = W_l'R{h_{l-1}} + V_l'h_{l-1} + v_l,      R{h_l} = f'(a_l) R{a_l}
    R{delta_L} = (d delta_L / d a_L) R{a_L}           delta = dJ / da of each row, dh = dJ / dh
    R{dh_l} = W_{l+1} R{delta_{l+1}} + V_{l+1} delta_{l+1}
    R{delta_l} = f'(a_l) R{dh_l} + f''(a_l) R{a_l} dh_l
    R{dW_l} = <h_{l-1} R{delta_l}' + R{h_{l-1}} delta_l'>,      R{dc_l} = <R{delta_l}>

That is the Hessian times (V, v) (B. Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation
6, 1994). Without the terms that hold delta or dh it is the Gauss-Newton matrix, which has no negative
direction (N. Schraudolph, Fast curvature matrix-vector products for second-order gradient descent, Neural
Computation 14, 2002). Of rectified units f'' is 0, as almost everywhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from featlearn.ops import activations
from featlearn.ops.arrays import add_bias, product
from featlearn.ops.dense import Dense, forward
from featlearn.ops.reduce import column_mean, outer_mean
from featlearn.rows import Array

Pairs = list[tuple[Array, Array]]
"""(W, c) of each layer of a chain, from below."""


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


class Curvature:
    """Products with the curvature of the mean loss of rows X (n, in), at what a chain's layers hold.

    `top` makes of the last layer's total inputs what it says of the loss. No layer is of maxout units, or
    keeps the largest entries alone.
    """

    def __init__(
        self,
        layers: Sequence[Dense],
        X: Array,
        top: Callable[[Array], Top],
        penalty: Callable[[Array], Penalty | None] = lambda H: None,
    ) -> None:
        self.layers = layers
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
            self.deltas.insert(0, activations.backward(dh.copy(), self.seen[i], layers[i - 1].activation))

    def __call__(self, vectors: Sequence[tuple[Array, Array]], exact: bool) -> Pairs:
        """Return the product with a vector, whose parts are like the layers' W and c."""
        inputs, codes = self._forward(vectors)
        turned = self.top.turn(inputs[-1], exact)
        found: Pairs = []
        for i in range(len(self.layers) - 1, -1, -1):
            dW = outer_mean(self.seen[i], turned)
            if exact and i:
                outer_mean(codes[i - 1], self.deltas[i], out=dW)
            found.insert(0, (dW, column_mean(turned)))
            if i:
                turned = self._down(i, turned, vectors[i][0], inputs[i - 1], codes[i - 1], exact)
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
                codes.append(activations.backward(A.copy(), self.seen[i + 1], layer.activation))
        return inputs, codes

    def _down(self, i: int, turned: Array, V: Array, inputs: Array, codes: Array, exact: bool) -> Array:
        """Return R{delta} of the layer below layer i."""
        dh = product(turned, self.layers[i].W, trans_b=True)
        if exact:
            dh += product(self.deltas[i], V, trans_b=True)
        if i == 1 and self.penalty is not None:
            dh += self.penalty.bend * column_mean(codes)
        kind, H = self.layers[i - 1].activation, self.seen[i]
        found = activations.backward(dh, H, kind)
        bend = activations.second_derivative(H, kind) if exact else None
        return found if bend is None else found + bend * inputs * self.by_codes[i - 1]

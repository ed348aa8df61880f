"""The lower bound of the likelihood under a deep belief net: Boltzmann machines on top of each other.

    log p(v) >= E_q [sum_k log p(h_k-1 | h_k) - log q(h_k | h_k-1)] - F(h_L-1) - log Z,   h_0 = v

q draws the states of each layer given those below it, by its machine's weights; F and Z are of the top. For
any drawn states that is on average too low, by the distance of q from the posterior (R. Salakhutdinov, I.
Murray, On the quantitative analysis of deep belief networks, ICML 2008).
"""

from collections.abc import Sequence

import numpy as np

from featlearn import _core
from featlearn.analysis.partition import gaussian_base
from featlearn.models.base import BoltzmannMachine
from featlearn.ops.arrays import add_bias, product, row_squares
from featlearn.random import Purpose, draw_name
from featlearn.rows import Array, Float64


def climb(machines: Sequence[BoltzmannMachine], V: Array, seed: int, number: int) -> tuple[Float64, Array]:
    """Return (n,) sum_k log p(h_k-1 | h_k) - log q(h_k | h_k-1) of rows V, and the states h_L-1.

    The states of layer k are drawn by its stream, with the `number` of the block.
    """
    gain = np.zeros(len(V))
    for k, machine in enumerate(machines, 1):
        A = machine.input(V)
        H = np.empty_like(A)
        draw = draw_name(Purpose.BINARIZE, number, k)
        _core.sigmoid_sample(np.empty_like(A), H, A, machine.c, seed, draw)
        gain += _below(machine, V, H) + _surprise(A, machine.c, H)
        V = H
    return gain, V


def _surprise(A: Array, bias: Array, S: Array) -> Float64:
    """Return (n,) -log p(S) of binary states, s(A + bias) their means."""
    out = np.empty(len(S), np.float64)
    _core.cross_entropy(out, A, bias, S)
    return out


def _below(machine: BoltzmannMachine, V: Array, H: Array) -> Float64:
    """Return (n,) log p(v | h)."""
    A = product(H, machine.W, trans_b=True)
    if machine.variance is None:
        return -_surprise(A, machine.b, V)
    distance = (V - add_bias(A, machine.b)) / np.sqrt(machine.variance)
    return np.asarray(-row_squares(distance) / 2 - gaussian_base(machine))

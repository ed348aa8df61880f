"""The compiled kernels. All arrays C-contiguous, float32 or float64 (one dtype a call) unless said; outputs first.

Shape or dtype errors raise ValueError. Results depend on the arguments alone: not on threads or instruction set.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

def gemm(
    out: Floats,
    a: Floats,
    b: Floats,
    trans_a: bool = False,
    trans_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> None:
    """out = alpha * op(a) op(b) + beta * out; the product is summed over k by blocks of 256, in order, by fma from zero."""

def colsum(out: Floats, a: Floats, alpha: float = 1.0, beta: float = 0.0) -> None:
    """out (d,) = alpha * sum over rows of a (n, d) + beta * out; rows in order by blocks of 256."""

def sigmoid(out: Floats, a: Floats, bias: Floats) -> None:
    """out (n, h) = 1 / (1 + exp(-(a + bias))); out may be a."""

def sigmoid_sample(p: Floats, s: Floats, a: Floats, bias: Floats, seed: int, draw: int) -> None:
    """p = sigmoid(a + bias); s = 1 where a uniform number lies below p, else 0; p may be a."""

def bernoulli(s: Floats, p: Floats, seed: int, draw: int) -> None:
    """s = 1 where a uniform number lies below p, else 0; s may be p."""

def add_bias(out: Floats, a: Floats, bias: Floats) -> None:
    """out (n, h) = a + bias; out may be a."""

def random_bits(out: npt.NDArray[np.uint32], seed: int, draw: int) -> None:
    """Philox4x32-10 words: element e is word e % 4 of counter (e // 4, draw) under the key seed."""

def uniform(out: Floats, seed: int, draw: int) -> None:
    """Uniform numbers in [0, 1), any shape."""

def normal(out: Floats, seed: int, draw: int) -> None:
    """Standard normal numbers (Box-Muller), any shape."""

def update(
    w: Floats,
    velocity: Floats,
    grad: Floats,
    lr: float,
    momentum: float,
    l1: float,
    l2: float,
    soft: bool,
) -> None:
    """velocity = momentum * velocity - lr * (grad + l2 * w [+ l1 * sign(w)]); w += velocity; any shape, in place.

    With soft, L1 is the proximal step instead: w = sign(w) * max(|w| - lr * l1 / (1 - momentum), 0).
    """

def row_sqdist(out: npt.NDArray[np.float64], x: Floats, y: Floats) -> None:
    """out (n,) = sum over columns of (x - y)^2, added in float64 in a fixed order."""

def set_threads(n: int) -> None:
    """How many threads the kernels use from now on (>= 1)."""

def get_threads() -> int: ...
def has_openmp() -> bool: ...
def isa() -> str:
    """The instruction set in use: avx512, avx2 or plain (FEATLEARN_ISA forces one)."""

"""The compiled kernels.

All arrays are C-contiguous, and float32 or float64 (one dtype a call) unless said; outputs stand first. Wrong
shapes, dtypes, read-only outputs or shared memory raise ValueError in one line. Results depend on the
arguments alone: not on threads or instruction set. All calls release the GIL; a long one returns to Python
every few milliseconds, so that signals are answered.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Indices = npt.NDArray[np.int32]
Starts = npt.NDArray[np.int64]

def gemm(
    out: Floats,
    a: Floats,
    b: Floats,
    trans_a: bool = False,
    trans_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> None:
    """out = alpha * op(a) op(b) + beta * out, where op transposes if trans_* says so.

    out shares no memory with a and b. For each element: the products are added in order by fused
    multiply-add, from zero, in blocks of 256; the blocks' sums are added in order; t = alpha * total; out = t
    if beta is 0 (out is not read), else t + beta * out.
    """

def colsum(out: Floats, a: Floats, alpha: float = 1.0, beta: float = 0.0) -> None:
    """out (d,) = alpha * sum over rows of a (n, d) + beta * out.

    Rows in order by blocks of 256, as in gemm.
    """

# Sparse codes (n, h) are CSR: row i has the entries start[i]..start[i + 1] of index (column) and value,
# columns in order; with k entries a row, start is k * arange(n + 1). A column out of range or a start that
# falls: ValueError.

def top_k(index: Indices, value: Floats, a: Floats, bias: Floats | None = None) -> None:
    """The k largest of each row of a (n, h) [+ bias (h,)]: index int32 (n, k), ascending, and value (n, k).

    Signed: the largest, not the largest in size. Ties go to the lowest column; -0 and +0 are equal; NaN ranks
    above everything, so that it is not hidden. 1 <= k <= h < 2^31.
    """

def sparse_decode(
    out: Floats, start: Starts, index: Indices, value: Floats, F: Floats, bias: Floats | None = None
) -> None:
    """out (n, d) = sum over a row's entries, in order, of value * F[index] [+ bias (d,)]; F (h, d).

    By fused multiply-add from zero; the bias is added last.
    """

def sparse_dot(out: Floats, start: Starts, index: Indices, R: Floats, F: Floats) -> None:
    """out (m,): for each entry, the product of F[index] (h, d) and its row of R (n, d).

    16 interleaved sums by fused multiply-add (column j goes to sum j % 16), then sums l and
    l + 8, l + 4, l + 2, l + 1 are added.
    """

def sparse_gradient(
    G: Floats,
    start: Starts,
    index: Indices,
    value: Floats,
    R: Floats,
    delta: Floats | None = None,
    X: Floats | None = None,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> None:
    """G (h, d) = alpha * S + beta * G, where S[f] = sum over the entries of feature f of value * R[row].

    With delta (m,) and X (n, d), each entry adds delta * X[row] after that. R (n, d). Summed as in gemm: rows
    in order by fused multiply-add, from zero in each block of 256 rows, and the blocks' sums added in order
    (blocks without an entry of f left out); beta 0: G is not read.
    """

def scatter_sum(
    out: Floats, start: Starts, index: Indices, value: Floats, alpha: float = 1.0, beta: float = 0.0
) -> None:
    """out (h,) = alpha * the sum of the values of each feature + beta * out (not read if beta is 0).

    Rows in order by blocks of 256, as in colsum.
    """

def sigmoid(out: Floats, a: Floats, bias: Floats) -> None:
    """out (n, h) = 1 / (1 + exp(-(a + bias))); out may be a. Within 2 units in the last place."""

def sigmoid_sample(
    p: Floats, s: Floats, a: Floats, bias: Floats, seed: int, draw: int, offset: int = 0
) -> None:
    """p = sigmoid(a + bias); s = bernoulli(p); p or s may be a."""

def bernoulli(s: Floats, p: Floats, seed: int, draw: int, offset: int = 0) -> None:
    """s = 1 where a uniform number lies below p, else 0; any shape; s may be p.

    Element e compares with word e of random_bits: its upper 24 bits (float32) or all 32 (float64).
    """

def dropout(out: Floats, a: Floats, rate: float, seed: int, draw: int, offset: int = 0) -> None:
    """out = 0 where a uniform number lies below rate, else a / (1 - rate); any shape; out may be a.

    Element e compares with word e of random_bits as in bernoulli, so the same draw drops the same elements.
    """

def add_bias(out: Floats, a: Floats, bias: Floats) -> None:
    """out (n, h) = a + bias; out may be a."""

def random_bits(out: npt.NDArray[np.uint32], seed: int, draw: int, offset: int = 0) -> None:
    """Philox4x32-10 words (Salmon et al., SC11).

    Element e is word e % 4 of counter (e // 4, draw) under the key seed. seed, draw and offset lie in
    0..2^64 - 1. offset is the number of the first element, here and wherever numbers are drawn: a part of an
    array, drawn alone with the offset at which it lies, has the bytes that it has in the whole.
    """

def uniform(out: Floats, seed: int, draw: int, offset: int = 0) -> None:
    """Uniform numbers in [0, 1), any shape.

    Element e is the upper 24 bits of word e of random_bits (float32), or 52 bits of words 2e, 2e + 1
    (float64).
    """

def normal(out: Floats, seed: int, draw: int, offset: int = 0) -> None:
    """Standard normal numbers, any shape.

    Box and Muller: elements 2i, 2i+1 are sqrt(-2 log(1 - u)) times cos, sin of 2 pi v; u, v are their uniform
    numbers.
    """

def update(
    w: Floats,
    velocity: Floats | None,
    grad: Floats,
    lr: float,
    momentum: float,
    l1: float,
    l2: float,
    soft: bool,
) -> None:
    """velocity = momentum * velocity - lr * (grad + l2 * w [+ l1 * sign(w)]); w += velocity.

    Any shape, in place. With soft, L1 is the proximal step instead:
    w = sign(w) * max(|w| - lr * l1 / (1 - momentum), 0), as large as what the subgradient adds up to with
    momentum. Results below 1e-30 in size become zero. Rounding: g = fma(l1, sign(w), fma(l2, w, grad)),
    velocity = fma(momentum, velocity, -(lr * g)). 0 <= momentum < 1; without momentum velocity may be None.
    """

def row_sqdist(out: npt.NDArray[np.float64], x: Floats, y: Floats) -> None:
    """out (n,) float64 = sum over columns of (x - y)^2, x and y (n, d), added in float64 in a fixed order."""

def triangle(z: Floats, x: Floats, squares: Floats) -> None:
    """z (n, h), in place: products of rows x (n, d) with centroids become triangle codes max(0, m - z).

    z = sqrt(max(0, x'x + squares - 2 product)), the distance from each centroid, where squares (h,) are those
    of the centroids; m is the mean of a row's distances. Sums go over 16 interleaved parts, as in sparse_dot.
    """

def normalize(
    x: Floats, mean: npt.NDArray[np.float64], scale: npt.NDArray[np.float64], floor: float = -1.0
) -> None:
    """x (n, d), in place, = (x - mean) / scale, where mean (n,) is that of the row.

    scale (n,) is sqrt(mean square of what is left + floor), and 1 where floor is below 0. Sums as in
    row_sqdist.
    """

def row_softplus(out: npt.NDArray[np.float64], a: Floats, bias: Floats, scale: float = 1.0) -> None:
    """out (n,) float64 = sum over columns of log(1 + exp(scale * (a + bias))), a (n, h).

    Added in a fixed order.
    """

def activate(out: Floats, a: Floats, bias: Floats, kind: str) -> None:
    """out (n, h) = f(a + bias); out may be a.

    kind: linear, sigmoid, tanh or relu.
    """

def backward(delta: Floats, h: Floats, kind: str, row: Floats | None = None) -> None:
    """delta (n, h), in place, = (delta [+ row (h,)]) * f'.

    f' is the derivative of `kind` where the function is h (n, h). At a kink the derivative is the one below
    it.
    """

def leaky(out: Floats, a: Floats, bias: Floats, leak: Floats) -> None:
    """out (n, h) = a + bias, times leak (h,) where that is below 0; out may be a."""

def leaky_backward(delta: Floats, h: Floats, row: Floats, leak: Floats) -> None:
    """delta (n, h), in place, = delta + row (h,), times leak (h,) where h (n, h) is not above 0."""

def output_error(
    delta: Floats,
    loss: npt.NDArray[np.float64],
    y: Floats,
    x: Floats,
    kind: str,
    weight: Floats | None = None,
) -> None:
    """delta (n, d) = weight * (y - x) * f', f' where the function is y; delta may be y.

    loss (n,) float64 = sum over columns of weight * (y - x)^2, added as in row_sqdist. No weight: 1.
    """

def cross_entropy(
    loss: npt.NDArray[np.float64],
    a: Floats,
    bias: Floats,
    x: Floats,
    weight: Floats | None = None,
) -> None:
    """loss (n,) float64 = sum over columns of weight * (log(1 + exp(z)) - x z), z = a + bias; a, x (n, d).

    That is -x log s(z) - (1 - x) log(1 - s(z)), without the logarithm of a zero. Added in a fixed order.
    """

def softmax(
    p: Floats,
    loss: npt.NDArray[np.float64] | None,
    a: Floats,
    bias: Floats,
    labels: npt.NDArray[np.int32] | None,
) -> None:
    """p (n, c) = exp(z) / sum of exp(z) over the row, z = a + bias; p may be a.

    loss (n,) float64 = log of the sum of exp(z) - z[label], labels (n,) int32 in 0..c-1; both or none.
    """

def adam(
    w: Floats,
    m: Floats,
    v: Floats,
    grad: Floats,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
    l1: float,
    l2: float,
    soft: bool,
) -> None:
    """m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; w as below; any shape, in place.

    step >= 1 counts updates. w -= lr * (c1 m / (sqrt(c2 v) + eps) + l2 w [+ l1 sign(w)]),
    c1 = 1 / (1 - beta1^step), c2 likewise. With soft, L1 is the proximal step instead:
    w = sign(w) * max(|w| - lr * l1, 0).
    |m|, |w| below 1e-30, v below 1e-37 become zero.
    """

def relax(
    z: Floats,
    l: Floats,
    slope: Floats,
    cost: npt.NDArray[np.float64],
    y: Floats | None,
    f: Floats,
    q: Floats,
    m: Floats,
    gain: float,
    code: float,
    sparsity: float,
    step: float,
    steps: int,
) -> None:
    """Gradient descent of codes z (n, h), in place, on the energy of each row.

    With l = 1 / (1 + exp(-gain z)) the energy is

        code |z - f|^2 + sparsity sum log(1 + l^2)  [cost (n,) float64]  + |m l|^2 - 2 q'l

    m (d, h), or where y is None the matrix m'm (h, h) itself; f, q (n, h). A step that would raise a
    row's energy is not taken, and halves all that follow in that row. l and slope (n, h), the derivative by
    z, and y (n, d) = m l are of the z reached; with no steps, of the z given.
    """

def set_threads(n: int) -> None:
    """How many threads the kernels use from now on (>= 1); stays at one where has_threads() is False.

    At first it is the number of processors that this process may run on.
    """

def get_threads() -> int: ...
def has_threads() -> bool:
    """Whether this build can use more than one thread (POSIX threads)."""

def isa() -> str:
    """The instruction set in use: avx512, avx2 or plain.

    FEATLEARN_ISA forces one; the import fails (ImportError) on one that this CPU lacks.
    """

def _isas() -> list[str]:
    """The instruction sets that this CPU has, best first; for tests."""

def _gemm_reference(
    out: Floats,
    a: Floats,
    b: Floats,
    trans_a: bool = False,
    trans_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> None:
    """gemm by its definition, three scalar loops; for tests."""

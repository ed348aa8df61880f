"""Sums and means over the rows of a minibatch: the one place where rows that are shared out meet again.

Every sum over rows that models learn from is made here, or in `backward` of ops/sparse_code.py. What is
chosen among rows is none: the largest activations of a batch (ops/sparse_code.py), Goh's ranks
(ops/sparsity.py).

A sum is made of panels, each of blocks of 256 rows, all in order. Up to 16,384 rows a panel is a block; of
more it is so many blocks that there are 64 panels. Where ranks share the rows of a minibatch (ranks.py), each
has whole panels, so the bytes are those of one process; "rows" then means those of all ranks together.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from featlearn import _core, panels, ranks
from featlearn.ops.arrays import row_distances, total
from featlearn.rows import Array

BLOCK = panels.BLOCK
"""Rows whose sum is one number in the order of all sums, as in the kernels."""
STRIP = 128
"""Columns of a symmetric matrix that are made together, from the diagonal on."""
Make = Callable[[Array, slice, float, float], None]
"""(into, rows, alpha, beta): makes into = alpha times the sum over some of the rows + beta into."""
alike = ranks.alike
"""A context within which rows are the same on all ranks: Markov chains that are no minibatch's."""
PARTS = 40
"""Numbers of 53 bits that an exact sum of others is made of, at most."""


def count(A: Array) -> int:
    """Return the number of rows of the minibatch that A (n, ...) is of."""
    share = ranks.share()
    return len(A) if share is None else share.rows


def add_up(out: Array, n: int, make: Make, weight: float = 1.0, beta: float = 0.0) -> Array:
    """Make out = `weight` times a sum over rows + `beta` out.

    `n` is how many rows there are here, of which `make` takes some.
    """
    if in_one_go(n):
        make(out, slice(0, n), weight, beta)
        return out
    share = ranks.share()
    assert share is None or n == share.stop - share.start
    size = panels.panel(n) if share is None else share.panel
    made: list[Array] = []
    for i in range(0, n, size):
        made.append(np.empty(out.shape, out.dtype))
        make(made[-1], slice(i, i + size), 1.0, 0.0)
        if i and (share is None or share.start == 0):  # nothing comes before
            made[0] += made.pop()
    whole = made[0] if share is None else ranks.fold(made, out.shape, out.dtype)
    whole *= out.dtype.type(weight)
    if beta:
        whole += out.dtype.type(beta) * out
    out[...] = whole
    return out


def in_one_go(n: int) -> bool:
    """Whether the sum over the n rows here is whole, and made of blocks, as the kernels do it."""
    return ranks.share() is None and n <= BLOCK * panels.PANELS


def outer_sum(X: Array, H: Array, weight: float = 1.0, out: Array | None = None) -> Array:
    """Return `weight` times the sum over rows of x h': (n, d) and (n, k) -> (d, k).

    It is added to `out` where that is given.
    """
    made: Array = np.empty((X.shape[1], H.shape[1]), X.dtype) if out is None else out
    old = 0.0 if out is None else 1.0
    if in_one_go(len(X)):
        _core.gemm(made, X, H, trans_a=True, alpha=weight, beta=old)
        return made

    def make(into: Array, rows: slice, alpha: float, beta: float) -> None:
        _core.gemm(into, X[rows], H[rows], trans_a=True, alpha=alpha, beta=beta)

    return add_up(made, len(X), make, weight, old)


def gram_sum(X: Array, out: Array) -> None:
    """Add the sum over rows of x x' to `out` (d, d), on its diagonal and above: X is (n, d).

    What is below the diagonal means nothing; `mirror` of ops/arrays.py makes it.
    """

    if X.shape[1] <= STRIP:
        outer_sum(X, X, out=out)
        return

    def make(into: Array, rows: slice, alpha: float, beta: float) -> None:
        XT = np.ascontiguousarray(X[rows].T)  # so that some columns of X are a matrix of their own
        for i in range(0, len(XT), STRIP):
            strip = np.empty((len(XT[i : i + STRIP]), len(XT) - i), X.dtype)
            _core.gemm(strip, XT[i : i + STRIP], XT[i:], trans_b=True, alpha=alpha)
            if beta:
                strip += beta * into[i : i + STRIP, i:]
            else:
                into[i : i + STRIP, :i] = 0
            into[i : i + STRIP, i:] = strip

    if in_one_go(len(X)):
        make(out, slice(0, len(X)), 1.0, 1.0)
    else:
        add_up(out, len(X), make, 1.0, 1.0)


def outer_mean(X: Array, H: Array, weight: float = 1.0, out: Array | None = None) -> Array:
    """Return `weight` times the mean over rows of x h': (n, d) and (n, k) -> (d, k).

    It is added to `out` where that is given.
    """
    return outer_sum(X, H, weight / count(X), out)


def outer_means(*pairs: tuple[Array, Array, float], alike: Sequence[int] = ()) -> Array:
    """Return the sum over pairs (X, H, weight) of `weight` times the mean over rows of x h', (d, k).

    It is one sum over blocks of rows: the first 256 of each pair, then the next, and so on. X and H of a pair
    are (n, d) and (n, k); pairs may differ in n. The first are of a minibatch, and the numbers `alike` are
    those of pairs whose rows are not: they are not shared out.
    """
    here = ranks.share()
    if here is None and max(len(A) for A, _, _ in pairs) <= BLOCK:
        return _block([(A, B, weight / len(A)) for A, B, weight in pairs])
    X, H, _ = pairs[0]
    share = panels.share_of(len(X), 0, 1) if here is None else here
    terms = [
        (A, B, weight / len(A), len(A), 0) if here is None or i in alike
        else (A, B, weight / share.rows, share.rows, share.start)
        for i, (A, B, weight) in enumerate(pairs)
    ]  # fmt: skip
    longest = max(n for _, _, _, n, _ in terms)

    def blocks(panel: int) -> Array:
        """Return the sum of a panel; the last one goes on to the end of all pairs."""
        start, stop = panel * share.panel, (panel + 1) * share.panel
        whole: Array | None = None
        for i in range(start, longest if stop >= share.rows else stop, BLOCK):
            block = _block([
                (A[i - first : i - first + BLOCK], B[i - first : i - first + BLOCK], weight)
                for A, B, weight, n, first in terms
                if i < n
            ])  # fmt: skip
            whole = block if whole is None else np.add(whole, block, out=whole)
        assert whole is not None
        return whole

    if share.start:
        return ranks.fold([blocks(i) for i in share.panels], (X.shape[1], H.shape[1]), X.dtype)
    whole = blocks(0)
    for i in share.panels[1:]:
        whole += blocks(i)
    return whole if here is None else ranks.fold([whole], whole.shape, whole.dtype)


def _block(terms: Sequence[tuple[Array, Array, float]]) -> Array:
    """Return the sum over terms (X, H, weight) of `weight` times the sum over at most 256 rows of x h'."""
    X, H, _ = terms[0]
    made: Array = np.empty((X.shape[1], H.shape[1]), X.dtype)
    beta = 0.0
    for A, B, weight in terms:
        _core.gemm(made, A, B, trans_a=True, alpha=weight, beta=beta)
        beta = 1.0
    return made


def column_sum(A: Array, weight: float = 1.0, out: Array | None = None) -> Array:
    """`weight` times the sum over rows, (n, d) -> (d,), added to `out` where it is given."""
    made: Array = np.empty(A.shape[1], A.dtype) if out is None else out
    old = 0.0 if out is None else 1.0
    if in_one_go(len(A)):
        _core.colsum(made, A, alpha=weight, beta=old)
        return made

    def make(into: Array, rows: slice, alpha: float, beta: float) -> None:
        _core.colsum(into, A[rows], alpha=alpha, beta=beta)

    return add_up(made, len(A), make, weight, old)


def column_mean(A: Array, weight: float = 1.0, out: Array | None = None, alike: bool = False) -> Array:
    """`weight` times the mean over rows, (n, d) -> (d,), added to `out` where it is given.

    Rows that are `alike` on all ranks are no minibatch's, and not shared out.
    """
    if not alike:
        return column_sum(A, weight / count(A), out)
    with ranks.alike():
        return column_sum(A, weight / len(A), out)


def group_sums(X: Array, group: Array, groups: int) -> Array:
    """Return the sum of the rows X (n, d) of each group, (groups, d); `group` (n,) int32 is that of a row."""
    of_row, ones = np.ascontiguousarray(group), np.ones(len(X), X.dtype)

    def make(into: Array, rows: slice, alpha: float, beta: float) -> None:
        part = X[rows]
        start = np.arange(len(part) + 1)
        _core.sparse_gradient(into, start, of_row[rows], ones[rows], part, alpha=alpha, beta=beta)

    return add_up(np.empty((groups, X.shape[1]), X.dtype), len(X), make)


def group_counts(group: Array, groups: int) -> npt.NDArray[np.int64]:
    """Return how many rows each group has, (groups,); `group` (n,) is that of a row."""
    counts = np.bincount(group, minlength=groups)
    return counts if ranks.share() is None else np.asarray(ranks.together(counts).sum(axis=0))


def total_and_count(a: Array) -> tuple[float, int]:
    """Return the exact sum of one value a row, (n,), and how many there are; infinite as `row_total`."""
    if ranks.share() is None:
        return total(a), len(a)
    message = np.zeros(1 + PARTS)
    message[0] = len(a)
    message[1:] = _parts(a)
    found = ranks.together(message)
    return total(found[:, 1:].reshape(-1)), int(found[:, 0].sum())


def _parts(a: Array) -> Array:
    """Return numbers (PARTS,) whose exact sum is that of a (n,); infinite ones where that is no number."""
    found = np.zeros(PARTS)
    for i in range(PARTS):
        found[i] = total(np.concatenate([a, -found[:i]])) if i else total(a)
        if not found[i] or math.isinf(found[i]):
            break
    return found


def row_total(a: Array) -> float:
    """Return the exact sum of one value a row, (n,); infinite where that is no number."""
    return total_and_count(a)[0]


def mean(a: Array) -> float:
    """Mean of one value a row, (n,), summed exactly; infinite where that is no number."""
    found, n = total_and_count(a)
    return found / n


def grand_mean(A: Array) -> float:
    """Mean of all values, (n, d)."""
    return total(column_mean(A)) / int(A.shape[1])


def rmse(X: Array, Y: Array) -> float:
    """Root of the mean squared difference of two arrays (n, d); infinite where that is no number."""
    squares, n = total_and_count(row_distances(X, Y))
    return math.sqrt(squares / (n * X.shape[1]))


def least(a: Array) -> float:
    """Return the least of the values (n,) of all rows; infinite where there is none."""
    found = np.array([a.min(initial=np.inf)], np.float64)
    return float(found[0] if ranks.share() is None else ranks.together(found).min())


def all_rows(A: Array) -> Array:
    """Return the rows of the minibatch, of which A (n, ...) are those here, in order."""
    return ranks.gathered(A)


def rows_here(A: Array) -> Array:
    """Return of the rows A (n, ...) of the minibatch those that are here."""
    share = ranks.share()
    return A if share is None else A[share.own]


def before(A: Array) -> int:
    """Return how many rows of the same array are on the ranks before this one; A (n, ...) are those here."""
    if ranks.share() is None:
        return 0
    return int(ranks.together(np.array([len(A)], np.int64))[: ranks.rank].sum())


def of_any(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return where a flag (n,) is set by the rows here or elsewhere."""
    return ranks.any_of(flags)

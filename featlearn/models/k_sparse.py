"""k-sparse autoencoder: of each row's hidden activations only the k largest are kept.

    a = W'(x - mu) + c,   y = g(D z + b)
    z = f(a) of the k largest entries of a, the others 0
    loss = |x - y|^2 / v,   r = 2 (y - x) g' / v
           or the cross-entropy of sigmoid outputs / v, r = (y - x) / v
    dD = r z',   dW = (x - mu) delta',   dc = delta,   db = r
    delta = D'r f' where an entry was kept, 0 elsewhere

A. Makhzani, B. Frey, k-Sparse autoencoders, arXiv 1312.5663, 2013, with D = W (tied: both gradients) and f, g
linear. v, loss_scale, is the data's variance summed over the pixels, as in later work, so that one
learning rate suits all data: the paper's rates are v times smaller (of MNIST v = 53: their .01 is .53 here).
Largest means signed, and ties go to the lowest unit. So that no units die, k falls linearly during the first
part of the training, and the mean is taken off the data (mu). Features are read with more entries, the alpha
k largest, but a reconstruction takes k. What came later:

    batch_top_k    the n k largest of n rows together; codes keep what exceeds the running mean of the
                   smallest positive activation so kept (B. Bussmann, P. Leask, N. Nanda, BatchTopK sparse
                   autoencoders, 2024)
    aux_k          + weight |e - D z'|^2: the aux_k largest activations of dead units explain what is left
                   over, e = (x - y) g' or x - y as in r, taken as given (L. Gao et al., Scaling and
                   evaluating sparse autoencoders, 2024)
    unit_norm      features of D have norm 1; what is parallel to them is left out of their gradient (the
                   same)
    matryoshka     the mean of the losses with the first m_1, m_2, ... units alone (B. Bussmann, N. Nabeshima,
                   A. Karvonen, N. Nanda, Learning multi-level features with Matryoshka sparse autoencoders,
                   2025)
    pre_bias       learned: mu is b itself
"""

from dataclasses import replace

import numpy as np

from featlearn.models.base import DataSummary, Gradients, Loss, Phase, Step
from featlearn.models.base.papers import MAKHZANI_2013
from featlearn.models.parts.k_sparse import KSparseCode
from featlearn.models.settings.outputs import inputs_for, output_error
from featlearn.ops.arrays import product, row_sum
from featlearn.ops.reduce import column_sum, count, least, mean, of_any, rmse
from featlearn.ops.sparse_code import (
    Code,
    backward,
    chosen,
    decoder,
    largest,
    largest_of_batch,
    prefix_outputs,
)
from featlearn.random import Purpose, Random
from featlearn.rows import Array

MEMORY = 0.999  # of the threshold's running mean


class KSparse(KSparseCode):
    """The k-sparse autoencoder.

    params: W (visible, hidden), b (visible,), c (hidden,); untied: D (visible, hidden); pre_bias mean: mu
    (visible,).

    Units are rows in memory: W.T and D.T are C-contiguous as made by init, though any order will do. state:
    silent (hidden,), rows since each unit was last kept; with batch_top_k threshold (1,), below 0 at first.
    """

    id = "k-sparse"
    title = "a k-sparse autoencoder"
    papers = (MAKHZANI_2013,)

    def phases(self) -> list[Phase]:
        """One, whose losses can be compared as soon as k no longer falls, which alone makes them rise.

        The mean that is taken off the data is held.
        """
        moving = "its support leaps, and k falls, from one update to the next"
        ramp, falls = self.config.k_ramp or 0.0, self.config.start - self.config.k
        at_rest = ramp * (1 - 0.5 / falls) if falls else 0.0  # where k_at rounds to k
        learns = tuple(name for name in self.shapes(1) if name != "mu")
        return [Phase("train", self.gradient, learns, moving_loss=moving, comparable_from=at_rest)]

    def losses(self) -> dict[str, Loss]:
        """Return the loss by the parameters that follow it.

        It is without the auxiliary one, which takes its residual as given.
        """
        return {"loss": self._loss}

    def _loss(self, X: Array, step: Step) -> Gradients:
        """Where features have unit norm, of the features that the parameters become by projection."""
        twin = KSparse(replace(self.config, aux_k=None, aux_weight=None), self.dtype)
        twin.params = {name: value.copy(order="K") for name, value in self.params.items()}
        twin.state = dict(self.state)
        twin.project()
        return twin.gradient(X, step)

    def init(self, n_visible: int, rng: Random, mean: Array | None = None) -> None:
        """Small normal weights (or of norm 1); b, and mu where there is one, begin at the data's mean."""
        config = self.config = self.resolve(self.config, DataSummary(n_visible))
        scale = config.init_scale or 1.0  # none: unit_norm scales
        W = (scale * rng.normal((config.hidden, n_visible), self.dtype, Purpose.INIT)).T
        mu = np.zeros(n_visible, self.dtype) if mean is None else mean.astype(self.dtype)
        b = mu if mean is None else np.asarray(inputs_for(mean, config.output_units), self.dtype)
        self.params = {"W": W, "b": b.copy(), "c": np.zeros(config.hidden, self.dtype)}
        if not config.tied:
            self.params["D"] = W.copy(order="K")
        if config.pre_bias == "mean":
            self.params["mu"] = mu.copy()
        self.state = {"silent": np.zeros(config.hidden, np.int64)}
        if config.batch_top_k:
            self.state["threshold"] = np.full(1, -1, self.dtype)
        if config.unit_norm:
            _to_unit_norm(W)
            self.project()

    def k_at(self, progress: float) -> int:
        """k when that share of the training is done."""
        config = self.config
        if config.k_ramp is None:
            return config.k
        return config.k + round((config.start - config.k) * max(0.0, 1 - progress / config.k_ramp))

    def gradient(self, X: Array, step: Step) -> Gradients:
        """Through the kept entries alone; "dead_share" are the units without use for dead_after rows."""
        config = self.config
        units = self._units()
        k = self.k_at(step.progress)
        seen, sections = self._centred(X), config.sections
        choose = largest_of_batch if config.batch_top_k else largest
        code = choose(seen, units["W"], units["c"], k)
        if config.batch_top_k:
            self._follow_threshold(code, falling=k != config.k)
        code = code.activated(config.activation)
        self._count(code)
        parts = [code.between(at.start, at.stop) for at in sections] if len(sections) > 1 else [code]
        outputs = prefix_outputs(parts, [decoder(units)[at] for at in sections])
        kind, b = config.output_units, self.params["b"]
        found = [output_error(A, b, X, kind, config.loss) for A in outputs]
        assert config.loss_scale is not None
        scale = count(X) * len(sections) * config.loss_scale
        alpha = (2 if config.loss == "squared" else 1) / scale
        loss = alpha * sum(each for each, _, _ in found)
        residuals = [delta for _, _, delta in found]
        left_over = residuals[-1]
        for i in range(len(parts) - 1, 0, -1):  # a unit sees the residuals of all prefixes that it is in
            residuals[i - 1] += residuals[i]
        grads = {name: np.empty_like(value) for name, value in units.items()}
        for at, part, R in zip(sections, parts, residuals, strict=True):
            backward(chosen(grads, at), chosen(units, at), part, seen, R, alpha, config.activation)
        dead = np.flatnonzero(self.state["silent"] >= config.dead_after)
        if config.aux_k is not None and len(dead):
            loss += self._revive(grads, units, dead, seen, left_over)
        grads["b"] = column_sum(residuals[0], alpha)
        if config.pre_bias == "learned":
            grads["b"] -= product(grads["c"][None], units["W"])[0]
        if config.unit_norm:
            G, D = decoder(grads), decoder(units)
            G -= row_sum(G * D)[:, None] * D
        metrics = {
            "error": found[-1][1],
            "mean_activation": mean(code.row_sums) / config.hidden,
            "loss": loss,
        }
        return metrics | {"dead_share": len(dead) / config.hidden}, self._like_params(grads)

    def _revive(
        self, grads: dict[str, Array], units: dict[str, Array], dead: Array, seen: Array, left_over: Array
    ) -> float:
        """Adds the auxiliary loss's gradient to those of the dead units; its value per row."""
        config, own = self.config, chosen(units, dead)
        assert config.aux_k is not None
        assert config.aux_weight is not None
        assert config.loss_scale is not None
        weight = config.aux_weight / config.loss_scale
        code = self._select(seen, min(config.aux_k, len(dead)), own)
        Y = code.decode(decoder(own))
        more = {name: np.empty_like(value) for name, value in own.items()}
        backward(more, own, code, seen, Y + left_over, 2 * weight / count(seen), config.activation)
        for name, value in more.items():
            grads[name][dead] += value
        error: float = rmse(Y, -left_over)
        return float(weight * error * error * seen.shape[1])

    def _count(self, code: Code) -> None:
        """Counts the rows since each unit was last kept (a rectified one: above zero)."""
        kept = np.zeros(self.config.hidden, bool)
        kept[code.index[code.value > 0] if self.config.activation == "relu" else code.index] = True
        self.state["silent"] = np.where(of_any(kept), 0, self.state["silent"] + count(code.start[1:]))

    def _follow_threshold(self, code: Code, falling: bool) -> None:
        """The smallest positive activation kept, averaged once k has come to rest."""
        smallest = least(code.value[code.value > 0])
        if smallest < np.inf:
            last = self.state["threshold"]
            memory = 0 if falling or last[0] < 0 else MEMORY
            self.state["threshold"] = (memory * last + (1 - memory) * smallest).astype(self.dtype)

    def _like_params(self, grads: dict[str, Array]) -> dict[str, Array]:
        """Gradients of units as those of params, in their memory order."""
        return {
            name: grad.T if self.params[name].flags.f_contiguous else np.ascontiguousarray(grad.T)
            for name, grad in grads.items()
        }

    def project(self) -> None:
        """Features of norm 1, if that is asked for."""
        if self.config.unit_norm:
            _to_unit_norm(self.params["W" if self.config.tied else "D"])


def _to_unit_norm(W: Array) -> None:
    """Makes the columns of W (visible, hidden) norm 1, in place; a zero column stays."""
    squares = row_sum(np.square(np.ascontiguousarray(W.T)))
    W /= np.sqrt(np.where(squares > 0, squares, 1))

"""A k-sparse autoencoder that has learned: its codes, its reconstructions, both as layers."""

from typing import Any

import numpy as np

from featlearn.errors import ConfigError
from featlearn.models.settings.k_sparse import ACTIVATIONS, OUTPUTS, KSparseSettings
from featlearn.ops.activations import activate, portable
from featlearn.ops.arrays import product
from featlearn.ops.dense import Dense
from featlearn.ops.graph import Graph, Value, affine
from featlearn.ops.sparse_code import Code, decoder, largest, total_inputs
from featlearn.rows import Array


class KSparseCode(KSparseSettings):
    """The formulas of models/k_sparse.py that a file of it is used by."""

    encode_state = ("threshold",)
    config: KSparseSettings.Config

    @property
    def weights(self) -> tuple[str, ...]:
        return ("W",) if self.config.tied else ("W", "D")

    def shapes(self, n_visible: int) -> dict[str, tuple[int, ...]]:
        hidden = self.config.hidden
        found: dict[str, tuple[int, ...]] = {"W": (n_visible, hidden), "b": (n_visible,), "c": (hidden,)}
        if not self.config.tied:
            found["D"] = (n_visible, hidden)
        return found | ({"mu": (n_visible,)} if self.config.pre_bias == "mean" else {})

    def _units(self) -> dict[str, Array]:
        """W, c, and D where it is not W, a row for each unit."""
        names = ("W", "c") if self.config.tied else ("W", "c", "D")
        return {name: np.ascontiguousarray(self.params[name].T) for name in names}

    def _centred(self, X: Array) -> Array:
        """What the encoder sees of rows X."""
        return X if self.config.pre_bias == "none" else X - self._pre_bias

    @property
    def _pre_bias(self) -> Array:
        return self.params["b" if self.config.pre_bias == "learned" else "mu"]

    @property
    def _kept(self) -> int:
        """The entries of a code that are kept, alpha k."""
        assert self.config.alpha is not None
        return round(min(self.config.alpha * self.config.k, self.config.hidden))

    def _select(self, seen: Array, k: int, units: dict[str, Array]) -> Code:
        """f of the k largest activations of each row."""
        return largest(seen, units["W"], units["c"], k).activated(self.config.activation)

    def encode(self, X: Array) -> Array:
        """Return the alpha k largest activations of each row, or those above the threshold.

        (n, visible) -> (n, hidden)
        """
        config, units = self.config, self._units()
        if config.batch_top_k:
            A = total_inputs(self._centred(X), units["W"], units["c"])
            kept = np.maximum(self.state["threshold"], 0) < A
            return np.where(kept, activate(A, np.zeros(config.hidden, A.dtype), config.activation), 0)
        return self._select(self._centred(X), self._kept, units).dense(config.hidden)

    def encoder_layers(self) -> list[Dense]:
        """One layer that keeps the alpha k largest; the mean that is taken off is in its biases.

        Raises ConfigError for batch_top_k, whose codes keep what exceeds a threshold.
        """
        if self.config.batch_top_k:
            raise ConfigError(
                "a model 'k-sparse' of --batch-top-k cannot be fine-tuned: how many entries its codes keep "
                "depends on a threshold; take one without"
            )
        W, c = np.ascontiguousarray(self.params["W"]), self.params["c"]
        if self.config.pre_bias != "none":
            c = c - product(self._pre_bias[None], W)[0]
        return [Dense(W, c, self.config.activation, self._kept)]

    def decoder_layers(self) -> list[Dense]:
        return [Dense(decoder(self._units()), self.params["b"], self.config.output_units)]

    @classmethod
    def settings_like(cls, encoder: Dense, decoder: Dense) -> dict[str, Any]:
        """Take the other model's units and outputs; of each code k entries stay. Raises ConfigError."""
        if encoder.activation not in ACTIVATIONS or decoder.activation not in OUTPUTS:
            raise ConfigError(
                f"its units are {encoder.activation}, its outputs {decoder.activation}; those of a k-sparse "
                f"model are {', '.join(ACTIVATIONS)}, and {', '.join(OUTPUTS)}"
            )
        found = {
            "hidden": encoder.units,
            "activation": encoder.activation,
            "output_units": decoder.activation,
        }
        return found | ({} if decoder.is_mirror_of(encoder) else {"tied": False})

    def begin_as(self, encoder: Dense, decoder: Dense) -> None:
        """Give back to the biases the mean that is taken off the data."""
        params, c = self.params, encoder.c
        params["b"][...] = decoder.c
        if self.config.pre_bias != "none":
            c = c + product(self._pre_bias[None], np.ascontiguousarray(encoder.W))[0]
        for name, value in {"W": encoder.W, "c": c, "D": decoder.W.T}.items():
            if name in params:
                params[name][...] = value

    def portable(self, g: Graph, X: Value) -> Value:
        config, kind, zero = self.config, self.config.activation, np.zeros((), self.dtype)
        seen = g("Sub", X, self._pre_bias) if config.pre_bias != "none" else X
        A = affine(g, seen, self.params["W"], self.params["c"])
        if config.batch_top_k:
            kept = g("Greater", A, np.maximum(self.state["threshold"], 0))
            return g("Where", kept, portable(g, A, kind), zero)
        values, index = g("TopK", A, np.array([self._kept]))
        return g("ScatterElements", g("Mul", A, zero), index, portable(g, values, kind), axis=1)

    def decode(self, H: Array) -> Array:
        """g(D h + b) of each row, (n, hidden) -> (n, visible)."""
        return activate(product(H, decoder(self._units())), self.params["b"], self.config.output_units)

    def reconstruct(self, X: Array, H: Array | None = None) -> Array:
        """Return each row from its k largest activations: what was trained, not encode's richer code."""
        if self.config.batch_top_k:
            return super().reconstruct(X, H)
        units = self._units()
        A = self._select(self._centred(X), self.config.k, units).decode(decoder(units))
        return activate(A, self.params["b"], self.config.output_units)

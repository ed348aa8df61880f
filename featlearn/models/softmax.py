"""Softmax regression: classes told apart by one linear layer, learned from labelled rows.

    p(k | x) = exp(w_k'x + b_k) / sum_m exp(w_m'x + b_m)
    J = -1/n sum over cases of log p(class | x)

A. Ng et al., UFLDL tutorial, Stanford 2011 (softmax regression). It is network.py without hidden layers; its
filters are the weights of the classes.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from featlearn.models.base.papers import UFLDL_2011
from featlearn.models.network import Network
from featlearn.models.settings.network import Classes, Regularization


class SoftmaxRegression(Network):
    """params: W (visible, classes), b (classes,)."""

    id = "softmax"
    title = "softmax regression"
    papers = (UFLDL_2011,)
    small: ClassVar[dict[str, Any]] = {}

    @dataclass(frozen=True)
    class Config(Regularization, Classes):
        hidden = activations = stays = ()
        hidden_dropout = 0.0
        max_norm = None
        slope = None
        pseudo_labels = False

    @classmethod
    def variants(cls) -> dict[str, Any]:
        made: dict[str, dict[str, Any]] = {
            "plain": {},
            "dropout": {"input_dropout": 0.2},
            "smoothing": {"label_smoothing": 0.1},
        }
        return {name: cls.Config(**options) for name, options in made.items()}

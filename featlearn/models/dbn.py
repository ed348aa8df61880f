"""Deep belief net: a stack of RBMs, each learned from the codes of the one below.

    p(v, h_1, ..., h_n) = p(v | h_1) ... p(h_(n-2) | h_(n-1)) p(h_(n-1), h_n)

The top two layers are an undirected RBM, those below are directed down (G. Hinton, S. Osindero, Y. Teh, A
fast learning algorithm for deep belief nets, Neural Computation 18, 2006). What an RBM learns from are the
means of the hidden units below (G. Hinton, R. Salakhutdinov, Reducing the dimensionality of data with neural
networks, Science 313, 2006).
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from featlearn.models.base import MAX_UNITS
from featlearn.models.base.papers import HINTON_2006, HINTON_SALAKHUTDINOV_2006
from featlearn.models.label_rbm import LabelRBM
from featlearn.models.rbm import RBM
from featlearn.models.stack import HIDDEN, LayerSettings, Stack
from featlearn.settings import setting

USUAL = asdict(RBM.Config())
"""What is as usual is not said to the top with labels, which has defaults of its own."""


class DBN(Stack):
    """The settings are an RBM's, for all layers; those of the visible units are the lowest layer's alone."""

    id = "dbn"
    title = "a deep belief net"
    papers = (HINTON_2006, HINTON_SALAKHUTDINOV_2006)
    small = {"hidden": (5, 3)}  # noqa: RUF012 - declared in Model

    @dataclass(frozen=True)
    class Config(RBM.Config):
        hidden: tuple[int, ...] = setting(  # type: ignore[assignment]
            (500, 500, 2000), HIDDEN, low=1, high=MAX_UNITS
        )
        labels: bool = setting(
            False, "learn the classes of labelled data in the top layer, too, which is a label-rbm then"
        )

    @classmethod
    def layer_settings(cls, config: Any) -> list[LayerSettings]:
        rbm = asdict(config)
        labels = rbm.pop("labels")
        lowest = RBM.Config(**rbm | {"hidden": config.hidden[0]})
        upper = replace(lowest, visible="auto", sigma=1.0, learn_sigma=False)
        layers = [lowest, *(replace(upper, hidden=units) for units in config.hidden[1:])]
        found = [LayerSettings(RBM.id, layer, {}) for layer in layers]
        if labels:
            names = {field.name for field in fields(LabelRBM.Config)}
            said = {name: value for name, value in asdict(layers[-1]).items() if value != USUAL[name]}
            own = {name: value for name, value in said.items() if name in names}
            found[-1] = LayerSettings(LabelRBM.id, LabelRBM.Config(**own), {})
        return found

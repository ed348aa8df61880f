"""Settings of fine-tuning: what a net begins as, and which nets learn few labels.

They import nothing that takes time: help pages are made of them.
"""

from dataclasses import dataclass

from featlearn.jobs.settings import Checked
from featlearn.settings import setting


@dataclass(frozen=True)
class Finetuning(Checked):
    """What a net begins as."""

    random: bool = setting(
        False, "begin at random weights of the same shape, as a control for what was learned", flag=True
    )
    activation: str | None = setting(
        None,
        "hidden units of a net with random weights; one for all layers, or one each (sigmoid,linear)  "
        "[default: the model's]",
        needs="random",
    )
    unlabelled: str | None = setting(
        None,
        "learn from this data set, too, without its classes: each row's likeliest class is its target, "
        "the more weight the longer it has learned",
        metavar="DATASET",
        off="no such rows",
        without="unrolled",
    )
    unrolled: bool = setting(
        False, "fine-tune encoder and decoder to give rows back, which needs no labels", flag=True
    )
    refit: bool = setting(
        False,
        "at the end begin again, with the held-out rows too, for as many epochs as were best",
        flag=True,
    )
    code: str | None = setting(
        None, "units of the code  [default: the model's]", choices=("linear", "sigmoid"), needs="unrolled"
    )
    up_down: bool = setting(
        False,
        "fine-tune a deep belief net with classes in its top by the up-down algorithm instead, so that it "
        "goes on to make rows, too",
        flag=True,
    )
    cd: int = setting(3, "Gibbs steps of the top at each update", low=1, high=255, needs="up_down")


NOT_OF_FEW = ("data_scale", "validation_data")
"""Settings of a training that nets of few labels do not have: rows are divided as the model has learned from
them, and there are none but those of a draw."""


@dataclass(frozen=True)
class FewLabels(Checked):
    """Which nets learn the few labelled rows of each draw."""

    finetune: bool = setting(
        False, "fine-tune each model on the rows of each draw, as featlearn finetune does", flag=True
    )
    random: str | None = setting(
        None,
        "beside it, the same net from random weights, with such hidden units; several nets as sigmoid,relu",
        needs="finetune",
        off="no such net",
        metavar="UNITS",
    )
    pseudo_labels: bool = setting(
        False,
        "these nets learn from all rows of --train, too, without their classes: each row's likeliest class "
        "is its target, the more weight the longer they have learned",
        flag=True,
        needs="finetune",
    )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The hidden units of the nets with random weights."""
        return tuple(dict.fromkeys(self.random.split(","))) if self.random else ()

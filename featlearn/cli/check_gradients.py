"""featlearn check-gradients: are a model's gradients those of its losses?"""

from typing import Any

import click

from featlearn.cli.model_options import ModelCommand
from featlearn.cli.options import (
    Number,
    as_json,
    common,
    option,
    paths,
    quiet,
    seed,
    settings_option_objects,
    threads,
)
from featlearn.cli.report import Results, Words
from featlearn.models import model_ids


class CheckCommand(ModelCommand):
    """Offers a small model unless sizes are given."""

    def offered(self, cls: Any) -> list[Any]:
        return [] if cls is None else list(settings_option_objects(cls.Config, f"Model {cls.id}", cls.small))


@click.command("check-gradients", cls=CheckCommand)
@common(
    paths("file", required=False, metavar="[MODEL.h5]"),
    paths("dataset", required=False, metavar="[DATASET.h5]"),
)
@option("--model", type=click.Choice(model_ids()), help="What to check; --model NAME --help shows more.")
@option(
    "--tolerance", type=Number(0), default=1e-7, metavar="X", help="Exit 1 when a difference exceeds this."
)
@option(
    "--epsilon",
    type=Number(1e-9, 1),
    default=4e-3,
    metavar="X",
    help="Step of the differences; their error is of its sixth power, that of rounding grows as it shrinks.",
)
@option("--problems", type=click.IntRange(1), default=3, metavar="N", help="Random problems for each loss.")
@common(seed, threads, quiet, as_json)
def command(words: Words, results: Results, **options: Any) -> None:
    """Hold a model's gradients against central differences, in float64.

    With --model on small random problems: without options of the model all its variants are checked; with
    any, the one that they describe. With a model file and a data set, its own parameters on 20 of the rows.

    One row a parameter: |gradient - differences| / (|gradient| + |differences|), the worst of the problems,
    over up to 100 elements of it in each; elements at a kink, where there is no derivative, are left out.

    \b
    Examples:
      featlearn check-gradients --model sparse-autoencoder
      featlearn check-gradients --model autoencoder --activation tanh --hidden 7
      featlearn check-gradients model.h5 patches.h5 --epsilon 1e-4
    """
    from featlearn.cli.checking import check

    check(words=words, results=results, options=options, **{key: options.pop(key) for key in OWN})


OWN = ("file", "dataset", "model", "tolerance", "epsilon", "problems", "seed")

"""featlearn check-gradients: are a model's gradients those of its losses?"""

from typing import Any

import click

from featlearn.cli.model_options import ModelCommand
from featlearn.cli.options import as_json, common, option, quiet, seed, threads
from featlearn.cli.report import Results, Words
from featlearn.models import model_ids


@click.command("check-gradients", cls=ModelCommand)
@option("--model", type=click.Choice(model_ids()), required=True, help="What to check; --model NAME --help shows more.")
@option(
    "--tolerance", type=click.FloatRange(0), default=1e-7, metavar="X", help="Exit 1 when a difference exceeds this."
)
@option("--problems", type=click.IntRange(1), default=3, metavar="N", help="Random problems for each loss.")
@common(seed, threads, quiet, as_json)
def command(
    model: str, tolerance: float, problems: int, seed: int, words: Words, results: Results, **options: Any
) -> None:
    """Hold a model's gradients against central differences, in float64, on small random problems.

    One row a parameter: |gradient - differences| / (|gradient| + |differences|), the worst of the problems. Without
    options of the model all its variants are checked; with any, the one that they describe.

    \b
    Examples:
      featlearn check-gradients --model sparse-autoencoder
      featlearn check-gradients --model autoencoder --activation relu --tied
    """
    from featlearn.cli.checking import check

    check(model, tolerance, problems, seed, options, words, results)

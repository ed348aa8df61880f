"""featlearn check-gradients: are a model's gradients those of its losses?"""

from typing import Any

import click
from click.core import ParameterSource

from featlearn.cli.model_options import ModelCommand, model_option
from featlearn.cli.options import (
    as_json,
    collect,
    common,
    paths,
    quiet,
    settings_option_objects,
    settings_options,
    threads,
    typed,
)
from featlearn.cli.output import Messages, Results
from featlearn.jobs.settings import GradientCheck
from featlearn.models import model_class


class CheckCommand(ModelCommand):
    """Offers a small model unless sizes are given."""

    def offered(self, cls: Any) -> list[Any]:
        return [] if cls is None else list(settings_option_objects(cls.Config, f"Model {cls.id}", cls.small))


@click.command("check-gradients", cls=CheckCommand, most_used="model tolerance seed")
@common(
    paths("file", required=False, metavar="[MODEL.h5]"),
    paths("dataset", required=False, metavar="[DATASET.h5]"),
)
@model_option("check")
@settings_options(GradientCheck)
@common(threads, quiet, as_json)
def command(
    file: str | None,
    dataset: str | None,
    model: str | None,
    messages: Messages,
    results: Results,
    **options: Any,
) -> None:
    """Check a model's gradients against finite differences, in float64.

    With --model on small random problems: without options of the model all its variants are checked; with
    any, the one that they describe. With a model file and a data set, its own parameters on 20 of the rows.

    One row per parameter: |gradient - differences| / (|gradient| + |differences|), the worst of the problems,
    over up to 100 elements of it in each; elements at a kink, where there is no derivative, are left out. The
    verdict is of differences of the sixth order; two_sided are the lecture's, (J(w + e) - J(w - e)) / 2e with
    e = --epsilon, whose own error is of the square of e: look at them with 1e-4.

    \b
    Examples:
      featlearn check-gradients --model sparse-autoencoder
      featlearn check-gradients --model autoencoder --activation tanh --hidden 7
      featlearn check-gradients model.h5 patches.h5 --epsilon 1e-4
    """
    from featlearn.jobs.check_gradients import check_gradients

    check = collect(GradientCheck, options)
    source = click.get_current_context().get_parameter_source
    said = any(source(name) is not ParameterSource.DEFAULT for name in options)
    config = collect(model_class(model).Config, options) if model and said else None
    done = check_gradients(
        file, dataset, model=model, config=config, check=check, given=typed(), say=messages.say
    )
    results.table("checks", done.report()["checks"])
    if done.wrong:
        messages.say(f"{done.wrong} of {len(done.checks)} gradients differ by more than {check.tolerance:g}")
        raise click.exceptions.Exit(1)

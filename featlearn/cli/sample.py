"""featlearn sample: what a model's Markov chain comes to."""

from typing import Any

from featlearn.cli.options import (
    collect,
    command_named,
    common,
    force,
    output,
    paths,
    running,
    settings_options,
)
from featlearn.cli.output import Messages, Results, picture_output, show_picture
from featlearn.jobs.settings import Chains


@command_named("sample")
@paths("model")
@settings_options(Chains)
@common(output("Picture to write, .png or .tif; - is stdout."), force, running)
def command(output: str, messages: Messages, results: Results, **options: Any) -> None:
    """Draw samples from a model: the means that its Markov chains come to.

    \b
    Examples:
      featlearn sample rbm.h5 -o fantasies.png
      featlearn sample labelled-dbn.h5 --class all -o digits.png
      featlearn sample rbm.h5 --data test.h5 --count 10 --steps 1000 --every 100 -o chains.png
    """
    from featlearn.jobs.sample import sample

    chains = collect(Chains, options)
    place = picture_output(output, results)
    show_picture(
        sample(output=place, chains=chains, progress=messages.progress, **options), messages, results
    )

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
    typed,
)
from featlearn.cli.output import Messages, Results, picture_output, show_picture
from featlearn.jobs.picture_settings import Printed
from featlearn.jobs.settings import Chains


@command_named("sample", most_used="output count steps data seed")
@paths("model")
@settings_options(Chains)
@common(
    output("Picture to write, .png, .pdf, .svg or .tif; - is stdout."),
    force,
    settings_options(Printed, "Output"),
    running,
)
def command(output: str, messages: Messages, results: Results, **options: Any) -> None:
    """Draw samples from a model: the means that its Markov chains come to.

    \b
    Examples:
      featlearn sample rbm.h5 -o fantasies.png
      featlearn sample labelled-dbn.h5 --class all -o digits.png
      featlearn sample rbm.h5 --data test.h5 --count 10 --steps 1000 --every 100 -o chains.png
    """
    from featlearn.jobs.sample import sample

    chains, printed = collect(Chains, options), collect(Printed, options)
    place = picture_output(output, results)
    done = sample(
        output=place, chains=chains, printed=printed, given=typed(), progress=messages.progress,
        say=messages.say, **options,
    )  # fmt: skip
    show_picture(done, messages, results)

"""featlearn finetune: a net that begins as a model and learns classes."""

from typing import Any

import click

from featlearn import signals
from featlearn.cli.options import (
    collect,
    common,
    force,
    invocation,
    output,
    paths,
    resume,
    running,
    settings_options,
    typed,
)
from featlearn.cli.output import Messages, Results
from featlearn.cli.train_options import FinetuneCommand, show_trained
from featlearn.jobs.finetune_settings import Finetuning
from featlearn.jobs.settings import RunSettings


@click.command("finetune", cls=FinetuneCommand, most_used="output epochs lr activation random seed")
@common(paths("model"), paths("dataset", metavar="LABELLED"))
@common(output("Model file to write."), force, resume)
@settings_options(RunSettings, "Output", leave_out=("seed", "dtype"))
@settings_options(Finetuning, "Beginning")
@common(settings_options(RunSettings, leave_out=("checkpoint_every", "log", "keep_optimizer")), running)
def command(messages: Messages, results: Results, **options: Any) -> None:
    """Put softmax upon the layers of a model, and learn classes by backpropagation through all of them.

    MODEL is a stack, a model such as an RBM, an autoencoder or a k-sparse one, or a net; LABELLED a data set
    with labels of patches of the same shape.

    \b
    Examples:
      featlearn finetune dbn.h5 digits.h5 -o net.h5
      featlearn finetune dbn.h5 digits.h5 -o net.h5 --input-dropout 0.2 --label-smoothing 0.1
      featlearn finetune labelled-dbn.h5 digits.h5 -o both-ways.h5 --up-down
      featlearn finetune dbn.h5 digits.h5 -o control.h5 --random --activation relu
    """
    from featlearn.jobs.finetune import finetune
    from featlearn.jobs.train_settings import TrainConfig
    from featlearn.models.settings.network import HiddenRegularization

    settings: dict[str, Any] = {
        "finetuning": collect(Finetuning, options),
        "regularization": collect(HiddenRegularization, options),
        "training": collect(TrainConfig, options),
        "run": collect(RunSettings, options),
    }
    done = finetune(
        **settings,
        **options,
        given=typed(),
        invocation=invocation(),
        progress=messages.progress,
        say=messages.say,
        should_stop=lambda: signals.noted() is not None,
        should_save=signals.save_asked,
    )
    show_trained(done, messages, results)

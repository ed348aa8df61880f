"""featlearn classify: the classes of a data set, told by a net."""

from typing import Any

from featlearn.cli.options import command_named, common, force, invocation, output, paths, running
from featlearn.cli.output import Messages, Results


@command_named("classify")
@common(paths("model"), paths("dataset"))
@common(output("Predictions to write: .csv, .npz, or a data set (HDF5)."), force, running)
def command(messages: Messages, results: Results, **options: Any) -> None:
    """Predict the class of each row of a data set, with the probabilities of all classes.

    MODEL has learned classes: by finetune, or train --model network, softmax or label-rbm. Of a data set with
    labels the share of wrong rows is printed, and how many rows of each class were put into which.

    \b
    Examples:
      featlearn classify net.h5 test.h5 -o predictions.csv
      featlearn classify net.h5 test.h5 -o predictions.npz --json
    """
    from featlearn.jobs.classify import classify

    done = classify(**options, invocation=invocation(), say=messages.say, progress=messages.progress)
    results.show(done.report())

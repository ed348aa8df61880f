"""featlearn report: what evaluate measures, as one page to share."""

from typing import Any

import click

from featlearn.cli.measures import measured, settings_of
from featlearn.cli.options import common, force, output, running, seed, typed
from featlearn.cli.output import Messages, Results
from featlearn.cli.train_options import EvaluateCommand


@click.command("report", cls=EvaluateCommand, most_used="output train likelihood per_class seed")
@measured
@common(output("Page to write, .html."), force, seed, running)
def command(messages: Messages, results: Results, **options: Any) -> None:
    """Measure models on a data set, and write one page of HTML to share.

    The page holds the models side by side in a table that can be sorted, RMSE against bits per pixel, errors
    of classifiers; and of each model a paragraph for a methods section, its filters, learning curve, code
    values, settings, seed, data, versions and content hash; and the papers to cite, with BibTeX.

    It is one file, which loads nothing from elsewhere. The same models and data make the same bytes.
    What is measured, and its options, are those of featlearn evaluate.

    \b
    Examples:
      featlearn report rbm-l1.h5 patches.h5 -o report.html
      featlearn report none.h5 l1.h5 l2.h5 patches.h5 -o decays.html
      featlearn report a.h5 b.h5 test.h5 --train digits.h5 --per-class 10,100 -o ab.html
    """
    from featlearn.jobs.report import report

    done = report(**settings_of(options), given=typed(), say=messages.say, progress=messages.progress)
    results.show(done.report())

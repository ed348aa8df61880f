"""featlearn info: what is in a file, or how featlearn was built."""

from featlearn.cli.options import command_named, option, paths, running
from featlearn.cli.output import Messages, Results, pick, show_history, show_methods
from featlearn.cli.parameter_types import Choice


@command_named("info", most_used="get history")
@paths("file", required=False)
@option(
    "--verify",
    is_flag=True,
    needs="file",
    help="Hold a data set against its checksum too; a model always is.",
)
@option("--get", metavar="KEY", help="Print this value alone, e.g. config.hidden.", without="history")
@option(
    "--history",
    type=Choice(["csv", "json"]),
    needs="file",
    help="Print a model's learning curve alone, one line or object per epoch.",
)
@option(
    "--methods",
    is_flag=True,
    needs="file",
    without="history",
    help="Print a model's paragraph for a methods section alone.",
)
@running
def command(
    file: str | None,
    verify: bool,
    get: str | None,
    history: str | None,
    methods: bool,
    messages: Messages,
    results: Results,
) -> None:
    """Show what is in a data set or a model and where it came from; without FILE, how featlearn was built.

    \b
    Examples:
      featlearn info rbm-l1.h5
      featlearn info rbm-l1.h5 --get config.hidden
      featlearn info rbm-l1.h5 --history csv
      featlearn info rbm-l1.h5 --methods
    """
    from featlearn.jobs.info import ModelInfo, build, info

    if history is not None and file is not None:
        return show_history(history, file, results)
    if methods and file is not None:
        return show_methods(file, get, results)
    found = build() if file is None else info(file, verify=verify)
    if isinstance(found, ModelInfo) and not results.as_json:
        found = found.in_words()
    values = found.report()
    if get is None or results.as_json:
        return results.show(values if get is None else {get: pick(values, get)})
    results.value(pick(values, get))

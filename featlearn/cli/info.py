"""featlearn info: what is in a file, or how featlearn was built."""

from difflib import SequenceMatcher
from typing import Any

import click

from featlearn.cli.options import command_named, option, paths, running
from featlearn.cli.output import Messages, Results, flat, show_history
from featlearn.errors import ConfigError, show


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
    type=click.Choice(["csv", "json"]),
    needs="file",
    help="Print a model's learning curve alone, one line or object per epoch.",
)
@running
def command(
    file: str | None,
    verify: bool,
    get: str | None,
    history: str | None,
    messages: Messages,
    results: Results,
) -> None:
    """Show what is in a data set or a model and where it came from; without FILE, how featlearn was built.

    \b
    Examples:
      featlearn info rbm-l1.h5
      featlearn info rbm-l1.h5 --get config.hidden
      featlearn info rbm-l1.h5 --history csv
    """
    from featlearn.jobs.info import ModelInfo, build, info

    if history is not None and file is not None:
        return show_history(history, file, results)
    found = build() if file is None else info(file, verify=verify)
    if isinstance(found, ModelInfo) and not results.as_json:
        found = found.in_words()
    values = found.report()
    if get is None or results.as_json:
        return results.show(values if get is None else {get: _pick(values, get)})
    results.value(_pick(values, get))


def _pick(values: dict[str, Any], key: str) -> Any:
    """The value at a dotted key. Raises ConfigError."""
    found: Any = values
    for part in key.split("."):
        if isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        elif isinstance(found, dict) and part in found:
            found = found[part]
        else:
            near = ", ".join(map(show, _nearest(key, list(flat(values)))))
            raise ConfigError(
                f"--get {show(key)}: not there; the nearest are {near}; without --get all are printed"
            )
    return found


def _nearest(key: str, known: list[str]) -> list[str]:
    """The three known keys that are most alike, as a whole or in their last part."""

    def likeness(other: str) -> float:
        return max(SequenceMatcher(None, key, part).ratio() for part in (other, other.rpartition(".")[2]))

    return sorted(known, key=likeness, reverse=True)[:3]

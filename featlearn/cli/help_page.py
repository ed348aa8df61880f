"""The help page of a command: examples and the options most used first, the others behind them by group."""

import inspect
from typing import Any

import click

MOST_USED, OTHERS = "Most used", "Other options"
WIDEST = 110
"""Columns of a page, where the terminal has them."""


class HelpPage(click.Command):
    """A command whose page begins with its examples.

    `most_used` names the parameters that are listed first, in that order. The other options follow by their
    groups: the model's own, those of the training and of the command as they were declared, the output's.
    """

    def __init__(self, *args: Any, most_used: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.most_used = most_used.split()

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the command does, its examples, and what else is to say."""
        text, _, examples = inspect.cleandoc(self.help or "").partition("\b\nExamples:\n")
        first, _, more = text.strip().partition("\n\n")
        for words in (first, f"\b\nExamples:\n{examples}" if examples else "", more):
            if words:
                formatter.write_paragraph()
                with formatter.indentation():
                    formatter.write_text(words)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write all options by group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in sorted(self.get_params(ctx), key=self._rank):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                groups.setdefault(self._group(param), []).append(record)
        for name in sorted(groups, key=_place):
            with formatter.section(name):
                formatter.write_dl(groups[name])

    def _rank(self, param: click.Parameter) -> int:
        return self.most_used.index(param.name) if param.name in self.most_used else len(self.most_used)

    def _group(self, param: click.Parameter) -> str:
        return MOST_USED if param.name in self.most_used else getattr(param, "group", OTHERS)


def _place(group: str) -> int:
    if group.startswith("Model "):
        return 1
    return {MOST_USED: 0, "Output": 3, OTHERS: 4}.get(group, 2)

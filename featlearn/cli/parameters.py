"""Options and arguments, as help pages and messages name them."""

import os
import re
from typing import Any

import click

from featlearn.cli.help_page import OTHERS
from featlearn.cli.parameter_types import Real, Whole

METAVARS = {
    "Whole": "N",
    "CountOrShare": "N|X%",
    "Real": "X",
}
CHOICE = "CHOICE"
LONG_LIST = 22  # letters of choices, beyond which they stand in the help


class Option(click.Option):
    """An option that belongs to a group of the help page.

    It does nothing without the other parameters that it `needs`, nor beside that which it goes `without`;
    both are written as those of a setting.
    """

    def __init__(
        self, *args: Any, group: str = OTHERS, needs: str = "", without: str | None = None, **kwargs: Any
    ) -> None:
        kwargs.setdefault("show_default", True)
        super().__init__(*args, **kwargs)
        self.group = group
        self.needs = needs
        self.without = without
        if self.metavar is None:
            self.metavar = METAVARS.get(type(self.type).__name__)
            if isinstance(self.type, click.Choice) and len("|".join(self.type.choices)) > LONG_LIST:
                self.metavar = CHOICE

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Its names, unquoted, as in our own messages."""
        return " / ".join(self.opts)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Say the choices in words where neither the metavar nor the help does."""
        record = super().get_help_record(ctx)
        if record is None or self.metavar not in (CHOICE, "NAME") or not isinstance(self.type, click.Choice):
            return record
        if all(
            re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", self.help or "") for one in self.type.choices
        ):
            return record
        help, bracket, extra = record[1].partition("  [")
        return record[0], f"{help} One of {', '.join(self.type.choices)}.{bracket}{extra}"

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Defaults that are said in words without the brackets of Click; switches are on or off."""
        extra = super().get_help_extra(ctx)
        if isinstance(self.type, Whole | Real) and self.type.min is None and self.type.max is None:
            del extra["range"]
        if isinstance(self.show_default, str):
            extra["default"] = self.show_default
        elif self.is_bool_flag and self.secondary_opts:
            extra["default"] = "on" if self.default else "off"
        return extra

    def variable(self, ctx: click.Context) -> str:
        """The environment variable that sets it: by the option's own name, FEATLEARN_INFO_JSON."""
        name = max(self.opts, key=len).lstrip("-").replace("-", "_").upper()
        return f"{ctx.auto_envvar_prefix}_{name}"

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        return os.environ.get(self.variable(ctx)) or None


class Argument(click.Argument):
    """A positional argument, which messages name without quotes."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        return self.human_readable_name.rstrip(".")

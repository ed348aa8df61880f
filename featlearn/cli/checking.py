"""The table of a check of gradients, and its verdict."""

import click

from featlearn.cli.options import collect
from featlearn.cli.report import Results, Words
from featlearn.models import model_class
from featlearn.training.gradcheck import check_gradients


def check(
    model: str, tolerance: float, problems: int, seed: int, options: dict[str, object], words: Words, results: Results
) -> None:
    """Print it; exit 1 when a difference exceeds `tolerance`. Raises ConfigError."""
    ctx, cls = click.get_current_context(), model_class(model)
    given = [name for name in options if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT]
    checks = check_gradients(cls, collect(cls.Config, options) if given else None, problems, seed)
    rows = [
        {key: value for key, value in vars(one).items() if key != "variant" or not given}
        | {"verdict": "ok" if one.difference <= tolerance else "WRONG"}
        for one in checks
    ]
    results.table("checks", rows)
    wrong = sum(not one.difference <= tolerance for one in checks)
    if wrong:
        words.say(f"{wrong} of {len(checks)} gradients differ by more than {tolerance:g}")
        raise click.exceptions.Exit(1)

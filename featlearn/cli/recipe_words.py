"""What featlearn recipe prints."""

from collections.abc import Sequence
from typing import Any

import click

from featlearn.cli.output import Messages, Results, shell_quoted
from featlearn.errors import printable


def listed(results: Results, describe: Any) -> None:
    """Print which recipes come with featlearn."""
    from featlearn.jobs.recipe_file import names, read_recipe

    recipes = [read_recipe(name, describe) for name in names()]
    rows = [
        {"name": one.name, "minutes": one.minutes, "data": one.needs or "none", "title": one.title}
        for one in recipes
    ]
    results.table("recipes", rows)


def shown(recipe: Any, places: Sequence[str], results: Results) -> None:
    """Print a recipe: its commands, to be copied and pasted, and all else as comments."""
    from featlearn.jobs.recipe import expected
    from featlearn.jobs.recipe_data import find_data, unfound, with_paths

    paths = find_data(recipe, places) if places else unfound(recipe)
    commands = {step.name: ["featlearn", *with_paths(step.words, paths)] for step in recipe.steps}
    figures = [
        {"figure": one.name, "published": one.published, "expected": expected(one), "source": one.source}
        for one in recipe.figures
    ]
    if results.as_json:
        values = {"recipe": recipe.name, "title": recipe.title, "minutes": recipe.minutes, "data": paths}
        return results.show(values | {"sources": recipe.sources, "commands": commands, "figures": figures})
    said = [recipe.title, recipe.about, *(f"Source: {source}" for source in recipe.sources)]
    said.append(f"Minutes, about: {recipe.minutes:g}. Data: {recipe.needs or 'none'}.")
    lines = [f"# {text}" for text in said if text]
    for step, words in commands.items():
        lines += ["", f"# {step}", shell_quoted(words)]
    lines.append("")
    for one in figures:
        published = "" if one["published"] is None else f", published {one['published']}"
        source = f" ({one['source']})" if one["source"] else ""
        lines.append(f"# {one['figure']}: {one['expected']}{published}{source}")
    for line in lines:
        results.value(line)


def told(done: Any, messages: Messages, results: Results) -> None:
    """Print the figures of a recipe that was made; exit code 1 where one is out of its range."""
    from featlearn.jobs.recipe_file import REPRODUCED

    if results.as_json:
        results.show(done.report())
    else:
        rows = [
            {key: one[key] for key in ("figure", "published", "expected", "here")}
            | {"published": None if one["published"] is None else str(one["published"])}
            | {"": "" if one["verdict"] == REPRODUCED else one["verdict"]}
            for one in done.figures
        ]
        results.rows(rows)
    for note in done.notes:
        messages.say(f"note: {note}")
    if done.page is not None:
        messages.say(f"report: {printable(done.page)}")
    if done.missed:
        messages.say(f"out of range: {'; '.join(done.missed)}")
        raise click.exceptions.Exit(1)

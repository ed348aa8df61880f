"""The figures of a recipe at the top of the page of HTML that its last step has written."""

from collections.abc import Mapping, Sequence
from typing import Any

from featlearn.jobs.recipe_file import OUT, Recipe
from featlearn.pictures import page

CAPTION = "Published figures, the range that counts as reproduced, and what was found here; buttons sort."


def with_figures(
    made: bytes, recipe: Recipe, figures: Sequence[Mapping[str, Any]], notes: Sequence[str]
) -> bytes:
    """Return the page with what `run_recipe` found in front, in place of what it held of an earlier run."""
    return page.with_front(
        made,
        f"Recipe {recipe.name}: {recipe.title}",
        page.paragraph(recipe.about) if recipe.about else "",
        _table(figures) if figures else "",
        page.part("Notes", page.items(notes) if notes else ""),
        page.part("Sources", page.items(recipe.sources) if recipe.sources else ""),
    )


def _table(figures: Sequence[Mapping[str, Any]]) -> str:
    """Return the figures as a table; without a column that all of them leave empty."""
    rows = [
        {key: one.get(key) for key in ("figure", "published", "expected", "here")}
        | {"verdict": page.Alarm(OUT) if one["verdict"] == OUT else one["verdict"]}
        | {"source": one.get("source")}
        for one in figures
    ]
    columns = [key for key in rows[0] if any(row[key] is not None for row in rows)]
    return page.table(CAPTION, columns, [[row[key] for key in columns] for row in rows])

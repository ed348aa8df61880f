"""A model file measured on a data set file."""

from typing import Any

from featlearn.analysis.evaluate import evaluate
from featlearn.cli.report import Words
from featlearn.cli.store import load_model, load_rows


def evaluate_model(path: str, dataset: str, words: Words) -> dict[str, Any]:
    """One row of the table. Raises DataError."""
    learned = load_model(path)
    rows, _, preprocess = load_rows(dataset, like=learned)
    if not learned.file.progress.get("finished", True):
        words.say(f"warning: {path}: its training is not finished; featlearn train --resume goes on with it")
    measures = evaluate(learned.model, rows, learned.shape, preprocess)
    for warning in measures.pop("warnings"):
        words.say(f"warning: {path}: {warning}")
    return {"model": path, **measures}

"""What to cite for model files."""

from collections.abc import Iterable

from featlearn.files.model import read_model
from featlearn.jobs.methods import papers
from featlearn.models.base import Paper


def cite(models: Iterable[str]) -> list[Paper]:
    """Return the papers that models, and the layers of stacks, are of, each once. Raises DataError."""
    return papers(map(read_model, models))

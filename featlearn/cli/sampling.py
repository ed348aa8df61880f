"""Markov chains of a model file, drawn as a picture."""

from dataclasses import dataclass

import numpy as np

from featlearn.analysis.fantasies import binary_rows, fantasies, noise
from featlearn.cli.picture import PictureFile, PictureOutput, sheet_of_rows, signed
from featlearn.cli.report import Results, Words
from featlearn.cli.store import Learned, load_model, load_rows
from featlearn.errors import ConfigError, show
from featlearn.models.base import HasChain
from featlearn.pictures.mosaic import FORMATS, picture_bytes
from featlearn.rows import Array


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    model: str
    output: str
    force: bool
    count: int
    steps: int
    every: int | None
    data: str | None
    seed: int


def sample(request: Request, words: Words, results: Results) -> None:
    """Run the chains, write the picture and report. Raises DataError, ConfigError."""
    inputs = [name for name in (request.model, request.data) if name]
    file = PictureFile("-o", request.output, request.force, inputs, FORMATS)
    output = PictureOutput(file, words, results)
    if request.every is not None and request.every > request.steps:
        raise ConfigError(
            f"--every {request.every}: more than the {request.steps} --steps; nothing would be drawn"
        )
    learned = load_model(request.model)
    V = _start(request, learned)
    with words.progress(request.steps, "steps") as progress:
        every = request.every or request.steps
        found = fantasies(learned.model, V, request.steps, every, request.seed, progress.advance)
    if not np.isfinite(found).all():
        raise ConfigError(f"{show(request.model)}: its chains ran away to infinity; the model has diverged")
    report = {"chains": len(V), "steps": request.steps, "times": len(found)}
    if request.every is not None and request.data is not None:
        found = np.concatenate([V[None], found])
    columns = None if request.every is None else len(V)
    text = signed(
        {"Description": "samples of the model's Markov chain", "Content": learned.file.content_hash}
    )
    rows = found.reshape(-1, learned.preprocess.n_visible)
    picture = sheet_of_rows(rows, learned.preprocess, learned.shape, columns)
    output.write(picture_bytes(picture, file.format, text), report)


def _start(request: Request, learned: Learned) -> Array:
    """The rows that the chains begin at."""
    binary = isinstance(learned.model, HasChain) and learned.model.bernoulli
    if request.data is None:
        return noise(request.count, learned.preprocess.n_visible, learned.model.dtype, request.seed, binary)
    rows, _, _ = load_rows(request.data, like=learned)
    X = rows.block(0, min(request.count, len(rows)))
    return binary_rows(X, request.seed) if binary else X

"""Markov chains of a model file, drawn as a picture."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from featlearn.analysis.fantasies import begin, fantasies, shown
from featlearn.errors import ConfigError, show
from featlearn.jobs.callbacks import Progress, Say, log, no_progress
from featlearn.jobs.classes import held_classes
from featlearn.jobs.picture_settings import Printed
from featlearn.jobs.pictures import PictureFile, Stream, png_text, sheet_of_rows
from featlearn.jobs.results import Result, optional
from featlearn.jobs.settings import Chains
from featlearn.jobs.store import LoadedModel, load_model, load_rows
from featlearn.pictures.sheet import sheet_bytes
from featlearn.rows import Array


@dataclass(frozen=True)
class Sampled(Result):
    """A picture of chains."""

    output: str | None = optional()
    chains: int = 0
    steps: int = 0
    times: int = 0
    """How often the chains were drawn."""


def sample(
    model: str,
    output: str | Stream,
    *,
    chains: Chains | None = None,
    printed: Printed | None = None,
    force: bool = False,
    given: Collection[str] = (),
    progress: Progress = no_progress,
    say: Say = log,
) -> Sampled:
    """Run a model's Markov chains and draw what they come to; a stream as output gets a PNG.

    `given` settings are refused where they do nothing. Raises DataError, ConfigError.
    """
    chains = chains or Chains()
    inputs = [name for name in (model, chains.data) if name]
    file = PictureFile("-o", output, force, inputs)
    look = file.look(printed or Printed(), given)
    if chains.every is not None and chains.every > chains.steps:
        raise ConfigError(
            f"--every {chains.every}: more than the {chains.steps} --steps; nothing would be drawn"
        )
    learned = load_model(model)
    V, T = _start(chains, learned, say)
    with progress(chains.steps, "steps") as bar:
        every = chains.every or chains.steps
        found = fantasies(learned.model, V, chains.steps, every, chains.seed, bar.advance, T)
    if not np.isfinite(found).all():
        raise ConfigError(f"{show(model)}: its chains ran away to infinity; the model has diverged")
    result = Sampled(file.name, len(V), chains.steps, len(found))
    if chains.every is not None and chains.data is not None:
        found = np.concatenate([shown(learned.model, V)[None], found])
    columns = None if chains.every is None else len(V)
    if T is not None and chains.several and chains.every is None:
        columns = len(T) // len(chains.classes or T[0])
    text = png_text(
        {"Description": "samples of the model's Markov chain", "Content": learned.file.content_hash}
    )
    rows = found.reshape(-1, learned.preprocess.n_visible)
    words = _captions(chains, learned, V, T, len(found)) if chains.labels else ()
    sheet = sheet_of_rows(rows, learned.preprocess, learned.shape, columns=columns, captions=words)
    file.write(sheet_bytes(sheet, look, file.format, text))
    return result


def _captions(chains: Chains, learned: LoadedModel, V: Array, T: Array | None, times: int) -> list[str]:
    """Return what each sample is: the class or the number of its chain, and its step if there are several."""
    names = [str(i) for i in range(len(V))]
    if T is not None:
        classes = [str(name) for name in learned.file.classes or range(T.shape[1])]
        names = [classes[i] for i in T.argmax(axis=1)]
    if chains.every is None:
        return names
    first = 0 if chains.data is not None else 1
    steps = [chains.every * (i + first) for i in range(times)]
    return [f"{name}, {step}" for step in steps for name in names]


def _start(chains: Chains, learned: LoadedModel, say: Say) -> tuple[Array, Array | None]:
    """Return the states that the chains begin at, and the classes that they are held to."""
    X, each = None, chains.each
    if chains.data is not None:
        rows, _, _ = load_rows(chains.data, like=learned, say=say)
        X = rows.block(0, min(each, len(rows)))
        each = len(X)
    T = None if chains.class_ is None else held_classes(learned, chains.classes, each)
    return begin(learned.model, X, each if T is None else len(T), chains.seed), T

"""A model in memory: made by `fit` or `load_model`, used on arrays."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from featlearn.analysis.fantasies import begin, fantasies
from featlearn.errors import ConfigError, DataError
from featlearn.files.model import write_model
from featlearn.jobs import advice
from featlearn.jobs.arrays import Patches, array_of, image_shape, patches_like
from featlearn.jobs.callbacks import Progress, log, no_progress
from featlearn.jobs.classes import held_classes
from featlearn.jobs.dataset import ImageData
from featlearn.jobs.pictures import filters_inside
from featlearn.jobs.settings import QUADRANTS, Chains, Sliding
from featlearn.jobs.store import LoadedModel, check_hdf5_name, shape_words
from featlearn.jobs.store import load_model as load_file
from featlearn.models.base import IsClassifier
from featlearn.ops.softmax import predicted
from featlearn.patches.normalize import PatchStats
from featlearn.patches.rows import make_rows
from featlearn.patches.sliding import Slide, codes_of_images
from featlearn.pictures.mosaic import mosaic, picture_bytes
from featlearn.rows import Array, edges


class FeatureModel:
    """A trained model with the preprocessing of its data.

    Images are (n, height, width[, channels]) or (n, pixels), of uint8, uint16, truth values or floats; as in
    a file, 8 and 16 bits mean 0..1. They go through the stored preprocessing; `preprocessed=True` says that
    rows (n, visible) have gone through it, and asks for rows in return.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._model = loaded.model

    @property
    def id(self) -> str:
        """The model's name, such as "rbm"."""
        return self._loaded.file.model

    @property
    def config(self) -> Any:
        """The model's settings, all of them resolved: a frozen dataclass; of a stack those of each layer."""
        return self._model.config

    @property
    def training(self) -> Mapping[str, Any]:
        """The settings of its training, all of them resolved."""
        return dict(self._loaded.file.training)

    @property
    def params(self) -> Mapping[str, Array]:
        """The parameters by the letters of the paper, to be read; W is (visible, hidden)."""
        return {name: _read_only(value) for name, value in self._model.params.items()}

    @property
    def history(self) -> Mapping[str, Array]:
        """The columns of the learning curve, one value an epoch."""
        return {name: _read_only(np.asarray(column)) for name, column in self._loaded.file.history.items()}

    @property
    def measured(self) -> Mapping[str, float]:
        """What training measured of the finished model."""
        return dict(self._loaded.file.progress.get("run", {}).get("measured", {}))

    @property
    def finished(self) -> bool:
        """Whether its training came to its end."""
        return bool(self._loaded.file.progress.get("finished", True))

    @property
    def advice(self) -> list[dict[str, str]]:
        """What is wrong with it, as key, text and options."""
        file = self._loaded.file
        last = {key: float(column[-1]) for key, column in file.history.items() if len(column)}
        whitened = self._loaded.preprocess.spec.whiten != "none"
        return advice.advise(self._model, file.training, {**last, **self.measured}, whitened)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """How the model came to be."""
        return dict(self._loaded.file.provenance)

    @property
    def content_hash(self) -> str:
        """SHA-256 of what was learned: equal for equal results."""
        return self._loaded.file.content_hash

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images that it has learned from."""
        return self._loaded.shape

    @property
    def n_visible(self) -> int:
        """How many values a preprocessed row has."""
        return self._loaded.preprocess.n_visible

    @cached_property
    def n_hidden(self) -> int:
        """How many values a code has."""
        return self._loaded.units

    @property
    def filters(self) -> Array:
        """(k, height, width, channels): what each hidden unit looks for, in pixels."""
        return self._loaded.preprocess.to_pixels(self._model.filters()).reshape(-1, *self.shape)

    def rows(self, X: Any) -> Array:
        """Return images as the rows (n, n_visible) that the model sees: preprocessed. Raises DataError."""
        return np.concatenate([rows for rows, _ in self._blocks(X, False)])

    def encode(self, X: Any, *, preprocessed: bool = False) -> Array:
        """Return the codes (n, n_hidden) of images. Raises DataError."""
        return np.concatenate([self._model.encode(rows) for rows, _ in self._blocks(X, preprocessed)])

    @property
    def classes(self) -> list[str]:
        """The names of the classes that it tells; none of a model of features."""
        return list(self._loaded.file.classes or ())

    def probabilities(self, X: Any, *, preprocessed: bool = False) -> Array:
        """Return the probability of each class (n, classes) for images. Raises ConfigError, DataError."""
        model = self._model
        if not isinstance(model, IsClassifier):
            raise ConfigError(f"a {self.id} model knows no classes; featlearn.finetune makes a net of it")
        return np.concatenate([model.probabilities(rows) for rows, _ in self._blocks(X, preprocessed)])

    def classify(self, X: Any, *, preprocessed: bool = False) -> list[str]:
        """Return the name of the likeliest class of each image. Raises ConfigError, DataError."""
        found = predicted(self.probabilities(X, preprocessed=preprocessed))
        return [self.classes[i] for i in found]

    def encode_images(
        self, X: Any, *, stride: int = 1, pool: tuple[int, int] | str = QUADRANTS, pooling: str = "sum"
    ) -> Array:
        """Return the codes of larger images: the model slides over them with a stride.

        X is (n, height, width[, channels]). With a grid `pool` of (rows, columns) the codes are pooled over
        each of its cells by "sum", "mean" or "max": (n, rows, columns, n_hidden); with "none" they are those
        of all places. Raises ConfigError, DataError.
        """
        how = Sliding(stride, pool, pooling)
        slide = Slide(self.shape, how.stride, how.grid, how.pooling)
        values = X.pixels if isinstance(X, ImageData) else array_of(X)
        shape = image_shape(values)
        if self.shape[0] == 1 or not slide.fits(shape):
            raise DataError(f"X: images of {shape_words(shape)}; {slide.wants}, and {self._trained}")
        patches = Patches(values)
        step = slide.together(*shape[:2])
        stacks = (patches[i : i + step].reshape(-1, *shape) for i in range(0, len(patches), step))
        model, preprocess = self._model, self._loaded.preprocess
        return np.concatenate(list(codes_of_images(stacks, slide, model, preprocess, model.dtype, "X")))

    def decode(self, H: Any, *, preprocessed: bool = False) -> Array:
        """Return the images (n, height, width, channels) of codes (n, n_hidden); with `preprocessed`, rows.

        The mean and contrast of each image are in no code: they are taken as 0 and 1. Raises DataError.
        """
        codes = array_of(H, "H")
        if codes.shape[1:] != (self.n_hidden,):
            raise DataError(f"H: an array {codes.shape}, wanted codes (n, {self.n_hidden})")
        made = [self._model.decode(part) for part in self._finite_blocks(codes, "H")]
        return np.concatenate([self._out(rows, None, preprocessed) for rows in made])

    def reconstruct(self, X: Any, *, preprocessed: bool = False) -> Array:
        """Return reconstructions, (n, height, width, channels) in 0..1.

        With `preprocessed` they are of rows.

        Raises DataError.
        """
        return np.concatenate(
            [
                self._out(self._model.reconstruct(rows), stats, preprocessed)
                for rows, stats in self._blocks(X, preprocessed)
            ]
        )

    def sample(
        self,
        count: int = 100,
        steps: int = 1000,
        *,
        data: Any = None,
        classes: Sequence[str] | None = None,
        seed: int = 0,
        preprocessed: bool = False,
        progress: Progress = no_progress,
    ) -> Array:
        """Return the means that Markov chains come to, as images (count, height, width, channels) or rows.

        They begin at noise, or at the first images of `data`; with `classes` there are `count` of each, held
        to it. Raises ConfigError for a model without such chains, DataError.
        """
        chains = Chains(count=count, steps=steps, seed=seed)
        X, each = None, chains.each
        if data is not None:
            X = np.concatenate([rows for rows, _ in self._blocks(data, preprocessed, each)])
            each = len(X)
        T = None if classes is None else held_classes(self._loaded, classes, each)
        V = begin(self._model, X, each if T is None else len(T), chains.seed)
        with progress(chains.steps, "steps") as bar:
            found = fantasies(self._model, V, chains.steps, chains.steps, chains.seed, bar.advance, T)[-1]
        if not np.isfinite(found).all():
            raise ConfigError("sample: the chains ran away to infinity; the model has diverged")
        return self._out(found, None, preprocessed)

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write it as a model file, which every command takes. Raises DataError, ConfigError."""
        check_hdf5_name(os.fspath(path))
        file = self._loaded.file
        write_model(os.fspath(path), file, force, sheet=filters_inside(self._model, file))

    def __reduce__(self) -> tuple[Callable[[bytes], "FeatureModel"], tuple[bytes]]:
        """Pickle it as the bytes of its file, which are checked when they are read."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.h5")
            self.save(str(path))
            return _from_bytes, (path.read_bytes(),)

    def __repr__(self) -> str:
        return f"<featlearn model {self.id}: {self.n_hidden} units, images {shape_words(self.shape)}>"

    def _repr_png_(self) -> bytes:
        """Draw the filters, for a notebook."""
        return picture_bytes(mosaic(self.filters), "PNG", {"Description": repr(self)})

    @property
    def _trained(self) -> str:
        return f"the model was trained on {shape_words(self.shape)}"

    def _finite_blocks(self, values: Array, name: str) -> Iterator[Array]:
        """Yield rows by blocks, in the model's dtype. Raises DataError where they are not finite in it."""
        for start, stop in edges(len(values)):
            with np.errstate(over="ignore"):
                part = np.ascontiguousarray(values[start:stop], self._model.dtype)
            if not np.isfinite(part).all():
                raise DataError(f"{name}: holds NaN or infinity")
            yield part

    def _blocks(
        self, X: Any, preprocessed: bool, most: int | None = None
    ) -> Iterator[tuple[Array, PatchStats | None]]:
        """Yield preprocessed rows by blocks, at `most` so many, with what was taken from each image."""
        if preprocessed:
            rows = array_of(X)
            if rows.shape[1:] != (self.n_visible,) or rows.dtype.kind != "f":
                raise DataError(
                    f"X: an array {rows.shape} of {rows.dtype}; preprocessed rows are floats (n, "
                    f"{self.n_visible})"
                )
            yield from ((part, None) for part in self._finite_blocks(rows[:most], "X"))
            return
        if isinstance(X, ImageData):
            X.refuse_unlike(self._loaded)
        patches = X.raw if isinstance(X, ImageData) else patches_like(X, self.shape, self._trained)
        preprocess, dtype, far = self._loaded.preprocess, self._model.dtype, ""
        for start, stop in edges(len(patches) if most is None else min(most, len(patches))):
            part = patches[start:stop]
            made = make_rows(part, preprocess, dtype, "X", np.arange(start, stop))
            if not far and part.dtype.kind == "f":
                far = preprocess.far_pixels(part)
                if far:
                    log(f"warning: X: values {far}; give pixels as uint8, or floats in the units of these")
            yield made

    def _out(self, rows: Array, stats: PatchStats | None, preprocessed: bool) -> Array:
        """Rows as they are, or as images in 0..1."""
        if preprocessed:
            return rows
        return self._loaded.preprocess.invert(rows, stats).reshape(-1, *self.shape)


def load_model(path: str | os.PathLike[str]) -> FeatureModel:
    """Read a model file. Raises DataError."""
    return FeatureModel(load_file(os.fspath(path)))


def _from_bytes(file: bytes) -> FeatureModel:
    """Make a model of the bytes of its file. Raises DataError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.h5")
        path.write_bytes(file)
        return FeatureModel(replace(load_file(str(path)), path=""))


def _read_only(values: Array) -> Array:
    view = values.view()
    view.flags.writeable = False
    return view

"""Every model as an estimator of scikit-learn: RBM, KSparse, Network, by the names of their classes.

    from featlearn.sklearn import RBM, Network
    codes = RBM(n_components=144, epochs=10, random_state=0).fit_transform(X)
    told = Network(hidden=(100,), random_state=0).fit(X, y).predict(X)

They are made of the models' settings when they are first asked for, so a new model has its estimator at once.
"""

import functools
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import Field, fields
from typing import Any, ClassVar, Self

import numpy as np

try:
    from sklearn.base import (
        BaseEstimator,
        ClassifierMixin,
        ClassNamePrefixFeaturesOutMixin,
        TransformerMixin,
    )
    from sklearn.utils import check_array, check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(f'featlearn.sklearn: {error}; pip install "featlearn[sklearn]"') from error

from featlearn import api
from featlearn.errors import FeatlearnError
from featlearn.jobs.callbacks import log
from featlearn.jobs.extract_settings import PreprocessSpec
from featlearn.jobs.model import FeatureModel
from featlearn.jobs.resources import limits
from featlearn.jobs.settings import RunSettings
from featlearn.jobs.train_settings import TrainConfig, idle_settings
from featlearn.models import model_class, model_ids
from featlearn.models.base import Model
from featlearn.rows import Array
from featlearn.settings import SEEDS, from_dict
from featlearn.threads import default_threads

FLOATS = (np.float64, np.float32)
BEGUN = ("untied-dbn",)
"""Models that learn nothing to speak of unless they begin at another one: featlearn.finetune makes them."""
RUN = ("dtype", "seed")
"""The settings of a run that change what is learned."""


class Estimator(BaseEstimator):  # type: ignore[misc]
    """Base of the estimators: the conventions of scikit-learn around featlearn.fit.

    Rows X (n, n_features) are learned from as they are, in the precision `dtype`, unless a preprocessing is
    named. Other numbers than floats are taken for what they are, too, not for pixels. What the model refuses
    is a ValueError in its words, and sentences for a person go to the logger "featlearn".
    """

    _id: ClassVar[str]
    _names: ClassVar[dict[str, str]] = {"seed": "random_state"}
    """Settings that have another name in scikit-learn."""
    _defaults: ClassVar[dict[str, Any]]
    """By the names of the settings."""

    model_: FeatureModel
    """The model that was learned, with its advice, history and save()."""
    n_iter_: int
    """Epochs of the training."""
    n_features_in_: int

    def _fit(self, rows: Array, labels: Array | None = None) -> Self:
        said = {name: getattr(self, self._names.get(name, name)) for name in self._defaults}
        given = {name: value for name, value in said.items() if value != self._defaults[name]}
        if not isinstance(self.random_state, int | np.integer):
            given["seed"] = check_random_state(self.random_state).randint(SEEDS, dtype=np.int64)
        with self._at_work():
            say = lambda text: log(self._in_words(text))  # noqa: E731 - too long for its place
            self.model_ = api.fit(self._id, rows, labels, say=say, **given)
        self.n_iter_ = int(self.model_.history["epoch"][-1])
        return self

    def _rows(self, X: Any) -> Array:
        check_is_fitted(self)
        rows: Array = validate_data(self, X, reset=False, dtype=FLOATS)
        return rows

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Within, use as many threads as a worker of joblib is told to, and make ValueErrors of errors."""
        try:
            with limits(default_threads()):
                yield
        except FeatlearnError as error:
            raise ValueError(self._in_words(str(error))) from error

    @classmethod
    def _in_words(cls, text: str) -> str:
        """Return a sentence with the names of parameters in place of options: --batch-size is batch_size."""

        def parameter(found: re.Match[str]) -> str:
            name = found[1].replace("-", "_")
            return cls._names.get(name, name) if name in cls._defaults else found[0]

        return re.sub(r"--([a-z0-9]+(?:-[a-z0-9]+)*)", parameter, text)


class FeatureEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Estimator):  # type: ignore[misc]
    """Base of the estimators of features."""

    _names = {**Estimator._names, "hidden": "n_components"}  # noqa: RUF012 - declared in Estimator

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows X (n, n_features); y is not looked at. Raises ValueError."""
        return self._fit(validate_data(self, X, dtype=FLOATS, ensure_min_samples=2))

    def transform(self, X: Any) -> Array:
        """Return the codes (n, codes) of rows X (n, n_features). Raises ValueError."""
        rows = self._rows(X)
        with self._at_work():
            return self.model_.encode(rows)

    def inverse_transform(self, X: Any) -> Array:
        """Return the rows (n, n_features) that codes X (n, codes) stand for. Raises ValueError."""
        check_is_fitted(self)
        codes = check_array(X, dtype=FLOATS, input_name="X")
        with self._at_work():
            return self.model_.decode(codes).reshape(len(codes), -1)

    def score(self, X: Any, y: Any = None) -> float:
        """Return minus the RMSE of the model's reconstruction of rows X: the higher, the better.

        Raises ValueError.
        """
        rows = self._rows(X)
        with self._at_work():
            made = self.model_.reconstruct(rows).reshape(rows.shape)
        return -float(np.sqrt(np.mean(np.square(made - rows, dtype=np.float64))))

    @property
    def components_(self) -> Array:
        """What each hidden unit looks for, (units, n_features)."""
        return self.model_.filters.reshape(-1, self.n_features_in_)

    @property
    def _n_features_out(self) -> int:
        """For get_feature_names_out."""
        return self.model_.n_hidden

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = [self.dtype]
        return tags


class ClassEstimator(ClassifierMixin, Estimator):  # type: ignore[misc]
    """Base of the estimators that tell classes; `score` is the share of rows that it puts into theirs."""

    classes_: Array
    """(classes,) those of y, ascending."""

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from rows X (n, n_features) and their classes y (n,). Raises ValueError."""
        rows, y = validate_data(self, X, y, dtype=FLOATS, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        return self._fit(rows, labels)

    def predict_proba(self, X: Any) -> Array:
        """Return p(class) (n, classes) of rows X (n, n_features), as classes_ are. Raises ValueError."""
        rows = self._rows(X)
        with self._at_work():
            return self.model_.probabilities(rows)

    def predict(self, X: Any) -> Array:
        """Return the likeliest class (n,) of rows X (n, n_features). Raises ValueError."""
        found = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[found])


def _settings(cls: type[Model]) -> dict[str, tuple[Field[Any], Any]]:
    """Return the settings that do something with a model, by name, with their defaults.

    How many classes there are, y says.
    """
    parts = [
        cls.Config(),
        from_dict(TrainConfig, cls.defaults.training),
        PreprocessSpec(),
        RunSettings(),
    ]
    found = {
        field.name: (field, getattr(part, field.name))
        for part in parts
        for field in fields(part)
        if field.metadata and (part is not parts[-1] or field.name in RUN)
    }
    found["seed"] = found["seed"][0], None  # another seed at each fit, as is the custom
    idle = idle_settings(cls) | {"classes"}
    return {name: setting for name, setting in found.items() if name not in idle}


@functools.cache
def _estimator(cls: type[Model]) -> type[Estimator]:
    """Make the estimator of a model."""
    settings, base = _settings(cls), ClassEstimator if cls.labelled else FeatureEstimator
    only = inspect.Parameter.KEYWORD_ONLY
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    own = [
        inspect.Parameter(base._names.get(name, name), only, default=default)
        for name, (_, default) in settings.items()
    ]
    signature = inspect.Signature([me, *own])

    def __init__(self: Estimator, **parameters: Any) -> None:
        bound = signature.bind(self, **parameters)
        bound.apply_defaults()
        for parameter in own:
            setattr(self, parameter.name, bound.arguments[parameter.name])

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    body = {
        "__init__": __init__,
        "__module__": __name__,
        "_id": cls.id,
        "_defaults": {name: default for name, (_, default) in settings.items()},
    }
    made = type(cls.__name__, (base,), body)
    made.__doc__ = _page(cls, made, settings)
    return made


def _page(cls: type[Model], made: type[Estimator], settings: dict[str, tuple[Field[Any], Any]]) -> str:
    """Return the docstring of an estimator: what the model is, and its parameters."""
    title = (sys.modules[cls.__module__].__doc__ or cls.__name__).split("\n\n")[0]
    lines = [title, "", "Parameters", "----------"]
    for name, (field, default) in settings.items():
        kind = field.type.__name__ if isinstance(field.type, type) else field.type
        kind = " or ".join(map(repr, field.metadata["choices"] or ())) or kind
        kind = "int, RandomState or None" if name == "seed" else kind
        help = made._in_words(field.metadata["help"])
        lines += [f"{made._names.get(name, name)} : {kind}, default={default!r}", f"    {help}"]
    return "\n".join(lines)


def all_estimators() -> dict[str, type[Estimator]]:
    """Return the estimators of all models by their names.

    Those that learn of pairs of pictures have none; of stacks scikit-learn makes a Pipeline.
    """
    found = [model_class(id) for id in model_ids() if id not in BEGUN]
    classes = [cls for cls in found if not (cls.of_pairs or cls.layered())]
    return {cls.__name__: _estimator(cls) for cls in classes}  # type: ignore[arg-type]


def __getattr__(name: str) -> Any:
    found = {} if name.startswith("_") else all_estimators()
    if name not in found:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *all_estimators()})

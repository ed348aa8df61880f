"""Learn a model from arrays, without a file."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from featlearn import signals
from featlearn.errors import ConfigError, DataError
from featlearn.jobs.arrays import Patches, array_of, digest, image_shape
from featlearn.jobs.callbacks import Ask, Progress, Say, log, never, no_progress
from featlearn.jobs.data import Data
from featlearn.jobs.dataset import ImageData
from featlearn.jobs.layers import StackPlan, learn_layers
from featlearn.jobs.model import FeatureModel
from featlearn.jobs.run_log import RunLog
from featlearn.jobs.settings import RunSettings
from featlearn.jobs.store import LoadedModel, provenance
from featlearn.jobs.train import plan_training
from featlearn.jobs.training_run import Watch, learn_one
from featlearn.models import model_class
from featlearn.patches.fitter import Fitter
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.rows import Rows
from featlearn.patches.settings import PreprocessSpec
from featlearn.rows import edges
from featlearn.settings import refuse_idle

JOB = {"job": "fit"}


def fit(
    model: str,
    X: Any,
    y: Any = None,
    *,
    config: Any = None,
    training: Any = None,
    preprocess: PreprocessSpec | None = None,
    preprocessed: bool = False,
    run: RunSettings | None = None,
    no_retry: bool = False,
    force: bool = False,
    given: Collection[str] = (),
    invocation: Mapping[str, Any] = JOB,
    progress: Progress = no_progress,
    say: Say = log,
    should_stop: Ask = never,
) -> FeatureModel:
    """Learn a model from images, rows or a data set.

    X is (n, d), (n, height, width) or (n, height, width, channels), and may lie in a file; or what
    load_dataset gives. Pixels of 8 and 16 bits become 0..1; what else is done to them `preprocess` says, by
    default nothing. A data set brings its own preprocessing. `preprocessed` rows are floats that are learned
    from as they are. y (n,) are the classes of rows, whole numbers or texts, for models that learn classes;
    a labelled data set brings its own.

    A run that `should_stop` ends returns the model as it is then, not `finished`. `force` replaces a log that
    is there. `given` settings are refused where they do nothing.

    Raises DataError, ConfigError, DivergedError.
    """
    run = run or RunSettings()
    if (preprocessed or isinstance(X, ImageData)) and preprocess not in (None, PreprocessSpec()):
        what = "a data set is" if isinstance(X, ImageData) else "rows are"
        raise ConfigError(f"fit: {what} preprocessed already; leave out the settings of a preprocessing")
    data = _describe(X, preprocess or PreprocessSpec(), preprocessed, run.dtype, given, say)
    cls = model_class(model)
    if y is not None and not (cls.labelled or cls.layered()):
        raise ConfigError(f"y: does nothing with model {model!r}, which learns no classes; leave it out")
    if y is not None:
        data = _labelled(data, y)
    plan = plan_training(
        data, model=model, config=config, training=training, run=run, no_retry=no_retry, given=given, say=say
    )
    story = provenance(invocation, seed=run.seed)
    run_log = RunLog(run.log, False, force, [], say)
    watch = Watch(say, progress, should_stop, never, float("inf"), run_log)
    learn = learn_layers if isinstance(plan, StackPlan) else learn_one
    with run_log, signals.deferred():
        learned, file = learn(plan, story, watch)  # type: ignore[arg-type]
    fitted = Preprocess.from_dict((file.layers or [file])[0].preprocess)
    return FeatureModel(LoadedModel("", learned, fitted, file))


def _describe(
    X: Any, spec: PreprocessSpec, preprocessed: bool, dtype: str, given: Collection[str], say: Say
) -> Data:
    """Describe what is learned from, and fit the preprocessing where it has none.

    Raises DataError, ConfigError.
    """
    if isinstance(X, ImageData):
        make = partial(Rows, X.raw, dtype=np.dtype(dtype), name=X.path)
        return Data(X.path, X.digest, X.shape, X.preprocess, make, labels=X.labels, label_names=X.label_names)
    values = array_of(X)
    if preprocessed and values.dtype.kind != "f":
        raise ConfigError(f"X: {values.dtype} values; preprocessed rows are floats")
    patches, shape = Patches(values), image_shape(values)
    resolved = spec.resolve(whole=True)
    refuse_idle(resolved, given)
    fitted = _fitted(patches, resolved)
    for warning in fitted.warnings:
        say(f"warning: {warning}")
    return Data(
        "X", digest(patches, shape), shape, fitted, partial(Rows, patches, dtype=np.dtype(dtype), name="X")
    )


def _labelled(data: Data, y: Any) -> Data:
    """Return the data with classes y (n,), which are part of what they are. Raises DataError."""
    values = np.asarray(y)
    if values.shape != (len(data.rows),) or values.dtype.kind not in "biuU":
        raise DataError(
            f"y: an array {values.shape} of {values.dtype}, wanted ({len(data.rows)},) whole numbers or texts"
        )
    names, labels = np.unique(values, return_inverse=True)
    texts = [str(name) for name in names.tolist()]
    sha = hashlib.sha256(f"{data.digest} {texts}\n".encode() + labels.astype("<i8").tobytes())
    return replace(data, digest=sha.hexdigest(), labels=labels, label_names=texts)


def _fitted(patches: Patches, spec: PreprocessSpec) -> Preprocess:
    """Fit a preprocessing to raw patches, block by block. Raises DataError."""
    fitter = Fitter(spec, patches.n_pixels, patches.dtype)
    for start, stop in edges(len(patches)):
        fitter.update(patches[start:stop])
    return fitter.finish()

"""What is said of a finished model that has something wrong: one line each, with the options that help."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.analysis.advice import FAR_MEAN, IDLE, began_silent, fall, few_rows, judge, of_filters, of_run
from featlearn.jobs.callbacks import Say
from featlearn.models.base import Model
from featlearn.patches.preprocess import Preprocess
from featlearn.random import Random
from featlearn.settings import option_name, to_dict
from featlearn.training.order import PROBE, spread
from featlearn.training.progress import Progress
from featlearn.training.train import Training

FEW, ENOUGH = 500, 1000  # updates: too few to judge a learning rate by, and what to try then
FEW_SEARCHES, ENOUGH_SEARCHES = 50, 100  # of line searches
FROM_RUN = ("initial_activity", "mean_length", "rows_per_unit")
"""What only a run knows and a remedy depends on."""
PATCHES = 100  # to have a hidden unit: of 1000 units twice as many become edges as with 10
UNCENTRED = ("worse", "nothing", "dead", "unlearned", "saturated")
"""What comes of a mean row that is far too long."""
WORDS = {
    "worse": "the reconstructions are worse than the mean row (explained variance {explained_variance:.2g})",
    "nothing": "the features reconstruct next to nothing of the data "
    "({explained_variance:.1%} of the variance)",
    "noise": "the filters look like noise "
    "(orientation index {orientation_gain:.2g} times that of random mixtures)",
    "few": "{rows_per_unit:.2g} patches a hidden unit are few: filters are partly noise",
    "dead": "{dead_units:.0%} of the hidden units are never active",
    "unlearned": "{unlearned_units:.0%} of the hidden units still have the filters that they began with",
    "saturated": "{saturated_units:.0%} of the hidden units are always fully on",
    "activity": "the hidden units are {relative_activity:.2g} times as active as wanted",
    "falling": "the loss still falls by {fall:.1%} an epoch",
    "validation": "the error of held-out rows is at least {validation_excess:.0%} "
    "above that of the training rows; "
    "more rows would help",
    "classifier": "a linear classifier errs more on these codes ({classifier_error:.1%}) "
    "than on the rows themselves "
    "({raw_error:.1%})",
}


def measure_run(training: Training, preprocess: Preprocess, shape: tuple[int, int, int]) -> dict[str, float]:
    """Measure a run that has just ended, on its probe rows and on as many held-out ones.

    Advice is about features and reconstructions: of a model that learns classes nothing is measured. Four
    digits are kept: the last ones of numpy's sums are not the same on every processor.
    """
    model, take = training.model, training.rows.take
    if model.labelled:
        return {}
    begun = type(model)(model.config, model.dtype)
    begun.init(model.n_visible, Random(training.seed, training.stream))
    X, held_out = take(training.probe_rows), take(spread(training.validation_rows, PROBE))
    found = of_run(model, begun, X, held_out)
    if textured(preprocess, shape):
        if model.descends():
            found["rows_per_unit"] = len(training.train_rows) / _lowest(model)
        found |= of_filters(preprocess.to_pixels(model.filters()).reshape(-1, *shape))
    if not (training.progress.stopped or not model.descends()):
        found["fall"] = fall(_losses(training))
    return {key: float(f"{value:.4g}") for key, value in found.items()}


def known_of_run(progress: Mapping[str, Any]) -> dict[str, float]:
    """Return what remedies depend on and only a run can measure, out of what a model file says of it."""
    place = progress.get("run")
    found = place.get("measured", {}) if isinstance(place, dict) and Progress.fits(place) else {}
    return {key: found[key] for key in FROM_RUN if key in found}


def textured(preprocess: Preprocess, shape: tuple[int, int, int]) -> bool:
    """Whether rows are of images, and other than their plain pixels, as photographs are made for learning.

    Filters of digits are no noise where they have no orientation.
    """
    spec = preprocess.spec
    return min(shape[:2]) > 1 and (spec.normalize != "none" or spec.whiten != "none")


def _losses(training: Training) -> npt.NDArray[Any]:
    """Return what falls in the last phase, once it can be compared.

    That is the loss, or the squared error where there is none.
    """
    history = {key: np.asarray(column) for key, column in training.history.items()}
    loss = history.get("loss", np.square(history["error"]))[history["phase"] == training.progress.phase - 1]
    share = np.arange(len(loss)) / len(loss)
    return np.asarray(loss[share >= training.legs[-1].phase.comparable_from])


def advise(
    model: Model,
    training: Mapping[str, Any],
    measures: Mapping[str, float],
    whitened: bool = True,
    of_codes: bool = False,
) -> list[dict[str, str]]:
    """Return what there is to say, as key, text and options.

    `training` are the settings of the model's training. What has learned `of_codes` has no patches that could
    be extracted otherwise.
    """
    found = []
    for key in judge(measures):
        if model.layers:  # the layers have settings of their own
            found.append({"key": key, "text": WORDS[key].format(**measures), "options": ""})
            continue
        options = in_options(_helpful(key, model, training, measures), {**training, **to_dict(model.config)})
        if key in UNCENTRED and measures.get("mean_length", 0.0) > FAR_MEAN and not of_codes:
            options = "extract-patches --normalize standardize"
        again = "" if of_codes else _extraction(key, model, measures, whitened)
        if again:
            options = f"extract-patches {again}, then {options}" if options else f"extract-patches {again}"
        text = WORDS[key].format(**measures)
        found.append({"key": key, "text": f"{text}; try {options}" if options else text, "options": options})
    return found


def _extraction(key: str, model: Model, measures: Mapping[str, float], whitened: bool) -> str:
    """The options of extract-patches that help against noise, "" for none."""
    if key not in ("noise", "few"):
        return ""
    white = ["--whiten zca"] if key == "noise" and not whitened else []
    more = [f"--count {PATCHES * _lowest(model)}"] if few_rows(measures) else []
    return " ".join(white + more)


def _helpful(
    key: str, model: Model, training: Mapping[str, Any], measures: Mapping[str, float]
) -> dict[str, Any]:
    """The settings that help: the model's own remedy, else what helps any model."""
    if key == "worse" and measures.get("unlearned_units", 0.0) > IDLE:
        key = "unlearned"  # a rate that changed so little is not too high
    if key in ("worse", "nothing", "dead", "unlearned") and began_silent(model, measures):
        return {"hidden_bias": None}
    own = model.remedies()
    if key in own:
        return own[key]
    if key == "falling":
        last = model.phases()[-1]
        if last.updates is None:
            return _longer(training)
        return {last.options["updates"]: 2 * last.updates} if "updates" in last.options else {}
    if key == "nothing" and training["decay"] != "none":
        return {"decay": "none"}
    if key == "validation" and training["validation"] > 0.2:
        return {"validation": training["validation"] / 2}
    if key == "classifier":
        return {} if not model.descends() else {"hidden": _wider(model.config.hidden)}
    lr, step = training.get("lr"), measures.get("step", math.inf)
    few, enough = (FEW_SEARCHES, ENOUGH_SEARCHES) if lr is None else (FEW, ENOUGH)
    if key == "unlearned" and step < few:
        if training.get("updates") is not None:
            return {"updates": enough}
        return {"epochs": math.ceil(enough * measures["epoch"] / step)}
    factor = {"worse": 0.1, "dead": 0.1, "saturated": 0.1, "unlearned": 10.0}.get(key)
    if key == "unlearned" and measures["dead_units"]:
        factor = None  # a rate that makes some units die is not too low for others
    if factor is not None and lr is not None:
        return {"lr": float(f"{lr * factor:.3g}")}
    return _longer(training) if key in ("nothing", "unlearned", "activity") else {}


def _longer(training: Mapping[str, Any]) -> dict[str, int]:
    """Return twice the length of a training, in the unit that it was said in."""
    unit = "epochs" if training.get("updates") is None else "updates"
    return {unit: 2 * training[unit]}


def _lowest(model: Model) -> int:
    """The units of the layer that looks at the rows."""
    hidden = model.config.hidden
    return int(hidden[0] if isinstance(hidden, tuple) else hidden)


def _wider(hidden: Any) -> Any:
    """Four times the units, of each layer where there are several."""
    return tuple(4 * units for units in hidden) if isinstance(hidden, tuple) else 4 * hidden


def in_options(settings: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return settings as on the command line, but for those that are so already; None: what to leave out."""
    words: list[str] = []
    for name, value in settings.items():
        if name in now and now[name] == value:
            continue
        option = option_name(name)
        words.append(
            f"without {option}" if value is None else option if value is True else f"{option} {_text(value)}"
        )
    return " ".join(words)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def say_all(say: Say, advice: Iterable[Mapping[str, str]], place: str = "") -> None:
    """Say each on a line of its own, of the model at `place` where there are several."""
    for one in advice:
        say(f"advice: {place}{one['text']}")

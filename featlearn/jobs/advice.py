"""What is said of a finished model that has something wrong: one line each, with the options that help."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from featlearn.analysis.advice import fall, judge, of_filters, of_run
from featlearn.jobs.callbacks import Say
from featlearn.models.base import Model
from featlearn.patches.preprocess import Preprocess
from featlearn.random import Random
from featlearn.settings import option_name, to_dict
from featlearn.training.train import PROBE, Training, spread

WORDS = {
    "nothing": "the features reconstruct next to nothing of the data ({explained_variance:.1%} of the variance)",
    "noise": "the filters look like noise (orientation index {orientation_gain:.2g} times that of random mixtures)",
    "dead": "{dead_units:.0%} of the hidden units are never active",
    "unlearned": "{unlearned_units:.0%} of the hidden units still have the filters that they began with",
    "saturated": "{saturated_units:.0%} of the hidden units are always fully on",
    "activity": "the hidden units are {relative_activity:.2g} times as active as wanted",
    "falling": "the loss still falls by {fall:.1%} an epoch",
    "validation": "the error of held-out rows is at least {validation_excess:.0%} above that of the training rows; "
    "more rows would help",
    "classifier": "a linear classifier errs more on these codes ({classifier_error:.1%}) than on the rows themselves "
    "({raw_error:.1%})",
}


def measure_run(training: Training, preprocess: Preprocess, shape: tuple[int, int, int]) -> dict[str, float]:
    """Measure a run that has just ended, on its probe rows and on as many held-out ones.

    Four digits are kept: the last ones of numpy's sums are not the same on every processor.
    """
    model, take = training.model, training.rows.take
    begun = type(model)(model.config, model.dtype)
    begun.init(model.n_visible, Random(training.seed))
    X, held_out = take(training.probe_rows), take(spread(training.validation_rows, PROBE))
    found = of_run(model, begun.filters(), X, held_out)
    if textured(preprocess, shape):
        found |= of_filters(preprocess.to_pixels(model.filters()).reshape(-1, *shape))
    if not (training.progress.stopped or model.one_pass):
        found["fall"] = fall(_losses(training))
    return {key: float(f"{value:.4g}") for key, value in found.items()}


def textured(preprocess: Preprocess, shape: tuple[int, int, int]) -> bool:
    """Whether rows are of images, and other than their plain pixels, as photographs are made for learning.

    Filters of digits are no noise where they have no orientation.
    """
    spec = preprocess.spec
    return min(shape[:2]) > 1 and (spec.normalize != "none" or spec.whiten != "none")


def _losses(training: Training) -> npt.NDArray[Any]:
    """What falls in the last phase, once it can be compared: the loss, or the squared error where there is
    none."""
    history = {key: np.asarray(column) for key, column in training.history.items()}
    loss = history.get("loss", np.square(history["error"]))[history["phase"] == training.progress.phase - 1]
    resting = [training.model.at_rest(i / len(loss)) for i in range(len(loss))]
    return np.asarray(loss[resting])


def advise(
    model: Model, training: Mapping[str, Any], measures: Mapping[str, float], whitened: bool = True
) -> list[dict[str, str]]:
    """Return what there is to say, as key, text and options; `training` are the settings of the model's
    training."""
    found = []
    for key in judge(measures):
        options = in_options(_helpful(key, model, training, measures), {**training, **to_dict(model.config)})
        if key == "noise" and not whitened:
            options = (
                f"extract-patches --whiten zca, then {options}" if options else "extract-patches --whiten zca"
            )
        text = WORDS[key].format(**measures)
        found.append({"key": key, "text": f"{text}; try {options}" if options else text, "options": options})
    return found


def _helpful(
    key: str, model: Model, training: Mapping[str, Any], measures: Mapping[str, float]
) -> dict[str, Any]:
    """The settings that help: the model's own remedy, else what helps any model."""
    own = model.remedies()
    if key in own:
        return own[key]
    if key == "falling":
        last = model.phases()[-1]
        return {"epochs": 2 * training["epochs"]} if last.updates is None else {last.name: 2 * last.updates}
    if key == "nothing" and training["decay"] != "none":
        return {"decay": "none"}
    if key == "validation" and training["validation"] > 0.2:
        return {"validation": training["validation"] / 2}
    if key == "classifier":
        return {} if model.one_pass else {"hidden": 4 * model.config.hidden}
    lr = training.get("lr")
    factor = {"dead": 0.1, "saturated": 0.1, "unlearned": 10.0}.get(key)
    if key == "unlearned" and measures["dead_units"]:
        factor = None  # a rate that makes some units die is not too low for others
    if factor is not None and lr is not None:
        return {"lr": float(f"{lr * factor:.3g}")}
    return {"epochs": 2 * training["epochs"]} if key in ("nothing", "unlearned", "activity") else {}


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
    return f"{value:g}" if isinstance(value, float) else str(value)


def say_all(say: Say, advice: Iterable[Mapping[str, str]], place: str = "") -> None:
    """Say each on a line of its own, of the model at `place` where there are several."""
    for one in advice:
        say(f"advice: {place}{one['text']}")

"""Advice: whether something is wrong with a finished model, by measures that cost next to nothing.

    explained_variance  1 - squared error / variance, of the rows looked at
    dead_units          share of units that never leave rest; saturated_units: that are fully on for all rows
    unlearned_units     share of the other units whose filter points where it began, weighted by the pixels'
                        deviation
    relative_activity   mean activation over the wanted one, where the model is told one
    orientation_gain    of the filters, with orientation, kurtosis and lag1 (filters.py): whether they look
                        like noise
    initial_activity    mean activation at the start, where the hidden units begin with a bias below 0
    mean_length         of the mean row over the distance of rows from it, where the model does not take it
                        off
    rows_per_unit       training rows over hidden units
    fall                share by which the loss falls in an epoch, by least squares over the last tenth of the
                        epochs
    validation_excess   rmse of held-out rows over that of training rows, less 1, at the lower end of two
                        standard errors
    classifier_excess   error of a classifier of codes less that of one of the rows, at that end too
    commonest_error     of a model that tells classes: the error of naming the commonest class of all rows,
                        beside its own error_rate
    shares_loss         the loss of saying the shares of the classes of all rows, beside its own loss
    alike_units         of such a model: share of the units whose codes of all rows are as good as the same

docs/advice.md lists the values that good and bad runs have, and bench/advice.py measures them.
"""

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from featlearn import _core
from featlearn.analysis.filters import filter_statistics
from featlearn.analysis.units import Units
from featlearn.models.base import Model, Step
from featlearn.rows import Array

NOTHING = 1 - 0.98**2  # explained variance up to which a model reconstructs next to nothing
WORSE = 1 - 1.02**2  # explained variance below which it does worse than the mean row does
FAR_MEAN = 10  # times as long as rows are far from it: rows are mostly their mean
IDLE = 0.1  # share of units that are dead, saturated or unlearned
UNCHANGED = 0.95  # cosine of a filter with what it was at the start
NOISE_GAIN = 1.6  # orientation gain below which filters may be noise
ORIENTED = 0.3  # orientation from which on filters are no noise
SPOTS = 6.0  # kurtosis from which on they are none
SMOOTH = 0.85  # lag1 from which on they are none
MOST = 500  # filters that are looked at
OFF_TARGET = 2.0  # activity over the wanted one, or the other way round
FEW_ROWS, PARTLY = 20, 0.5  # rows a hidden unit, orientation: below both filters are partly noise
FALLING = 0.01  # share of the loss
OVERFIT = 0.1  # share of the error
UNTOLD = 0.95  # of the commonest class's error: from there on a model tells classes no better than that
ALL_ALIKE = 0.9  # share of the units
FIRST = 100  # rows that tell how active units are at the start
SILENT = 0.01  # mean activation below which units hardly ever learn; or half of the wanted one
CAUSES = {  # what needs no word of its own where one of these is said
    "nothing": {"worse", "dead", "unlearned", "saturated", "falling"},
    "noise": {"unlearned"},
    "few": {"worse", "nothing", "noise", "unlearned"},
    "unlearned": {"dead"},
    "classes": {"alike"},
}


class Drawable(Protocol):
    """Preprocessing, as far as filters have to be brought back to pixels."""

    def to_pixels(self, F: Array) -> Array: ...


def of_units(model: Model, units: Units) -> dict[str, float]:
    """Measure how a model's units are used."""
    wanted, rest = model.wanted_activity, at_rest(model)
    found = {
        "dead_units": float(np.mean(units.dead(rest))),
        "saturated_units": float(np.mean(units.saturated(rest))),
    }
    if wanted is not None:
        found["relative_activity"] = float(units.mean.mean() - rest) / (wanted[1] - rest)
    return found


def at_rest(model: Model) -> float:
    """The code of a unit at rest."""
    return 0.0 if model.wanted_activity is None else model.wanted_activity[0]


def begins_below_zero(model: Model) -> bool:
    """Whether hidden units have an initial bias, and that below 0."""
    return (getattr(model.config, "hidden_bias", None) or 0.0) < 0


def began_silent(model: Model, measures: Mapping[str, float]) -> bool:
    """Whether the initial bias kept hidden units so inactive that little came to them to learn from."""
    wanted = model.wanted_activity
    least = SILENT if wanted is None else min(SILENT, (wanted[1] - wanted[0]) / 2)
    return begins_below_zero(model) and measures.get("initial_activity", 1.0) < least


def of_filters(F: Array) -> dict[str, float]:
    """Measure how far filters F (k, h, w, c) of images look like noise; nothing of flat or few ones."""
    found = filter_statistics(F[:: math.ceil(len(F) / MOST)], fits=False)
    if "orientation_gain" not in found:
        return {}
    return {key: found[key] for key in ("orientation_gain", "orientation", "kurtosis", "lag1")}


def of_run(model: Model, begun: Model, X: Array, held_out: Array) -> dict[str, float]:
    """Measure a trained model on rows X (n, visible) it learned from, and on held-out ones (may be none).

    `begun` is the model as it was at the start.
    """
    start = begun.filters()
    units = Units(model.encode(X[:1]).shape[1])
    units.add(model.encode(X))
    found = of_units(model, units)
    errors = row_errors(model, X)
    deviation = X.std(axis=0, dtype=np.float64)
    variance = float(np.square(deviation).sum())
    if variance > 0:
        found["explained_variance"] = 1 - float(errors.mean()) / variance
        if not model.takes_mean_off(model.config):
            found["mean_length"] = math.sqrt(
                float(np.square(X.mean(axis=0, dtype=np.float64)).sum()) / variance
            )
    if start.any() and model.descends():
        idle = units.dead() | units.saturated()
        found["unlearned_units"] = unlearned(model.filters() * deviation, start * deviation, idle)
    if begins_below_zero(model):
        metrics, _ = begun.phases()[0].gradient(X[:FIRST], Step(0, 0))
        found["initial_activity"] = metrics["mean_activation"] - at_rest(model)
    if len(held_out):
        found["validation_excess"] = excess(errors, row_errors(model, held_out))
    return found


def of_classes(model: Model, X: Array, labels: Array) -> dict[str, float]:
    """Measure a model that tells classes: its codes of rows X (n, visible), and labels (m,) of all rows."""
    units = Units(model.encode(X[:1]).shape[1])
    units.add(model.encode(X))
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return {
        "commonest_error": commonest_error(labels),
        "shares_loss": -float(shares @ np.log(shares)),
        "alike_units": float(np.mean(units.alike())),
    }


def commonest_error(labels: Array) -> float:
    """Return the share of labels (n,) that are not the commonest one."""
    _, counts = np.unique(labels, return_counts=True)
    return float(1 - counts.max() / counts.sum())


def row_errors(model: Model, X: Array) -> Array:
    """(n,) float64 squared error of the reconstruction of each row."""
    errors = np.empty(len(X), np.float64)
    _core.row_sqdist(errors, X, model.reconstruct(X))
    return errors


def unlearned(F: Array, start: Array, idle: Array) -> float:
    """Return the share of filters F (k, visible), not `idle`, that still point where they began."""
    norms = np.sqrt(np.square(F).sum(axis=1) * np.square(start).sum(axis=1))
    same = (F * start).sum(axis=1) > UNCHANGED * norms
    return float(np.mean(same & ~idle if len(idle) == len(same) else same))


def excess(errors: Array, held_out: Array) -> float:
    """Return the share by which held-out rows have the larger rmse, less two standard errors."""
    if not errors.sum() > 0 or min(len(errors), len(held_out)) < 2:
        return 0.0
    ratio = math.sqrt(held_out.mean() / errors.mean())
    spread = [
        float(e.var(ddof=1) / (len(e) * e.mean() ** 2)) if e.mean() > 0 else 0.0 for e in (errors, held_out)
    ]
    return ratio * (1 - math.sqrt(sum(spread))) - 1


def fall(losses: Array) -> float:
    """The share by which the loss falls in an epoch, over the last tenth of the epochs, three at least.

    A single epoch's fall is chance; a line through the logarithms is less so. 0 of fewer than three, or of
    losses that are not positive.
    """
    if len(losses) < 3:
        return 0.0
    last = np.asarray(losses[-1 - max(2, len(losses) // 10) :], np.float64)
    if not (last > 0).all():
        return 0.0
    return float(-np.expm1(np.polyfit(np.arange(len(last)), np.log(last), 1)[0]))


def of_classifier(measures: Mapping[str, float], n: int) -> dict[str, float]:
    """Compare a classifier's errors on n rows, by evaluate's keys: of codes and of the rows themselves.

    Of classifiers that learned from few labels those with the most of them count, whose spreads are over the
    draws.
    """
    suffixes = [key.removeprefix("raw_error") for key in measures if key.startswith("raw_error")]
    if not suffixes:
        return {}
    suffix = max(suffixes, key=lambda one: int(one[1:] or 0))
    codes, raw = (measures[f"{what}_error{suffix}"] for what in ("classifier", "raw"))
    spreads = [measures.get(f"{what}_spread{suffix}", 0.0) for what in ("classifier", "raw")]
    variance = (codes * (1 - codes) + raw * (1 - raw)) / n + sum(s * s for s in spreads)
    return {
        "classifier_error": codes,
        "raw_error": raw,
        "classifier_excess": codes - raw - 2 * math.sqrt(variance),
    }


def few_rows(measures: Mapping[str, float]) -> bool:
    """Whether a run had too few rows for its hidden units to become features of them all."""
    return measures.get("rows_per_unit", math.inf) < FEW_ROWS


def judge(measures: Mapping[str, float]) -> list[str]:
    """Return what is wrong, by the keys under which jobs/advice.py has words and models have remedies."""

    def beyond(key: str, bar: float) -> bool:
        return measures.get(key, -math.inf) > bar

    def below(bars: Mapping[str, float]) -> bool:
        return all(measures.get(key, math.inf) < bar for key, bar in bars.items())

    activity = measures.get("relative_activity", 1.0)
    bars = {"orientation_gain": NOISE_GAIN, "orientation": ORIENTED, "kurtosis": SPOTS, "lag1": SMOOTH}
    explained = measures.get("explained_variance", 1.0)
    untold = UNTOLD * measures.get("commonest_error", math.inf)
    found = {
        "worse": explained < WORSE,
        "nothing": explained <= NOTHING,
        "noise": below(bars),
        "few": few_rows(measures) and below(bars | {"orientation_gain": math.inf, "orientation": PARTLY}),
        "dead": beyond("dead_units", IDLE),
        "unlearned": beyond("unlearned_units", IDLE),
        "saturated": beyond("saturated_units", IDLE),
        "activity": not 1 / OFF_TARGET <= activity <= OFF_TARGET,
        "falling": beyond("fall", FALLING),
        "validation": beyond("validation_excess", OVERFIT),
        "classifier": beyond("classifier_excess", 0.0),
        "alike": beyond("alike_units", ALL_ALIKE),
        "classes": measures.get("error_rate", 0.0) > untold,
    }
    said = {key for key, true in found.items() if true}
    return [key for key in found if key in said and not CAUSES.get(key, set()) & said]

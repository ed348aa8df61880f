"""Model files measured on a data set file."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featlearn import ranks
from featlearn.analysis.coding import CodingConfig
from featlearn.analysis.likelihood_settings import LikelihoodConfig
from featlearn.errors import ConfigError
from featlearn.jobs.callbacks import Progress, Say, log, no_progress
from featlearn.jobs.comparison import Plot
from featlearn.jobs.few_labels import Nets
from featlearn.jobs.finetune_settings import FewLabels
from featlearn.jobs.measure_keys import Asked
from featlearn.jobs.measuring import Measuring, paths_of
from featlearn.jobs.picture_settings import Printed
from featlearn.jobs.pictures import Stream
from featlearn.jobs.results import Result
from featlearn.models.settings.network import HiddenRegularization
from featlearn.training.classifier import ClassifierConfig
from featlearn.training.config import TrainConfig


@dataclass(frozen=True)
class Evaluation(Result):
    """What was measured of each model, by the name of the measure, in the order of the models."""

    models: tuple[Mapping[str, Any], ...]


def evaluate(
    models: Sequence[str],
    dataset: str,
    *,
    train: str | None = None,
    coding: CodingConfig | None = None,
    likelihood: LikelihoodConfig | None = None,
    classifier: ClassifierConfig | None = None,
    few: FewLabels | None = None,
    regularization: HiddenRegularization | None = None,
    training: TrainConfig | None = None,
    asked: Asked | None = None,
    seed: int = 0,
    plot: str | Stream | None = None,
    printed: Printed | None = None,
    force: bool = False,
    given: Collection[str] = (),
    progress: Progress = no_progress,
    say: Say = log,
) -> Evaluation:
    """Measure models on a data set.

    `train`, the data set that was learned from, adds what follows from it. `few` says which nets learn few
    labels of it, `regularization` and `training` how. `asked` says which measures are; no others are made
    where that saves work. `plot` is a picture to write, a PNG where it is a
    stream. `given` settings are refused where they do nothing. Raises DataError, ConfigError, DivergedError.
    """
    asked = asked or Asked()
    nets = Nets(few or FewLabels(), regularization, training)
    measuring = Measuring.of(
        coding, likelihood, classifier, nets, seed, plot is not None, progress, say, asked
    )
    measuring.refuse_idle(given, train)
    paths = [*models, *paths_of(dataset, train)]
    picture = None if plot is None else Plot(plot, force, paths, printed or Printed(), given)
    opened = measuring.open(models, dataset, train)
    per_class = measuring.classifier.per_class or ()
    if picture and not per_class and not any(learned.model.decodes for learned in opened.models):
        raise ConfigError(
            "--plot: draws errors of reconstructions, and these models give no rows back; add --train and "
            "--per-class, whose errors it draws, too, or leave it out"
        )
    if picture and opened.differ:
        say("warning: --plot: the models' data are preprocessed in several ways; errors have different units")
    measured = measuring.all(opened)
    if picture and ranks.rank == 0:
        picture.write(measured, measuring.coding.bins, per_class)
    ranks.of_all(None)  # a rank that finds nothing left would end the first one while it draws
    return Evaluation(asked.of([one.row for one in measured], say))

"""What is measured, of which models: the arguments and options of evaluate and report."""

from typing import Any

from featlearn.cli.options import collect, common, option, paths, settings_options
from featlearn.jobs.evaluate_settings import ClassifierConfig, CodingConfig, FewLabels, LikelihoodConfig

measured = common(
    paths("models", many=True, metavar="MODEL..."),
    paths("dataset"),
    option(
        "--train",
        metavar="DATASET",
        help="The data set that was learned from: adds free_energy_gap and, where there are labels, "
        "classifier_error and raw_error.",
    ),
    settings_options(CodingConfig, "Codes"),
    settings_options(LikelihoodConfig, "Likelihood"),
    settings_options(ClassifierConfig, "Linear classifier", needs="train"),
    settings_options(FewLabels, "Fine-tuning", needs="per_class"),
)


def settings_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return `options` with the settings that they make, by the parameters' names. Raises ConfigError."""
    from featlearn.jobs.train_settings import TrainConfig
    from featlearn.models.settings.network import HiddenRegularization

    kinds: dict[str, Any] = {"coding": CodingConfig, "likelihood": LikelihoodConfig, "few": FewLabels}
    kinds |= {"classifier": ClassifierConfig, "regularization": HiddenRegularization, "training": TrainConfig}
    settings = {name: collect(kind, options) for name, kind in kinds.items()}
    return options | settings

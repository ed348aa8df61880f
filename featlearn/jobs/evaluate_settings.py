"""The settings of measures, for those who call them."""

from featlearn.analysis.coding import CodingConfig
from featlearn.analysis.likelihood_settings import LikelihoodConfig
from featlearn.jobs.finetune_settings import FewLabels
from featlearn.jobs.measure_keys import Asked
from featlearn.training.classifier import ClassifierConfig

__all__ = ["Asked", "ClassifierConfig", "CodingConfig", "FewLabels", "LikelihoodConfig"]

"""The settings of measures, for those who call them."""

from featlearn.analysis.coding import CodingConfig
from featlearn.analysis.likelihood_settings import LikelihoodConfig
from featlearn.jobs.finetune_settings import FewLabels
from featlearn.training.classifier import ClassifierConfig

__all__ = ["ClassifierConfig", "CodingConfig", "FewLabels", "LikelihoodConfig"]

"""The settings of an extraction, for those who call it."""

from featlearn.patches.extract import Extraction
from featlearn.patches.preprocess import PreprocessSpec

__all__ = ["Extraction", "PreprocessSpec"]

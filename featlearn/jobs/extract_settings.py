"""The settings of an extraction, for those who call it."""

from featlearn.patches.settings import Extraction, PreprocessSpec

__all__ = ["Extraction", "PreprocessSpec"]

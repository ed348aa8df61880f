"""featlearn: visual features from images, without labels.

What it offers in Python stands in featlearn.api and is imported when it is first asked for.
"""

from typing import Any

__version__ = "0.1.0"

_OFFERED = (
    *("MODELS", "check_gradients", "classify", "encode", "evaluate", "export", "extract_patches"),
    *("finetune", "fit", "info", "load_dataset", "load_model", "reconstruct", "report", "sample"),
    *("stack", "sweep", "train", "visualize"),
)


def __getattr__(name: str) -> Any:
    if name not in _OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("featlearn.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_OFFERED})

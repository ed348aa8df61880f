"""The registry: every file here, folders left out, is a model; its id is the file's name with - for _."""

import importlib
import pkgutil
from typing import TYPE_CHECKING

from featlearn.errors import ConfigError

if TYPE_CHECKING:
    from featlearn.models.base import Model


def model_ids() -> list[str]:
    """The known ids, sorted, found without importing a model."""
    files = (module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)
    return sorted(name.replace("_", "-") for name in files)


def model_class(id: str) -> "type[Model]":
    """Return the class behind an id. Raises ConfigError for an unknown one."""
    if id not in model_ids():
        raise ConfigError(f"--model: unknown model {id!r}; known: {', '.join(model_ids())}")
    from featlearn.models.base import Model

    module = importlib.import_module(f"featlearn.models.{id.replace('-', '_')}")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Model) and value.__dict__.get("id") == id:
            return value
    raise AssertionError(f"featlearn/models/{id}.py defines no Model with id {id!r}")

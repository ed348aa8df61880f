"""Fine-tuning by the up-down algorithm.

A deep belief net with classes in its top is the beginning of one whose two directions have weights of their
own.
"""

from dataclasses import replace

from featlearn.errors import ConfigError, show
from featlearn.files.dataset import Dataset
from featlearn.jobs.callbacks import Say
from featlearn.jobs.classes import Classes, known_classes
from featlearn.jobs.data import Data
from featlearn.jobs.finetune_settings import Finetuning
from featlearn.jobs.plan import Plan, Start, make_plan, with_held_out
from featlearn.jobs.settings import RunSettings
from featlearn.jobs.store import LoadedModel
from featlearn.models.stack import Stack
from featlearn.models.untied_dbn import UntiedDBN
from featlearn.settings import from_dict
from featlearn.training.config import TrainConfig


def plan_up_down(
    learned: LoadedModel,
    dataset: Dataset,
    data: Data,
    how: Finetuning,
    training: TrainConfig | None,
    run: RunSettings,
    retry: bool,
    say: Say,
) -> Plan:
    """Resolve every setting of a net that begins as a stack, or goes on. Raises DataError, ConfigError.

    Classes are numbered as the model does, whatever the data set's numbers are.
    """
    model = learned.model
    try:
        if isinstance(model, UntiedDBN):
            params, hidden = model.params, model.config.hidden
        elif isinstance(model, Stack) and any(by != 1 for by in model.divisors[1:]):
            raise ConfigError("the up-down algorithm wants layers that take the codes below as they are")
        else:
            params = UntiedDBN.beginning(model.layers or (model,))
            hidden = tuple(len(layer.filters()) for layer in model.layers)
    except ConfigError as error:
        raise ConfigError(f"--up-down: {show(learned.path)}: {error}") from error
    classes = Classes(tuple(learned.file.classes or ()), known_classes(dataset, learned))
    config = UntiedDBN.Config(hidden=hidden, classes=len(classes.names), cd=how.cd)
    training = training or from_dict(TrainConfig, UntiedDBN.defaults.training)
    plan = make_plan(data, UntiedDBN.id, config, replace(training, data_scale=1.0), run, retry, say)
    classes = with_held_out(classes, plan.data)
    return replace(plan, classes=classes, start=Start(learned.file.content_hash, params))

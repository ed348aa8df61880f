"""featlearn evaluate: measures of models on a data set."""

from featlearn.cli.options import as_json, command_named, common, paths, quiet, threads
from featlearn.cli.report import Results, Words


@command_named("evaluate")
@common(paths("models", many=True, metavar="MODEL..."), paths("dataset"))
@common(threads, quiet, as_json)
def command(models: tuple[str, ...], dataset: str, words: Words, results: Results) -> None:
    """Measure models on a data set: errors, activations, filter statistics; one row a model.

    The data set goes through the preprocessing that each model was trained with; errors are in units of its result.

    \b
    Examples:
      featlearn evaluate rbm-l1.h5 patches.h5
      featlearn evaluate none.h5 l1.h5 l2.h5 patches.h5 --json
    """
    from featlearn.cli.evaluation import evaluate_model

    results.table("models", [evaluate_model(path, dataset, words) for path in models])

"""featlearn cite: what to cite for models."""

from featlearn.cli.options import command_named, common, paths, running
from featlearn.cli.output import Messages, Results


@command_named("cite")
@common(paths("models", many=True, metavar="MODEL..."), running)
def command(models: tuple[str, ...], messages: Messages, results: Results) -> None:
    """Print the papers to cite for models and the layers of stacks, as BibTeX.

    The paragraph for a methods section is that of featlearn info MODEL --methods.

    \b
    Examples:
      featlearn cite rbm-l1.h5
      featlearn cite first.h5 model.h5 --json
    """
    from featlearn.jobs.cite import cite

    found = cite(models)
    if results.as_json:
        return results.show({"papers": [{"key": paper.key, "bibtex": paper.bibtex} for paper in found]})
    if not found:
        messages.say("these models are of no paper")
    for line in "\n\n".join(paper.bibtex for paper in found).splitlines():
        results.value(line)

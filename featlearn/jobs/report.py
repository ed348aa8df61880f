"""What evaluate measures of models, with what was run, as one page of HTML to share."""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featlearn import __version__, ranks
from featlearn.analysis.coding import CodingConfig
from featlearn.analysis.likelihood_settings import LikelihoodConfig
from featlearn.errors import printable
from featlearn.files.atomic import check_output, write_bytes
from featlearn.files.dataset import Dataset
from featlearn.files.model import ModelFile
from featlearn.jobs.callbacks import Progress, Say, log, no_progress
from featlearn.jobs.comparison import Measured, drawn
from featlearn.jobs.few_labels import Nets
from featlearn.jobs.finetune_settings import FewLabels
from featlearn.jobs.formats import refuse_other_suffix
from featlearn.jobs.measuring import Measuring, Opened
from featlearn.jobs.methods import methods, papers, plain, settings_of
from featlearn.jobs.pictures import png_text, run_of, short_names
from featlearn.jobs.results import Result
from featlearn.jobs.store import LoadedModel, shape_words
from featlearn.models.settings.network import HiddenRegularization
from featlearn.pictures import page
from featlearn.pictures.curve import curve, panels
from featlearn.pictures.figure import Look
from featlearn.pictures.histogram import code_histogram
from featlearn.pictures.mosaic import mosaic, picture_bytes
from featlearn.training.classifier import ClassifierConfig
from featlearn.training.config import TrainConfig

FORMATS = (".html", ".htm")
SHEET_VALUES = 400_000
"""Values of the filters that are drawn of a model: a sheet of five models fits into a page of 5 MB."""
SHEET_WIDTH = 640
"""Pixels that a sheet of filters is wide on the page, about."""
HISTOGRAM = 64
"""Levels of the histogram of code values."""
FIRST = (
    *("rmse", "explained_variance", "error_rate", "classifier_error", "raw_error", "log_likelihood"),
    *("log_likelihood_bound", "l0", "dead_units", "coherence"),
)
"""Measures of the first table; all of them stand in the last one."""
PER_CLASS = re.compile(r"(?P<what>.+)_error_(?P<count>\d+)")
SHORT = 60
"""Letters of a file's name in headings and tables."""


@dataclass(frozen=True)
class Reported(Result):
    """A report that was written."""

    output: str
    bytes: int
    models: tuple[str, ...]
    measured: tuple[Mapping[str, Any], ...]
    """What was measured of each model, as `evaluate` returns it."""


def report(
    models: Sequence[str],
    dataset: str,
    output: str,
    *,
    train: str | None = None,
    coding: CodingConfig | None = None,
    likelihood: LikelihoodConfig | None = None,
    classifier: ClassifierConfig | None = None,
    few: FewLabels | None = None,
    regularization: HiddenRegularization | None = None,
    training: TrainConfig | None = None,
    seed: int = 0,
    force: bool = False,
    given: Collection[str] = (),
    progress: Progress = no_progress,
    say: Say = log,
) -> Reported:
    """Measure models as `evaluate` does, and write one page of HTML with all that was found.

    The settings are those of `evaluate`. The page holds its pictures and loads nothing. Raises DataError,
    ConfigError, DivergedError.
    """
    nets = Nets(few or FewLabels(), regularization, training)
    measuring = Measuring.of(coding, likelihood, classifier, nets, seed, True, progress, say)
    measuring.refuse_idle(given, train)
    inputs = [*models, dataset, *([] if train is None else [train])]
    check_output(output, force, inputs)
    refuse_other_suffix("-o", output, FORMATS, "a report")
    opened = measuring.open(models, dataset, train)
    measured = measuring.all(opened)
    made = b""
    if ranks.rank == 0:
        made = _page(opened, measured, measuring)
        write_bytes(output, made, force, inputs)
    return Reported(output, len(made), tuple(models), tuple(dict(one.row) for one in measured))


def _page(opened: Opened, measured: Sequence[Measured], measuring: Measuring) -> bytes:
    paths = [learned.path for learned in opened.models]
    names = [_short(name) for name in short_names(paths)]
    twice = {name for name in names if names.count(name) > 1}
    names = [f"{name} ({i})" if name in twice else name for i, name in enumerate(names, 1)]
    ids = [f"model-{i}" for i in range(1, len(names) + 1)]
    per_class = measuring.classifier.per_class or ()
    rows = [one.row for one in measured]
    sections: list[tuple[str, str, list[str]]] = [
        ("compared", "Side by side", _compared(opened, measured, names, measuring)),
        *(
            (id, f"Model {name}", _of_model(learned, one))
            for id, name, learned, one in zip(ids, names, opened.models, measured, strict=True)
        ),
        ("measures", "All measures", [_all_measures(rows, names), page.paragraph(UNITS)]),
        ("data", "Data", _data(opened.datasets, measuring)),
        ("references", "References", _references([learned.file for learned in opened.models])),
    ]
    if per_class:
        sections.insert(1, ("labels", "Errors with few labels", [_errors(rows, names, per_class)]))
    title = f"{', '.join(names[:3])}{' ...' if names[3:] else ''} on {_short(opened.datasets[0].path)}"
    return page.page(
        f"Features compared: {title}" if names[1:] else f"Features of {title}",
        page.contents((id, title) for id, title, _ in sections),
        *(page.section(id, title, *markup) for id, title, markup in sections),
    )


UNITS = (
    "Errors are in units of the preprocessed data, likelihoods and free energies are means in nats per row. "
    "docs/evaluation.md of featlearn explains each measure."
)


def _short(path: str) -> str:
    """A name as headings and tables have it; the whole one stands beside the model."""
    name = printable(path)
    return name if len(name) <= SHORT else f"{name[: SHORT // 2]}...{name[-SHORT // 2 :]}"


def _compared(
    opened: Opened, measured: Sequence[Measured], names: Sequence[str], measuring: Measuring
) -> list[str]:
    coded = [f"{what}_{q}" for q in measuring.coding.bins for what in ("bits", "rmse")]
    keys = [key for key in (*FIRST, *coded) if any(key in one.row for one in measured)]
    rows = [
        [name, learned.file.model, learned.units, *(_measure(one.row.get(key)) for key in keys)]
        for name, learned, one in zip(names, opened.models, measured, strict=True)
    ]
    found = [
        page.table(
            "The models by their main measures; buttons sort.", ["model", "kind", "units", *keys], rows
        )
    ]
    if opened.differ:
        found.append(
            page.paragraph("The models' data are preprocessed in several ways: errors have different units.")
        )
    per_class = measuring.classifier.per_class or ()
    if per_class or any(one.codings for one in measured):
        image = drawn(measured, measuring.coding.bins, per_class, Look(), "SVG", {})
        what = "RMSE of reconstructions from quantised codes against the bits that these cost"
        if per_class:
            what += ", and errors of classifiers against the labelled rows of each class"
        found.append(page.picture(image, "SVG", f"{what}; the numbers stand in the tables", f"{what}."))
    return found


def _measure(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else None


def _errors(rows: Sequence[Mapping[str, Any]], names: Sequence[str], per_class: Sequence[int]) -> str:
    """The errors of classifiers: a row for each model and kind of classifier, a column for each count."""
    found: dict[tuple[str, tuple[tuple[float, float], ...]], list[str]] = {}
    for name, row in zip(names, rows, strict=True):
        for what in dict.fromkeys(match["what"] for match in map(PER_CLASS.fullmatch, row) if match):
            values = tuple((row[f"{what}_error_{n}"], row[f"{what}_spread_{n}"]) for n in sorted(per_class))
            found.setdefault((what, values), []).append(name)  # of raw inputs many models have the same
    body = [
        [f"{what.replace('_', ' ')}: {', '.join(of)}", *(_percent(*value) for value in values)]
        for (what, values), of in found.items()
    ]
    head = ["classifier", *(f"{n} per class" for n in sorted(per_class))]
    return page.table("Errors in %: mean and standard deviation over the draws of labelled rows.", head, body)


def _percent(mean: float, spread: float) -> tuple[float, str]:
    return 100 * mean, f"{100 * mean:.2f} \N{PLUS-MINUS SIGN} {100 * spread:.2f}"


def _all_measures(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    keys = [
        key for key in dict.fromkeys(key for row in rows for key in row) if key not in ("model", "advice")
    ]
    body = [[key, *(_measure(row.get(key)) for row in rows)] for key in keys]
    return page.table("All measures of all models.", ["measure", *names], body)


def _of_model(learned: LoadedModel, measured: Measured) -> list[str]:
    file, row = learned.file, measured.row
    return [
        page.paragraph(methods(learned)),
        page.items(one["text"] for one in row["advice"]) if row["advice"] else "",
        page.part("Filters", *_filters(learned)),
        page.part("Learning curve", *_curve(learned)),
        page.part("Code values", *_histogram(measured)),
        page.part("Settings", *_settings(file)),
        page.part("Origin", page.definitions(_origin(learned))),
    ]


def _filters(learned: LoadedModel) -> list[str]:
    """As many of them as a page has room for, in pixels; a browser enlarges the sheet."""
    F = learned.preprocess.to_pixels(learned.model.filters()).reshape(-1, *learned.shape)
    count = min(len(F), max(1, SHEET_VALUES // int(F[0].size)))
    sheet = mosaic(F[:count], scale=1)
    scale = max(1, round(SHEET_WIDTH / sheet.shape[1]))
    shown = f"{len(F)} filters" if count == len(F) else f"The first {count} of {len(F)} filters"
    words = f"{shown} of {shape_words(learned.shape[:2])} pixels, each scaled by itself; mid-grey is zero."
    image = picture_bytes(sheet, "PNG", png_text({"Content": learned.file.content_hash}))
    return [page.picture(image, "PNG", words, words, (sheet.shape[1] * scale, sheet.shape[0] * scale))]


def _curve(learned: LoadedModel) -> list[str]:
    """One a layer of a stack whose layers were learned one by one; none of what was learned in one epoch."""
    file, model = learned.file, learned.model
    runs = [("", run_of(file, model, file.model))]
    if file.layers and not panels(file.history):
        layers = enumerate(zip(file.layers, model.layers, strict=True), 1)
        runs = [(f" of layer {i}", run_of(one, layer, one.model)) for i, (one, layer) in layers]
    found = []
    for which, run in runs:
        if panels(run.history) and len(run.history["epoch"]) > 1:
            image = curve([run], panels(run.history), Look(), "SVG", {})
            words = f"Learning curve{which} over {int(run.history['epoch'][-1])} epochs."
            found.append(page.picture(image, "SVG", words, words))
    return found


def _histogram(measured: Measured) -> list[str]:
    for coding in measured.codings:
        if coding.bins == HISTOGRAM and len(coding.counts):
            total = int(coding.counts.sum())
            words = f"Histogram of all {total:,} code values, in {HISTOGRAM} levels; the axis is logarithmic."
            image = code_histogram(coding.levels, coding.counts, Look(), "SVG", {})
            return [page.picture(image, "SVG", words, words)]
    return []


def _settings(file: ModelFile) -> list[str]:
    if file.layers:
        return [
            page.paragraph(f"Layer {i}, {layer.model}:") + _settings_of(layer)
            for i, layer in enumerate(file.layers, 1)
        ]
    return [_settings_of(file)]


def _settings_of(file: ModelFile) -> str:
    values = sorted(settings_of(file).items())
    return page.definitions([(name, plain(value)) for name, value in values], short=True)


def _origin(learned: LoadedModel) -> list[tuple[str, str]]:
    file, known = learned.file, learned.file.provenance
    found = [("file", learned.path), ("content hash", file.content_hash), ("seed", str(file.seed))]
    if isinstance(known.get("argv"), list):
        found.append(("command", shlex.join(map(str, known["argv"]))))
    for one in known.get("inputs") or []:
        digest = one.get("digest")
        words = f"{one.get('name')}" + (f", SHA-256 {digest}" if digest else "")
        found.append((str(one.get("role", "input")), words))
    versions = {"featlearn": file.version} | (known.get("versions") or {})
    return [*found, ("versions", ", ".join(f"{name} {value}" for name, value in versions.items()))]


def _data(datasets: Sequence[Dataset], measuring: Measuring) -> list[str]:
    roles = ("Measured on", "Classifiers and free-energy gaps learned or taken from")
    found = []
    for role, data in zip(roles, datasets, strict=False):
        names = "none" if data.labels is None else ", ".join(data.label_names or ["numbers"])
        pairs = [
            *(("file", data.path), ("SHA-256", data.digest), ("patches", f"{len(data.patches):,}")),
            *(("shape", shape_words(data.shape)), ("labels", names)),
        ]
        found.append(page.part(role, page.definitions(pairs)))
    words = f"Measured by featlearn {__version__} with seed {measuring.seed}."
    return [*found, page.paragraph(words)]


def _references(files: Sequence[ModelFile]) -> list[str]:
    cited = papers(files)
    return [
        page.items(paper.full for paper in cited),
        page.part("BibTeX", page.listing("\n\n".join(paper.bibtex for paper in cited))),
    ]

"""What evaluate measures: a declaration of each key, for its output, its --only and its documentation."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from featlearn.errors import ConfigError
from featlearn.jobs.callbacks import Say
from featlearn.jobs.settings import Checked
from featlearn.settings import setting

LESS, MORE = "less", "more"
UNRELIABLE = "unreliable_"
"""Begins the keys of estimates that do not bear each other out."""
OTHER = "other"
"""The group of what is declared nowhere: of models of your own."""
UNMEASURED = ("model", "advice")
"""What a model's row has beside measures."""


@dataclass(frozen=True)
class Key:
    """A measure: the name of its key, in which N is a number and UNITS are hidden units of that name."""

    group: str
    name: str
    what: str
    unit: str = ""
    better: str = ""
    """LESS or MORE, or "" where neither is better by itself."""
    source: str = ""

    @property
    def stem(self) -> str:
        return self.name.removesuffix("_N")

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(self.name.replace("_N", "_[0-9]+").replace("UNITS", "[a-z_]+"))


def _group(name: str, *keys: tuple[str, ...]) -> list[Key]:
    return [Key(name, *one) for one in keys]


def _of_few(name: str, learner: str, source: str = "") -> list[tuple[str, ...]]:
    """Return the error of what learns few labels, and how far it spreads."""
    few = f"of {learner}, from N rows per class"
    return [
        (f"{name}_error_N", f"error {few}, mean over draws", ROWS, LESS, source),
        (f"{name}_spread_N", f"error {few}, standard deviation over draws", ROWS),
    ]


RANZATO = "Ranzato et al. 2007"
DATA, SHARE, NATS, ROWS = "data units", "share", "nats per row", "share of rows"
LIKELY, SPARSE = "Salakhutdinov & Murray 2008", "Vinje & Gallant 2000"
UNITS, ADVICE = "share of units", "docs/advice.md"
KEYS = (
    *_group(
        "reconstruction",
        ("rmse", "root mean square of reconstruct(x) - x", DATA, LESS),
        ("explained_variance", "1 - squared error over squares about the mean row", SHARE, MORE),
    ),
    *_group(
        "coding",
        ("bits_N", "entropy of codes in N levels", "bits per pixel", LESS, RANZATO),
        ("rmse_N", "rmse of decode(codes in N levels)", DATA, LESS, RANZATO),
        ("rmse_std_N", "error of codes in N levels over the mean row's", "1 is the mean row", LESS, RANZATO),
    ),
    *_group(
        "code",
        ("mean_activation", "mean code"),
        ("lifetime_sparsity", "sparsity of a unit over rows, mean", "0..1", "", SPARSE),
        ("population_sparsity", "sparsity of a row over units, mean", "0..1", "", SPARSE),
        ("l0", "units of a row's code that are not 0, mean", "units"),
        ("dead_units", "units that stay within .01 of rest", UNITS, LESS, ADVICE),
        ("saturated_units", "units that stay beyond .99, within .01", UNITS, LESS, ADVICE),
        ("relative_activity", "mean code over the wanted one, above rest", "1 is as wanted", "", ADVICE),
    ),
    *_group(
        "classes",
        ("selectivity", "how far units keep to one class each", "0..1", "", "Morcos et al. 2018"),
        ("purity", "rows of their most active unit's commonest class", ROWS, MORE, "Manning et al. 2008"),
    ),
    *_group(
        "classifier",
        ("classifier_error", "error of softmax regression on codes", ROWS, LESS),
        ("classifier_decay", "weight decay of softmax regression on codes, chosen on held-out rows"),
        ("raw_error", "error of softmax regression on the preprocessed inputs", ROWS, LESS),
        *_of_few("classifier", "softmax regression on codes"),
        *_of_few("raw", "softmax regression on the preprocessed inputs"),
        *_of_few("finetuned", "the fine-tuned net", "docs/deep.md"),
        *_of_few("random_UNITS", "a net of the model's shape from random weights", "docs/deep.md"),
        ("error_rate", "rows that the model itself puts into the wrong class", ROWS, LESS),
        ("loss", "mean of -log p(class | row) of the model itself", NATS, LESS),
        ("commonest_error", "error of naming the commonest class always", ROWS),
    ),
    *_group(
        "filters",
        ("coherence", "largest |cosine| of two filters", "0..1", LESS, "Donoho & Huo 2001"),
        ("kurtosis", "fourth moment over squared variance, median", "3 is noise"),
        ("hoyer", "sparseness of a filter's weights, mean", "0..1", "", "Hoyer 2004"),
        ("participation", "share of the patch that a filter fills, median", SHARE),
        ("support", "share of the patch above half the largest |w|, mean", SHARE),
        ("lag1", "autocorrelation of neighbouring weights, mean", "-1..1"),
        ("orientation", "one orientation 1, none 0; median", "0..1"),
        ("gabor_r2", "variance that a fitted Gabor function explains, median", SHARE),
        ("total_variation", "mean |difference of neighbours| over mean |w|"),
        ("orientation_gain", "orientation over that of random mixtures", "1 is noise", MORE, ADVICE),
        ("near_zero", "weights below 1 % of the largest", "share of weights"),
        ("edge_share", "filters with gabor_r2 >= .5 and orientation >= .3", "share of filters"),
        ("least_decoder_norm", "least norm of the decoder's columns, of SESM"),
        ("decoder_norm", "mean norm of the decoder's columns, of SESM"),
        ("largest_decoder_norm", "largest norm of the decoder's columns, of SESM"),
    ),
    *_group(
        "likelihood",
        ("free_energy", "mean of F(v), which is -log p(v) up to log Z", NATS),
        ("free_energy_gap", "mean of F(v) minus that of --train", NATS, LESS, "Hinton 2012"),
        ("pseudo_likelihood", "sum of log p(pixel | the others)", NATS, MORE, "Besag 1975"),
        ("likelihood_method", "exact, or ais: annealed importance sampling"),
        ("log_z", "log of the partition function", "nats", "", LIKELY),
        ("log_z_low", "log of the partition function, less three standard errors", "nats"),
        ("log_z_high", "log of the partition function, plus three standard errors", "nats"),
        ("log_likelihood", "mean of log p(v)", NATS, MORE, LIKELY),
        ("log_likelihood_bound", "lower bound of mean log p(v), of RBM stacks", NATS, MORE, "docs/deep.md"),
        ("effective_chains", "chains that log Z is worth", "chains", MORE, LIKELY),
        ("reverse_log_z", "log Z by the way back, with an error of the sign opposite to log_z's", "nats"),
        ("reverse_log_z_low", "log Z by the way back, less three standard errors", "nats"),
        ("reverse_log_z_high", "log Z by the way back, plus three standard errors", "nats"),
        ("reverse_log_likelihood", "mean of log p(v) by the way back", NATS, MORE),
        ("reverse_log_likelihood_bound", "lower bound of mean log p(v) by the way back", NATS, MORE),
        ("reverse_effective_chains", "chains that log Z by the way back is worth", "chains", MORE),
    ),
)  # fmt: skip
GROUPS = tuple(dict.fromkeys(key.group for key in KEYS))
GROUPS_SAID = ", ".join((*GROUPS, OTHER))
UNDECLARED = Key(OTHER, OTHER, "a measure of this kind of model alone")
"""Stands for all keys that are declared nowhere."""
OWN = ("free_energy", "free_energy_gap", "least_decoder_norm", "decoder_norm", "largest_decoder_norm")
"""What models measure of themselves."""


def key_of(name: str) -> Key | None:
    """Return the declaration of a key as it stands in a row, if there is one."""
    plain = name.removeprefix(UNRELIABLE)
    return next((key for key in KEYS if key.pattern.fullmatch(plain)), None)


def group_of(name: str) -> str:
    """Return the group of a key as it stands in a row."""
    key = key_of(name)
    return OTHER if key is None else key.group


def in_groups(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the keys of measures that models' rows have, by their groups, both in the usual order."""
    names = dict.fromkeys(name for row in rows for name in row if name not in UNMEASURED)
    found: dict[str, list[str]] = {group: [] for group in (*GROUPS, OTHER)}
    for name in names:
        found[group_of(name)].append(name)
    return {group: keys for group, keys in found.items() if keys}


@dataclass(frozen=True)
class Asked(Checked):
    """Which measures are asked for. Raises ConfigError for names that are none."""

    only: tuple[str, ...] = setting(
        (),
        f"measure nothing but these keys or groups, as rmse,classifier; groups are {GROUPS_SAID}",
        metavar="NAMES",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.only and not self.names:
            raise ConfigError("--only: names no measure; give keys or groups, as rmse,classifier")
        assert self.chosen  # names are held against the declarations

    @cached_property
    def chosen(self) -> frozenset[Key]:
        """The keys that are asked for; all where nothing is said."""
        found = {key for name in self.names for key in named(name)}
        return frozenset(found if self.names else (*KEYS, UNDECLARED))

    @property
    def names(self) -> list[str]:
        """The names one by one; what is unreliable goes by the name that it has else."""
        names = (name.strip() for one in self.only for name in one.split(","))
        return [name.removeprefix(UNRELIABLE) for name in names if name not in ("", UNRELIABLE)]

    def wants(self, *names: str) -> bool:
        """Whether any key of these names or groups is asked for."""
        return any(not {key.group, key.name}.isdisjoint(names) for key in self.chosen)

    def refuse_idle(self, option: str, *names: str) -> None:
        """Raise ConfigError for an option that serves none but keys of these names or groups, all unasked."""
        if not self.wants(*names):
            raise ConfigError(
                f"{option}: does nothing with --only {','.join(self.names)}; leave one of them out"
            )

    def of(self, rows: Collection[Mapping[str, Any]], say: Say) -> tuple[dict[str, Any], ...]:
        """Return models' rows without what was not asked for; say which names none has.

        Raises ConfigError where nothing is left.
        """
        there = {name for row in rows for name in row if name not in UNMEASURED}
        vain = [name for name in self.names if not any(_stands_for(name, key) for key in there)]
        why = (
            f"--only {','.join(vain)}: nothing of it is measured of these models and data; "
            "docs/evaluation.md says what each measure needs, such as labels"
        )
        if vain and len(vain) == len(self.names):
            raise ConfigError(why)
        if vain:
            say(f"warning: {why}")
        if not self.names:
            return tuple(dict(row) for row in rows)
        return tuple(
            {
                key: value
                for key, value in row.items()
                if key in UNMEASURED or any(_stands_for(name, key) for name in self.names)
            }
            for row in rows
        )


def named(name: str) -> list[Key]:
    """Return the keys that a name stands for: a group, a key with its numbered forms, or one of a number."""
    if name == OTHER:
        return [UNDECLARED]
    exact = [key for key in KEYS if name in (key.group, key.name)]
    forms = [key for key in KEYS if key.stem == name and (not exact or key.group == exact[0].group)]
    found = exact + forms or [key for key in KEYS if key.pattern.fullmatch(name)]
    if not found:
        known = list(dict.fromkeys([*GROUPS, OTHER, *(key.stem for key in KEYS)]))
        near = get_close_matches(name, known, 3, 0.5)
        hint = f"the nearest are {', '.join(near)}" if near else f"groups are {GROUPS_SAID}"
        raise ConfigError(f"--only {name}: no such measure; {hint}")
    return found


def is_form(name: str) -> bool:
    """Whether a name is that of one number or one kind of units, such as bits_5."""
    return not any(name in (one.group, one.name, one.stem) for one in (*KEYS, UNDECLARED))


def _stands_for(name: str, key: str) -> bool:
    """Whether a name stands for a key of a row: rmse for rmse, bits for bits_5, bits_5 for itself alone."""
    declared, plain = key_of(key) or UNDECLARED, key.removeprefix(UNRELIABLE)
    return declared in named(name) and (plain == name or not is_form(name))

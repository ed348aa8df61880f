"""The measures of evaluate as they are declared: which there are, what is printed of them, and --only."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import featlearn
from featlearn.errors import ConfigError
from featlearn.jobs import measuring
from featlearn.jobs.evaluate import evaluate
from featlearn.jobs.finetune_settings import FewLabels
from featlearn.jobs.measure_keys import GROUPS, KEYS, OTHER, UNMEASURED, Asked, in_groups, key_of
from featlearn.training.classifier import ClassifierConfig
from helpers import ok, refused

DOCS = Path(__file__).parent.parent / "docs" / "evaluation.md"


def table():
    """The table of all keys, as docs/evaluation.md has it."""
    lines = ["| group | key | what | unit | better | source |", "|---|---|---|---|---|---|"]
    for key in KEYS:
        name = f"`{key.name}`".replace("UNITS", "relu")
        cells = (key.group, name, key.what.replace("|", r"\|"), key.unit, key.better, key.source)
        lines.append(f"| {' | '.join(cells)} |".replace("|  ", "| "))
    return "\n".join(lines)


def test_the_documentation_has_the_table_of_all_keys():
    assert table() in DOCS.read_text("utf-8")


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_the_words_of_a_key_stand_alone(key):
    """With --only none may stand before it that they could mean."""
    assert not re.match("(that|the same)\\b", key.what)
    assert not re.search(r"\b(its?|they|them|these|this|those|same)\b", key.what)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Binary rows of two classes, and small models of them."""
    folder, rng = tmp_path_factory.mktemp("keys"), np.random.default_rng(0)
    y = np.arange(60) % 2
    X = (rng.random((60, 4, 4)) < np.where(y == 1, 0.7, 0.3)[:, None, None]).astype(np.uint8) * 255
    np.save(folder / "x.npy", X)
    (folder / "y.idx").write_bytes(np.array([0x801, 60], ">i4").tobytes() + y.astype(np.uint8).tobytes())
    cut = {"size": "whole", "threshold": 0.5, "say": print}
    featlearn.extract_patches([folder / "x.npy"], folder / "d.h5", labels=str(folder / "y.idx"), **cut)
    featlearn.extract_patches([folder / "x.npy"], folder / "u.h5", **cut)
    learn = {"epochs": 1, "say": print}
    for id, hidden in (("rbm", 9), ("label-rbm", 3), ("sesm", 3), ("dbn", (3, 2))):
        featlearn.train(folder / "d.h5", folder / f"{id}.h5", model=id, hidden=hidden, **learn)
    more = {"sparsity_target": 0.1, "optimizer": "sgd"}
    featlearn.train(
        folder / "d.h5", folder / "sparse.h5", model="sparse-autoencoder", hidden=9, **more, **learn
    )
    return folder


@pytest.fixture(scope="module")
def rows(place):
    """What all ways to measure find of the models."""

    def measured(id, data="d.h5", **options):
        options |= {"say": lambda text: None}
        return featlearn.evaluate(place / f"{id}.h5", place / data, **options).models[0]

    few = {"per_class": (3,), "draws": 2, "finetune": True, "random": "relu", "epochs": 1}
    ais = {"ais_chains": 10, "ais_betas": 20, "burn_in": 1}
    return [
        measured("rbm", likelihood="ais", train=place / "d.h5", **ais),
        measured("dbn", likelihood="ais", **ais),
        measured("label-rbm"),
        measured("sesm", "u.h5"),
        measured("sparse", train=place / "d.h5", **few),
    ]


def test_all_keys_are_declared_and_there(rows):
    """None is undeclared; and all that are declared are had from one of these models."""
    found = {name for row in rows for name in row if name not in UNMEASURED}
    assert OTHER not in in_groups(rows)
    assert {key_of(name) for name in found} == set(KEYS)
    assert {key.group for key in KEYS} == set(GROUPS)
    for key in KEYS:
        assert [other for other in KEYS if other.pattern.fullmatch(key.name)] in ([key], [])


def test_people_read_groups_with_units_and_arrows(place, run_here):
    line = ("evaluate", place / "rbm.h5", place / "u.h5")
    (row,) = json.loads(ok(run_here(*line, "--json")).out)["models"]
    lines = ok(run_here(*line)).out.splitlines()
    assert lines[0].split() == ["model", str(place / "rbm.h5")]
    headings = [text for text in lines[1:] if text and not text.startswith(" ")]
    assert headings == [group for group in GROUPS if group in in_groups([row])]
    shown = [text.split()[0] for text in lines if text.startswith("  ")]
    assert sorted(shown) == sorted(name for name in row if name not in UNMEASURED)
    for name, mark in (
        ("rmse", "\N{DOWNWARDS ARROW}"),
        ("explained_variance", "\N{UPWARDS ARROW}"),
        ("l0", "units"),
    ):
        text = next(text for text in lines if text.split()[:1] == [name])
        assert text.endswith(mark)
        assert text.split()[1] == f"{row[name]:.4g}"
    explained = ok(run_here(*line, "--explain")).out.partition("explained\n")[2].splitlines()
    assert [text.split()[0] for text in explained] == shown
    bits = next(text for text in explained if "bits_256" in text)
    assert re.fullmatch(
        r"  bits_256 +entropy of codes in 256 levels; bits per pixel; less is better; Ranzato et al. 2007",
        bits,
    )
    refused(run_here(*line, "--explain", "--json"), "--explain: is for people", code=2)


PARTS = {  # what is asked for: the work that it needs, and whether the data that were learned from
    "rmse": ({"Reconstruction"}, False),
    "bits,rmse_5": ({"Reconstruction", "Extent", "codings"}, False),
    "code": ({"Activity"}, False),
    "selectivity": ({"Selectivity"}, False),
    "filters": ({"of_filters", "OwnMetrics"}, False),
    "coherence": ({"of_filters"}, False),
    "free_energy": ({"OwnMetrics"}, False),
    "pseudo_likelihood": ({"likelihoods"}, False),
    "likelihood,l0": ({"OwnMetrics", "likelihoods", "Activity", "_gap"}, True),
    "classifier": ({"classify"}, True),
    "raw_error": ({"classify"}, True),
}
WORK = ("of_filters", "codings", "likelihoods", "classify", "errors_of_nets", "_gap")


@pytest.mark.parametrize("only", PARTS)
def test_what_is_not_asked_for_is_not_computed(only, place, monkeypatch):
    work, trained = PARTS[only]
    train = {"train": place / "d.h5"} if trained else {}
    whole = featlearn.evaluate(place / "rbm.h5", place / "d.h5", say=print, **train).models[0]
    done = set()
    for name in WORK:
        real = getattr(measuring, name)

        def noted(*args, real=real, name=name, **options):
            done.add(name)
            return real(*args, **options)

        monkeypatch.setattr(measuring, name, noted)
    one_pass = measuring.measured_in_one_pass

    def noted_pass(codes, measures, labels):
        done.update(type(one).__name__ for one in measures)
        return one_pass(codes, measures, labels)

    monkeypatch.setattr(measuring, "measured_in_one_pass", noted_pass)
    found = featlearn.evaluate(place / "rbm.h5", place / "d.h5", only=only, say=print, **train).models[0]
    assert done == work
    names = {name: value for name, value in found.items() if name not in UNMEASURED}
    assert names == {name: whole[name] for name in names}
    for one in only.split(","):
        numbered = "" if one in whole else "(_[0-9]+)?"
        wanted = {name for name in whole if re.fullmatch(one + numbered, name)}
        wanted = {name for name in whole if name not in UNMEASURED and key_of(name).group == one} or wanted
        assert wanted <= names.keys()
    assert all(key_of(name) in Asked((only,)).chosen for name in names)
    if only == "bits,rmse_5":
        assert names.keys() == {"bits_5", "bits_256", "rmse_5"}


@pytest.mark.parametrize(
    ("only", "option"),
    [
        ("classifier_error", ("--finetune",)),
        ("classifier_error", ("--finetune", "--epochs", 300)),
        ("raw_error_3", ("--finetune", "--hidden-dropout", 0.5)),
        ("finetuned_error", ("--finetune", "--random", "relu")),
    ],
)
def test_nets_that_are_not_asked_for_are_refused(only, option, place, run_here):
    line = ("evaluate", place / "rbm.h5", place / "d.h5", "--train", place / "d.h5", "--per-class", 3)
    refused(run_here(*line, *option, "--only", only), f"does nothing with --only {only}", code=2)


def test_nets_that_are_not_asked_for_are_not_made(place, monkeypatch):
    """Of a caller that says nothing of what was given."""
    monkeypatch.setattr(measuring, "errors_of_nets", lambda *args: 1 / 0)
    few = {"classifier": ClassifierConfig(per_class=(3,), draws=2), "few": FewLabels(finetune=True)}
    asked = Asked(("classifier_error",))
    files = ([str(place / "rbm.h5")], str(place / "d.h5"))
    (row,) = evaluate(*files, train=str(place / "d.h5"), asked=asked, **few).models
    assert row.keys() == {"model", "classifier_error_3", "advice"}


def test_what_is_declared_nowhere_goes_by_its_group(place, monkeypatch):
    real = measuring.OwnMetrics.result
    monkeypatch.setattr(measuring.OwnMetrics, "result", lambda self: real(self) | {"mine": 3.0})
    files = (place / "rbm.h5", place / "d.h5")
    row = featlearn.evaluate(*files, only="other", say=print).models[0]
    assert row.keys() - {*UNMEASURED} == {"mine"}
    row = featlearn.evaluate(*files, only="rmse,other", say=print).models[0]
    assert row.keys() - {*UNMEASURED} == {"rmse", "mine"}


def test_what_is_unreliable_goes_by_either_name():
    rows = ({"model": "a", "unreliable_log_z": 1.0, "rmse": 2.0}, {"model": "b", "log_z": 1.0})
    for only in ("log_z", "unreliable_log_z"):
        assert Asked((only,)).of(rows, print) == (
            {"model": "a", "unreliable_log_z": 1.0},
            {"model": "b", "log_z": 1.0},
        )


def test_a_picture_has_all_that_it_draws(place, tmp_path):
    line = {"only": "code", "train": place / "d.h5", "per_class": (3,), "draws": 2, "say": print}
    with pytest.raises(ConfigError, match=r"^--train: does nothing with --only code; leave one of them out$"):
        featlearn.evaluate(place / "rbm.h5", place / "d.h5", **line)
    line["only"] = "code,classifier_error_3"
    row = featlearn.evaluate(place / "rbm.h5", place / "d.h5", plot=tmp_path / "p.png", **line).models[0]
    assert (tmp_path / "p.png").exists()
    assert "classifier_error_3" in row
    assert not {"rmse", "bits_5", "raw_error_3", "classifier_spread_3"} & row.keys()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"only": ""}, r"--only: names no measure; give keys or groups, as rmse,classifier$"),
        ({"only": " , "}, r"--only: names no measure"),
        ({"only": "rsme"}, r"--only rsme: no such measure; the nearest are rmse"),
        ({"only": "xyzzy"}, r"--only xyzzy: no such measure; groups are reconstruction, coding.*, other$"),
        ({"only": "rmse,classifer"}, r"--only classifer: no such measure; the nearest are classifier"),
        ({"only": "classifier_error"}, r"--only classifier_error: is not measured without --train$"),
        ({"only": "rmse,free_energy_gap"}, r"--only free_energy_gap: is not measured without --train$"),
        ({"only": "log_z"}, r"--only log_z: is not measured without --likelihood$"),
        ({"only": "bits_7"}, r"--only bits_7: is not measured without --bins 7$"),
        ({"only": "raw_spread", "train": 1}, r"--only raw_spread: is not measured without --per-class$"),
        (
            {"only": "raw_error_7", "train": 1, "per_class": (3,)},
            r"--only raw_error_7: is not measured without --per-class 7$",
        ),
        (
            {"only": "classifier_decay", "train": 1, "per_class": (3,)},
            r"--only classifier_decay: is not measured with --per-class$",
        ),
        (
            {"only": "finetuned_error", "train": 1, "per_class": (3,)},
            r"--only finetuned_error: is not measured without --finetune$",
        ),
        (
            {"only": "random_relu_error_3", "train": 1, "per_class": (3,)},
            r"--only random_relu_error_3: is not measured without --random$",
        ),
        ({"only": "rmse", "likelihood": "auto"}, r"--likelihood: does nothing with --only rmse; leave one"),
        ({"only": "rmse", "bins": (3,)}, r"--bins: does nothing with --only rmse; leave one"),
    ],
)
def test_what_is_asked_for_in_vain_is_refused(options, words, place, monkeypatch):
    """Before any model is read."""
    monkeypatch.setattr(measuring.Measuring, "open", lambda *args: 1 / 0)
    options |= {"train": place / "d.h5"} if "train" in options else {}
    with pytest.raises(ConfigError, match=f"^{words}"):
        featlearn.evaluate(place / "rbm.h5", place / "d.h5", say=print, **options)


def test_what_only_the_models_tell_comes_with_the_picture(place, tmp_path):
    files, said = (place / "rbm.h5", place / "d.h5"), []
    options = {"plot": tmp_path / "p.png", "say": said.append}
    row = featlearn.evaluate(*files, only="rmse,error_rate", **options).models[0]
    assert row.keys() - {*UNMEASURED} == {"rmse"}
    assert any(re.match("warning: --only error_rate: nothing of it is measured", text) for text in said)
    (tmp_path / "p.png").unlink()
    with pytest.raises(ConfigError, match=r"^--only error_rate: nothing of it is measured"):
        featlearn.evaluate(*files, only="error_rate", **options)
    assert (tmp_path / "p.png").exists()

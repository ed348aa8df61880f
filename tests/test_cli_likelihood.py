"""Likelihoods and samples from the command line: evaluate --likelihood and --train, sample, binary pixels."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image

from featlearn import ranks
from featlearn.analysis.partition import exact_log_z
from featlearn.files.model import read_model
from featlearn.jobs.sample import _start
from featlearn.jobs.settings import Chains
from featlearn.jobs.store import load_model, load_rows
from helpers import tiles_in


def report(run_here, *args):
    ran = run_here(*args, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def evaluate(run_here, *args):
    return report(run_here, "evaluate", *args)["models"][0]


@pytest.fixture(scope="module")
def binary(work, run_here, tmp_path_factory):
    """A folder with binary patches (p.h5), grey ones (grey.h5), and RBMs of binary (m.h5) and Gaussian units
    (g.h5)."""
    folder = tmp_path_factory.mktemp("binary")
    cut = ("--size", 6, "--count", 300, "--normalize", "none")
    report(run_here, "extract-patches", work.photos, *cut, "--threshold", 0.5, "-o", folder / "p.h5")
    report(run_here, "extract-patches", work.photos, *cut, "-o", folder / "grey.h5")
    options = ("--model", "rbm", "--hidden", 8, "--persistent", "--centered", "--epochs", 3, "--lr", 0.1)
    report(run_here, "train", folder / "p.h5", *options, "--validation", 0.2, "-o", folder / "m.h5")
    report(run_here, "train", work.patches, *options[:-2], "--lr", 0.01, "-o", folder / "g.h5")
    return folder


def test_threshold_makes_binary_pixels(binary):
    rows, data, _ = load_rows(str(binary / "p.h5"), say=print)
    X = rows.block(0, len(rows))
    assert set(np.unique(X)) == {0, 1}
    np.testing.assert_array_equal(X == 1, data.patches[:] > 0.5 * 255)
    assert len(np.unique(data.patches)) > 20  # the pixels stay as they were
    assert (rows.low, rows.high) == (0, 1)


def test_exact_likelihood(binary, run_here):
    found = evaluate(
        run_here, binary / "m.h5", binary / "p.h5", "--likelihood", "exact", "--train", binary / "p.h5"
    )
    learned = load_model(str(binary / "m.h5"))
    X = load_rows(str(binary / "p.h5"), like=learned, say=print)[0].block(0, 300)
    log_z = exact_log_z(learned.model.machines()[0])
    free_energy = learned.model.free_energy(X).mean()
    assert found["log_z"] == pytest.approx(log_z)
    assert found["free_energy"] == pytest.approx(free_energy, rel=1e-6)
    assert found["log_likelihood"] == pytest.approx(-free_energy - log_z, rel=1e-6)
    assert found["free_energy_gap"] == 0
    assert found["pseudo_likelihood"] > found["log_likelihood"]


def test_annealed_likelihood(binary, run_here):
    exact = evaluate(run_here, binary / "m.h5", binary / "p.h5", "--likelihood", "exact")
    options = ("--likelihood", "ais", "--ais-betas", 500, "--ais-chains", 50, "--burn-in", 100)
    found = evaluate(run_here, binary / "m.h5", binary / "p.h5", *options)
    assert found["log_z"] == pytest.approx(exact["log_z"], abs=0.5)
    assert found["reverse_log_z"] == pytest.approx(exact["log_z"], abs=0.5)
    assert found["log_z_low"] < exact["log_z"] < found["log_z_high"]
    assert found == evaluate(run_here, binary / "m.h5", binary / "p.h5", *options)
    other = evaluate(run_here, binary / "m.h5", binary / "p.h5", *options, "--seed", 1)
    assert found["log_z"] != other["log_z"]


def test_the_gap_is_how_much_higher_the_free_energy_is_than_that_of_the_training_data(
    binary, run_here, tmp_path
):
    cut = ("--size", 6, "--count", 200, "--normalize", "none", "--threshold", 0.5)
    report(run_here, "extract-patches", "dead-leaves", *cut, "-o", tmp_path / "other.h5")
    learned = load_model(str(binary / "m.h5"))
    mean = {}
    for path in (binary / "p.h5", tmp_path / "other.h5"):
        rows = load_rows(str(path), like=learned, say=print)[0]
        mean[path] = learned.model.free_energy(rows.block(0, len(rows))).mean(dtype=float)
    for data, train in itertools.permutations(mean):
        gap = evaluate(run_here, binary / "m.h5", data, "--train", train)["free_energy_gap"]
        assert gap == pytest.approx(mean[data] - mean[train], rel=1e-4)
        assert abs(gap) > 0.01


def test_a_gaussian_machine_has_no_pseudo_likelihood(binary, work, run_here):
    found = evaluate(run_here, binary / "g.h5", work.patches, "--likelihood", "exact")
    assert "pseudo_likelihood" not in found
    assert found["log_likelihood"] < 0
    table = run_here("evaluate", binary / "g.h5", binary / "g.h5", work.patches)
    assert table.code == 0


def test_grey_pixels_are_told(binary, run_here):
    ran = run_here("evaluate", binary / "m.h5", binary / "grey.h5")
    assert ran.code == 0  # what the model was trained with makes them binary
    assert "drawn from the grey ones" not in ran.err
    report(
        run_here, "train", binary / "grey.h5", "--model", "rbm", "--epochs", 1, "-o", binary / "grey-model.h5"
    )
    ran = run_here("evaluate", binary / "grey-model.h5", binary / "grey.h5")
    assert "drawn from the grey ones" in ran.err


def test_refusals(work, binary, run_here, tmp_path):
    ran = run_here(
        "train", work.patches, "--model", "rbm", "--hidden", 30, "--epochs", 1, "-o", tmp_path / "30.h5"
    )
    assert ran.code == 0
    ran = run_here("evaluate", tmp_path / "30.h5", work.patches, "--likelihood", "exact")
    assert (ran.code, len(ran.error_lines)) == (2, 1)
    assert "30 hidden units, at most 22" in ran.err
    assert (
        run_here(
            "train", binary / "p.h5", "--model", "rbm", "--hidden", 30, "-o", tmp_path / "b.h5", "-q"
        ).code
        == 0
    )
    ran = run_here("evaluate", tmp_path / "b.h5", binary / "p.h5", "--likelihood", "exact")
    assert "30 units in the smaller layer, at most 22" in ran.err
    ran = run_here(
        "train", work.patches, "--model", "rbm", "--units", "rectified", "-o", tmp_path / "r.h5", "-q"
    )
    assert ran.code == 0
    for option in (("--likelihood", "ais"), ("--train", work.patches)):
        ran = run_here("evaluate", tmp_path / "r.h5", work.patches, *option)
        assert (ran.code, len(ran.error_lines)) == (2, 1)
        assert option[0] in ran.err
    ran = run_here("sample", binary / "m.h5", "-o", tmp_path / "s.png", "--steps", 5, "--every", 6)
    assert (ran.code, len(ran.error_lines)) == (2, 1)
    assert not (tmp_path / "s.png").exists()
    ran = run_here("sample", binary / "p.h5", "-o", tmp_path / "s.png")
    assert (ran.code, len(ran.error_lines)) == (1, 1)


def test_what_one_model_cannot_be_asked_is_refused_before_another_takes_its_time(
    work, binary, run_here, monkeypatch
):
    def started(*args):
        raise AssertionError("an estimate began")

    monkeypatch.setattr("featlearn.jobs.measuring.likelihoods", started)
    rectified = binary / "rectified.h5"
    assert (
        run_here("train", work.patches, "--model", "rbm", "--units", "rectified", "-o", rectified, "-q").code
        == 0
    )
    for models, options, word in (
        (("g.h5", "rectified.h5"), ("--likelihood", "ais"), "binary hidden units"),
        (("g.h5", "rectified.h5"), ("--train", work.patches), "rectified.h5"),
        (("g.h5", "g.h5"), ("--train", binary / "p.h5"), "6x6x1"),
        (("g.h5", "m.h5"), (), "6x6x1"),
    ):
        ran = run_here("evaluate", *(binary / name for name in models), work.patches, *options)
        assert len(ran.error_lines) == 1
        assert word in ran.err


def test_free_energies_stand_in_the_history(binary, run_here, tmp_path):
    history = read_model(str(binary / "m.h5")).history
    assert np.isfinite(history["probe_free_energy"]).all()
    assert np.isfinite(history["validation_free_energy"]).all()
    assert run_here("visualize", binary / "m.h5", "--what", "curve", "-o", tmp_path / "c.png").code == 0
    with Image.open(tmp_path / "c.png") as image:
        assert image.height > image.width  # two panels


@pytest.mark.parametrize("model", ["m", "g"])
def test_samples(model, binary, work, run_here, tmp_path):
    out = tmp_path / "s.png"
    found = report(run_here, "sample", binary / f"{model}.h5", "-o", out, "--count", 9, "--steps", 20)
    assert (found["chains"], found["steps"], found["times"]) == (9, 20, 1)
    with Image.open(out) as image:
        first = np.asarray(image)
        assert image.text["Content"] == read_model(str(binary / f"{model}.h5")).content_hash
    assert first.std() > 5
    again = (binary / f"{model}.h5", "-o", out, "--count", 9, "--steps", 20, "--force")
    report(run_here, "sample", *again)
    assert np.array_equal(np.asarray(Image.open(out)), first)
    report(run_here, "sample", *again, "--seed", 1)
    assert not np.array_equal(np.asarray(Image.open(out)), first)


def test_chains_from_data_begin_with_the_data(binary, run_here, tmp_path):
    """One line of tiles a time, the data first; one column a chain."""
    out = tmp_path / "s.png"
    args = ("--data", binary / "p.h5", "--count", 4, "--steps", 6, "--every", 3, "--no-labels", "-o", out)
    assert report(run_here, "sample", binary / "m.h5", *args)["times"] == 2
    X = load_rows(str(binary / "p.h5"), say=print)[0].block(0, 4).reshape(4, 6, 6)
    with Image.open(out) as image:
        sheet = np.asarray(image)
    tiles = tiles_in(sheet, (12, 1, 1, 6, 6), columns=4)
    np.testing.assert_array_equal(tiles[:4, 0, 0], X * 255)


@pytest.mark.parametrize("units", ["binary", "rectified"])
@pytest.mark.parametrize("visible", ["gaussian", "bernoulli"])
def test_chains_begin_with_what_the_units_are(visible, units, binary, run_here, tmp_path):
    """Not with what the data are: grey pixels as they are for Gaussian units, drawn for binary ones; so the
    noise."""
    path = str(tmp_path / "m.h5")
    options = ("--model", "rbm", "--epochs", 1, "--visible", visible, "--units", units)
    assert run_here("train", binary / "grey.h5", *options, "-o", path).code == 0
    learned = load_model(path)
    X = load_rows(str(binary / "grey.h5"), like=learned, say=print)[0].block(0, 5)
    for data in (None, str(binary / "grey.h5")):
        V, _ = _start(Chains(count=5, steps=1, data=data), learned, print)
        assert (set(np.unique(V)) == {0, 1}) == (visible == "bernoulli")
        assert np.array_equal(V, X) == (data is not None and visible == "gaussian")


def test_chains_look_at_every_step_whether_a_rank_has_failed(binary, run_here, monkeypatch):
    """They meet others at their end alone, which may be minutes away."""
    looks = []
    monkeypatch.setattr(ranks, "heed", lambda: looks.append(1))
    chains = ("--likelihood", "ais", "--ais-betas", 10, "--ais-chains", 4)
    report(run_here, "evaluate", binary / "m.h5", binary / "p.h5", *chains, "--only", "likelihood")
    assert len(looks) > 20


def test_a_number_that_is_not_to_be_trusted_says_so_in_its_name(work, run_here, tmp_path):
    """Ten distributions on the way are too few."""
    learn = ("--model", "rbm", "--hidden", 40, "--lr", 0.02, "--epochs", 4, "-o", tmp_path / "m.h5")
    assert run_here("train", work.patches, *learn).code == 0
    args = ("evaluate", tmp_path / "m.h5", work.patches, "--likelihood", "auto", "--ais-betas", 10)
    as_json, as_text = run_here(*args, "--json"), run_here(*args)
    found = json.loads(as_json.out)["models"][0]
    assert found["likelihood_method"] == "ais"
    assert found["effective_chains"] < 10
    assert found["unreliable_log_z_low"] is None
    fewest = min(found["effective_chains"], found["reverse_effective_chains"])
    for ran in (as_json, as_text):
        assert ran.code == 0
        assert f"{fewest:.3g} of 100 chains carry all the weight" in ran.err
    for keys in (found, as_text.out.split()):
        numbers = [key for key in keys if key.endswith("log_likelihood") and "reverse" not in key]
        assert numbers == ["unreliable_log_likelihood"]


def test_estimates_that_contradict_each_other_are_told(binary, run_here, monkeypatch):
    chains = {"effective_chains": 70.0, "reverse_effective_chains": 80.0}
    args = ("evaluate", binary / "m.h5", binary / "p.h5", "--likelihood", "ais")
    good = chains | {"log_z": 1.0, "reverse_log_z": 1.5}
    bad = chains | {"unreliable_log_z": 1.0, "unreliable_reverse_log_z": 31.5}
    for found, told in ((good, False), (bad, True)):
        monkeypatch.setattr("featlearn.jobs.measuring.likelihoods", lambda *args, found=found: found)
        ran = run_here(*args)
        assert ("1 on the way there and 31.5 on the way back; believe neither" in ran.err) == told


def test_auto_is_exact_for_few_units(binary, run_here):
    args = ("evaluate", binary / "m.h5", binary / "p.h5", "--likelihood")
    assert evaluate(run_here, *args[1:], "auto") == evaluate(run_here, *args[1:], "exact")


def test_models_have_defaults_of_their_own(run_here):
    """Of the training's settings too; the command line wins."""
    rates = {
        "mcrbm": "0.075",
        "rbm": "8 over the mean squared length of a row, at most 0.1 (gaussian: half of it)",
        "k-sparse": "0.5 (sigmoid units: 4)",
    }
    for model, batch in (("mcrbm", 128), ("rbm", 100), ("k-sparse", 100)):
        assert f"batch_size = {batch}\n" in run_here("train", "--model", model, "--show-config").out
        words = " ".join(run_here("train", "--model", model, "--help").out.split())
        assert f"Learning rate of sgd, adam. [default: sgd {rates[model]}; adam 0.001; x>0]" in words
    assert "epochs = 3\n" in run_here("train", "--model", "mcrbm", "--epochs", 3, "--show-config").out


def test_models_of_several_kinds_in_one_table(binary, work, run_here, tmp_path):
    """What one of them lacks is left open."""
    options = ("--model", "mcrbm", "--hidden", 5, "--hidden-cov", 6, "--factors", 6, "--epochs", 1)
    assert run_here("train", work.patches, *options, "-o", tmp_path / "cov.h5").code == 0
    args = ("evaluate", binary / "m.h5", binary / "g.h5")
    assert run_here(*args, work.patches).code == 1  # 6x6 and 8x8 patches
    assert (
        run_here(
            "train", work.patches, "--model", "rbm", "--units", "rectified", "-o", tmp_path / "r.h5"
        ).code
        == 0
    )
    ran = run_here("evaluate", tmp_path / "r.h5", tmp_path / "cov.h5", work.patches)
    assert ran.code == 0
    table = {line.split()[0]: line.split()[1:] for line in ran.out.splitlines() if line}
    assert table["free_energy"][0] == "-"
    assert float(table["free_energy"][1]) > 0

"""Advice: each measure on arrays whose answer is known, each line drawn by one run and not by another."""

import copy
import json
import math
import struct

import numpy as np
import pytest

import model_bytes
from featlearn.analysis.advice import (
    excess,
    fall,
    judge,
    of_classes,
    of_classifier,
    of_filters,
    of_run,
    of_units,
    unlearned,
)
from featlearn.analysis.filters import filter_statistics, orientation_gain
from featlearn.analysis.units import Units
from featlearn.files.model import read_model
from featlearn.jobs.advice import WORDS, advise, in_options
from featlearn.models import model_class, model_ids
from featlearn.models.base import DataSummary
from featlearn.models.k_sparse import KSparse
from featlearn.models.network import Network
from featlearn.models.rbm import RBM
from featlearn.models.sparse_autoencoder import SparseAutoencoder
from featlearn.random import Random
from featlearn.training.config import TrainConfig
from helpers import SINGLE, THIRDS, ok, write_thirds

GOOD = {
    **{
        "explained_variance": 0.5,
        "dead_units": 0.1,
        "unlearned_units": 0.1,
        "saturated_units": 0.1,
        "fall": 0.01,
    },
    **{"relative_activity": 1.9, "orientation_gain": 1.7, "orientation": 0.2, "kurtosis": 3.0, "lag1": 0.3},
    **{"validation_excess": 0.1, "classifier_excess": -0.01, "classifier_error": 0.1, "raw_error": 0.1},
}


def edges(k=100, size=8, seed=0):
    """(k, size, size, 1) Gabor functions of random places and orientations."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    out = []
    for _ in range(k):
        turn, (cy, cx) = rng.uniform(0, np.pi), rng.uniform(2, size - 3, 2)
        along = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        wide = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 6)
        out.append(wide * np.cos(1.6 * along + rng.uniform(0, 2 * np.pi)))
    return np.array(out)[..., None]


def noise(k=100, size=8, blur=0, seed=0):
    """(k, size, size, 1) normal numbers, averaged over `blur` neighbours in both directions."""
    F = np.random.default_rng(seed).normal(size=(k, size + blur, size + blur))
    window = [slice(i, size + i) for i in range(blur + 1)]
    return sum(F[:, rows, columns] for rows in window for columns in window)[..., None]


def units_of(*blocks):
    units = Units(np.shape(blocks[0])[1])
    for H in blocks:
        units.add(np.asarray(H, np.float32))
    return units


def machine(hidden=10, **settings):
    made = RBM(RBM.Config(hidden=hidden, visible="gaussian", **settings))
    made.init(16, Random(0))
    return made


def test_units_over_several_blocks():
    units = units_of([[0, 0.005, 1, 0.5], [0, -0.005, 1, 0]], [[0.02, 0, 0.995, 1]])
    assert units.mean == pytest.approx([0.02 / 3, 0, 2.995 / 3, 0.5])
    assert units.dead().tolist() == [False, True, False, False]
    assert units.saturated().tolist() == [False, False, True, False]


def test_units_of_small_codes_are_not_dead():
    """An autoencoder of linear units on data of a thousandth."""
    assert units_of([[1e-3, 2e-3, 1e-6], [0, -2e-3, 0]]).dead().tolist() == [False, False, True]
    assert units_of(np.zeros((3, 2))).dead().tolist() == [True, True]


def test_linear_units_do_not_saturate():
    assert not units_of([[7.0, 7.0], [9.0, 7.5]]).saturated().any()


def test_units_at_rest_are_dead_and_not_saturated():
    units = units_of([[-1, -1, 1, -1], [-1, 0.3, 1, -0.5]])
    assert units.dead(-1.0).tolist() == [True, False, False, False]
    assert units.saturated(-1.0).tolist() == [False, False, True, False]
    assert units.saturated().tolist() == [True, False, True, False]


@pytest.mark.parametrize(("activation", "mean"), [("sigmoid", 0.1), ("tanh", -0.8)])
def test_activity_is_that_above_rest(activation, mean):
    """Of sigmoid units .1 where .05 is wanted; tanh units rest at -1 and reach twice as far."""
    model = SparseAutoencoder(SparseAutoencoder.Config(hidden=2, activation=activation, sparsity_target=0.05))
    found = of_units(model, units_of([[mean, mean]]))
    assert found["relative_activity"] == pytest.approx(2)


def test_activity_needs_a_target():
    assert "relative_activity" not in of_units(machine(), units_of([[0.5]]))
    assert of_units(machine(sparsity_target=0.02), units_of([[0.01]]))["relative_activity"] == pytest.approx(
        0.5
    )


@pytest.mark.parametrize("blur", [0, 1, 2])
def test_mixtures_of_noise_are_noise(blur):
    """A random mixture of independent normal filters has their own distribution, however smooth they are."""
    assert orientation_gain(noise(400, blur=blur)) == pytest.approx(1, abs=0.2)


def test_mixtures_lose_edges():
    assert orientation_gain(edges()) > 2.5
    assert filter_statistics(edges(20))["orientation_gain"] > 2


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_told_from_edges_spots_and_blobs(channels):
    def found(F):
        return judge(of_filters(np.repeat(F, channels, axis=3)))

    spots = 0.01 * noise(seed=1)
    spots[np.arange(100), np.arange(100) % 8, np.arange(100) % 7] = 1
    assert found(noise()) == found(noise(blur=2)) == found(0.001 * noise()) == ["noise"]
    assert found(edges()) == found(spots) == found(noise(size=32, blur=24)) == []


def test_few_or_flat_filters_are_not_judged():
    assert of_filters(noise(7)) == of_filters(np.ones((20, 8, 8, 1))) == {}
    assert of_filters(noise(8))
    flat = np.concatenate([noise(50), np.ones((50, 8, 8, 1))])
    assert judge(of_filters(flat)) == ["noise"]


def test_many_filters_are_judged_by_some_of_them():
    assert of_filters(noise(1000)) == of_filters(noise(1000)[::2])


def test_fall_is_the_share_of_a_geometric_loss():
    assert fall(2 * 0.98 ** np.arange(20)) == pytest.approx(0.02)
    assert fall(0.98 ** np.arange(3)) == pytest.approx(0.02)
    early = np.concatenate([0.5 ** np.arange(30), np.full(3, 0.5**29)])
    assert fall(early) == pytest.approx(0, abs=1e-12)
    assert fall(np.array([2.0, 1.0])) == fall(np.array([1.0, 0.5, 0.0])) == fall(-(0.5 ** np.arange(9))) == 0


def test_excess_is_beyond_two_standard_errors():
    rng = np.random.default_rng(0)
    train, twice = rng.chisquare(4, 100_000), 4 * rng.chisquare(4, 100_000)
    assert excess(train, twice) == pytest.approx(1, abs=0.02)
    few = rng.chisquare(4, 10)
    assert excess(train, 1.2 * few / few.mean() * train.mean()) < 0  # ten rows do not tell
    assert excess(train, train) < 0
    assert excess(np.zeros(5), np.ones(5)) == excess(np.ones(5), np.ones(1)) == 0


def test_unlearned_units_are_the_live_ones_that_still_point_where_they_did():
    start = np.random.default_rng(0).normal(size=(10, 50))
    F = np.random.default_rng(1).normal(size=(10, 50))
    F[:4] = 3 * start[:4]
    F[3] += 0.5 * np.abs(start[3]).max() * np.sign(F[9])
    dead = np.zeros(10, bool)
    assert unlearned(F, start, dead) == 0.3
    dead[0] = True
    assert unlearned(F, start, dead) == 0.2
    assert unlearned(-F, start, dead) == 0


def test_a_run_is_measured_by_its_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(0.1, 1, (400, 16)).astype(np.float32)
    model, start = machine(), machine()
    found = of_run(model, start, X, X[:100] + 3)
    R = X - model.reconstruct(X)
    assert found["explained_variance"] == pytest.approx(
        1 - np.square(R).sum() / np.square(X - X.mean(0)).sum(), 1e-4
    )
    assert found["unlearned_units"] == 1
    model.params["c"][:3] = 20
    # those that are always on have a word of their own
    assert of_run(model, start, X, X[:0])["unlearned_units"] == 0.7
    model.params["c"][:3] = 0
    assert found["validation_excess"] > 1
    model.params["W"][:, :3] = rng.normal(size=(16, 3))
    model.params["c"][3] = -20
    found = of_run(model, start, X, X[:0])
    assert (found["unlearned_units"], found["dead_units"]) == (0.6, 0.1)
    assert "validation_excess" not in found


def test_pixels_that_never_vary_say_nothing_of_learning():
    """Weights of a digit's border stay what they were."""
    model = machine()
    model.params["W"][4:] *= 1000
    start = copy.deepcopy(model)
    model.params["W"][:4] = np.random.default_rng(0).normal(size=(4, 10))
    X = np.zeros((50, 16), np.float32)
    X[:, :4] = np.random.default_rng(1).normal(size=(50, 4))
    assert of_run(model, start, X, X[:0])["unlearned_units"] == 0


def test_nothing_is_found_in_what_is_good():
    assert judge(GOOD) == judge({}) == []


def test_what_follows_from_another_fault_is_not_said():
    """Filters that stay what they were are noise, and dead units reconstruct nothing: one line each."""
    bad = {"explained_variance": 0.0, "orientation_gain": 1.0}
    assert judge(GOOD | bad) == ["nothing", "noise"]
    assert judge(GOOD | bad | {"unlearned_units": 0.5}) == ["unlearned"]
    assert judge(GOOD | bad | {"dead_units": 0.5}) == ["noise", "dead"]
    assert judge(GOOD | {"dead_units": 0.5, "unlearned_units": 0.5}) == ["dead"]
    assert judge(GOOD | bad | {"fall": 0.1}) == ["noise", "falling"]


def test_noise_of_photographs_that_are_not_whitened_asks_for_that_too():
    noisy, training = GOOD | {"orientation_gain": 1.0}, {"epochs": 20, "decay": "none", "lr": 0.1}
    (one,) = advise(machine(), training, noisy, whitened=False)
    assert one["options"] == "extract-patches --whiten zca, then --sparsity-target 0.02 --lr-schedule linear"
    settings = {"sparsity_target": 0.02, "hidden": 10}
    (one,) = advise(machine(**settings), training | {"lr_schedule": "linear"}, noisy, whitened=False)
    assert one["options"] == "extract-patches --whiten zca"


def test_no_higher_rate_is_named_where_units_die():
    training, slow = {"epochs": 20, "decay": "none", "lr": 0.01}, GOOD | {"unlearned_units": 0.2}
    assert advise(machine(), training, slow | {"dead_units": 0.0})[0]["options"] == "--lr 0.1"
    assert advise(machine(), training, slow)[0]["options"] == "--epochs 40"


def test_few_updates_say_nothing_of_the_rate():
    slow = GOOD | {"unlearned_units": 0.2, "dead_units": 0.0, "epoch": 3.0}
    for lr, step, wanted in ((0.01, 60, "--epochs 50"), (0.01, 600, "--lr 0.1"), (None, 3, "--epochs 100")):
        training = {"epochs": 3, "decay": "none", "lr": lr}
        assert advise(machine(), training, slow | {"step": float(step)})[0]["options"] == wanted


def test_an_error_above_that_of_the_mean_row_is_said():
    training, bad = {"epochs": 20, "decay": "none", "lr": 0.01}, GOOD | {"explained_variance": -0.05}
    assert judge(bad) == ["worse"]
    assert judge(bad | {"dead_units": 0.5}) == ["worse", "dead"]
    assert judge(GOOD | {"explained_variance": -0.03}) == ["nothing"]
    assert [one["options"] for one in advise(machine(), training, bad)] == ["--lr 0.001"]
    stuck = bad | {"unlearned_units": 1.0, "dead_units": 0.0}  # no lower rate where nothing has moved
    assert [one["options"] for one in advise(machine(), training, stuck)] == ["--lr 0.1", "--lr 0.1"]


def test_a_long_mean_row_has_another_remedy_than_rates():
    bad = GOOD | {"dead_units": 0.5, "explained_variance": -0.05}
    for length, wanted in ((11, "extract-patches --normalize standardize"), (9, "--lr 0.001")):
        found = advise(machine(), {"epochs": 20, "decay": "none", "lr": 0.01}, bad | {"mean_length": length})
        assert [one["options"] for one in found] == [wanted, wanted]


def test_the_mean_row_is_measured_where_it_counts():
    X = np.random.default_rng(0).normal(5, 0.5, (400, 16)).astype(np.float32)
    for id, wanted in (("rbm", True), ("k-sparse", False), ("pca", False)):
        cls = model_class(id)
        model = cls(cls.resolve(cls.Config(hidden=8), DataSummary(16, -math.inf, math.inf)))
        model.init(16, Random(0), np.full(16, 5.0))
        found = of_run(model, model, X, X[:0])
        assert ("mean_length" in found) == wanted
        assert not wanted or found["mean_length"] == pytest.approx(10, rel=0.05)


def test_a_sigma_that_was_given_is_to_be_left_out():
    training, bad = {"epochs": 20, "decay": "none", "lr": 0.01}, GOOD | {"orientation_gain": 1.0}
    assert advise(machine(sigma=3.0), training, bad)[0]["options"].endswith("without --sigma")
    assert (
        advise(machine(sigma=3.0), training, GOOD | {"explained_variance": 0.0})[0]["options"]
        == "without --sigma"
    )


def test_few_rows_a_hidden_unit_ask_for_more_patches():
    training = {"epochs": 20, "decay": "none", "lr": 0.01}
    partly = GOOD | {"orientation": 0.4, "rows_per_unit": 19.0}
    assert judge(partly | {"rows_per_unit": 20.0}) == judge(GOOD | {"orientation": 0.4}) == []
    assert judge(partly | {"orientation": 0.5}) == judge(partly | {"kurtosis": 6.0}) == []
    assert judge({key: value for key, value in partly.items() if key != "orientation_gain"}) == []
    noisy = partly | {"orientation_gain": 1.0, "orientation": 0.2}
    assert judge(noisy) == ["noise"]
    (one,) = advise(machine(), training, partly)
    assert (one["key"], one["options"]) == ("few", "extract-patches --count 1000")
    assert advise(machine(), training, partly, whitened=False)[0]["options"] == "extract-patches --count 1000"
    sparse = KSparse(KSparse.Config(hidden=10))
    for measures, wanted in (
        (noisy, "extract-patches --count 1000"),
        (noisy | {"rows_per_unit": 20.0}, ""),
    ):
        assert advise(sparse, training, measures)[0]["options"] == wanted
    (one,) = advise(machine(), training, noisy, whitened=False)
    assert one["options"].startswith("extract-patches --whiten zca --count 1000, then --sparsity-target 0.02")


def test_rows_a_hidden_unit_are_those_of_the_training(white, run_here, tmp_path):
    out = tmp_path / "m.h5"
    args = ("train", white, "--hidden", 64, "-o", out, "--force", "--json")
    for model, wanted in (("k-sparse", 25.0), ("pca", None)):
        assert run_here(*args, "--model", model, "--validation", 0.2).code == 0
        assert measured(out).get("rows_per_unit") == wanted
    few = json.loads(run_here(*args, "--model", "k-sparse", "--validation", 0.8, "--epochs", 100).out)
    assert "extract-patches --count 6400" in [one["options"] for one in few["advice"]]
    (row,) = json.loads(run_here("evaluate", out, white, "--json").out)["models"]
    assert "extract-patches --count 6400" in [one["options"] for one in row["advice"]]


def test_units_that_an_initial_bias_kept_silent_need_another():
    training = {"epochs": 20, "decay": "none", "lr": 0.01}
    for key, change in (
        ("dead", {"dead_units": 1.0}),
        ("unlearned", {"unlearned_units": 1.0, "dead_units": 0.0}),
    ):
        for bias, active, wanted in ((-8, 0.0003, True), (-8, 0.02, False), (0, 0.0003, False)):
            (one,) = advise(machine(hidden_bias=bias), training, GOOD | change | {"initial_activity": active})
            assert (one["key"], one["options"] == "without --hidden-bias") == (key, wanted)
    for target, wanted in ((0.02, True), (0.0005, False)):  # units that are to be active so seldom begin so
        found = GOOD | {"dead_units": 1.0, "initial_activity": 0.0005}
        (one,) = advise(machine(hidden_bias=-7.6, sparsity_target=target), training, found)
        assert (one["options"] == "without --hidden-bias") == wanted


@pytest.mark.parametrize(
    "id",
    [
        id
        for id in SINGLE
        if "hidden_bias" in model_class(id).Config.__dataclass_fields__ and not model_class(id).labelled
    ],
)
def test_no_model_begins_silent_by_itself(id, white, run_here, tmp_path):
    """Nor does it where it is told to be active in 1 of 2000 rows; a bias of -8 is named, in evaluate too."""
    short = ("--model", id, "--epochs", 1, "--hidden", 10, "-o", tmp_path / "m.h5", "--force", "--json")
    for more in ((), ("--sparsity-target", 0.0005), ("--activation", "tanh")):
        if more and more[0].strip("-") not in model_class(id).Config.__dataclass_fields__:
            continue
        ran = run_here("train", white, *short, *more)
        assert "--hidden-bias" not in [one["options"] for one in json.loads(ran.out)["advice"]], more
    ran = run_here("train", white, *short, "--hidden-bias", -8)
    (row,) = json.loads(run_here("evaluate", tmp_path / "m.h5", white, "--json").out)["models"]
    for report in (json.loads(ran.out), row):
        assert "without --hidden-bias" in [one["options"] for one in report["advice"]]


@pytest.mark.parametrize("key", ["orientation", "kurtosis", "lag1"])
def test_noise_has_neither_orientation_nor_spots_nor_blobs(key):
    noisy = GOOD | {"orientation_gain": 1.5}
    assert judge(noisy) == ["noise"]
    assert judge(noisy | {key: {"orientation": 0.3, "kurtosis": 6.0, "lag1": 0.85}[key]}) == []


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("worse", {"explained_variance": -0.05}),
        ("nothing", {"explained_variance": 0.03}),
        ("noise", {"orientation_gain": 1.5}),
        ("dead", {"dead_units": 0.11}),
        ("unlearned", {"unlearned_units": 0.11}),
        ("saturated", {"saturated_units": 0.11}),
        ("activity", {"relative_activity": 2.1}),
        ("activity", {"relative_activity": 0.4}),
        ("falling", {"fall": 0.011}),
        ("validation", {"validation_excess": 0.11}),
        ("classifier", {"classifier_excess": 0.001}),
    ],
)
def test_each_line_has_one_measure_and_words_of_one_line(key, change):
    (one,) = advise(machine(), {"epochs": 20, "decay": "none", "lr": 0.01, "validation": 0.1}, GOOD | change)
    assert one["key"] == key
    assert one["text"].endswith(f"; try {one['options']}" if one["options"] else "")
    assert "\n" not in one["text"]


def test_units_that_say_the_same_of_all_rows_are_alike():
    H = np.array([[0.5, 0.5, 0.0, 3.0], [0.5, 0.5, 0.0, 3.0], [0.5, 0.502, 0.0, 3.004]])
    units = units_of(H[:2], H[2:])
    assert units.alike().tolist() == [True, True, True, False]
    assert units_of(H[:, :3]).alike().tolist() == [True, False, True]


def test_a_net_is_measured_by_its_codes_and_the_shares_of_classes():
    net = Network(Network.Config(hidden=(6, 4), classes=3))
    net.init(5, Random(0))
    X = np.random.default_rng(0).random((40, 5)).astype(np.float32)
    labels = np.array([0, 2, 2, 1, 2])
    found = of_classes(net, X, labels)
    assert found["commonest_error"] == pytest.approx(0.4)
    assert found["shares_loss"] == pytest.approx(-0.4 * math.log(0.2) - 0.6 * math.log(0.6))
    assert found["alike_units"] < 1
    net.params["c1"][:] = -100  # dead: the layer above has nothing to go by
    assert of_classes(net, X, labels)["alike_units"] == 1


def test_a_net_that_tells_nothing_has_a_remedy():
    """More updates where there were few; then another rate, lower where the net knows less than nothing."""
    net = Network(Network.Config(hidden=(6, 4), classes=3))
    good = {"error_rate": 0.5, "commonest_error": 0.6, "loss": 1.0, "shares_loss": 1.1, "alike_units": 0.5}
    training = {"epochs": 10, "decay": "none", "lr": 0.01, "validation": 0.0}

    def said(change, place):
        return [(one["key"], one["options"]) for one in advise(net, training, good | change | place)]

    few, many = {"step": 100, "epoch": 10}, {"step": 1000, "epoch": 10}
    assert said({}, few) == said({}, many) == []
    bad = {"error_rate": 0.58}
    assert said(bad, few) == [("classes", "--epochs 100")]
    assert said(bad, many) == said(bad, {}) == [("classes", "--lr 0.1")]
    assert said(bad | {"loss": 1.2}, many) == [("classes", "--lr 0.001")]
    assert said(bad | {"alike_units": 0.95}, many) == [("alike", "--lr 0.001")]
    training["lr"] = None
    assert said(bad, many) == [("classes", "--epochs 20")]


def test_nets_that_tell_nothing_are_said(run_here, tmp_path):
    """By train and by evaluate, of a net and of a stack with classes on top; good ones are not."""
    write_thirds(tmp_path / "thirds.h5", THIRDS, 200)
    train = ("train", tmp_path / "thirds.h5", "-o", tmp_path / "net.h5", "--force", "--json", "--model")
    assert json.loads(ok(run_here(*train, "softmax")).out)["advice"] == []
    short = ("--epochs", 1, "--batch-size", 100, "--lr", 1e-6, "--activation", "sigmoid")
    [one] = json.loads(ok(run_here(*train, "network", *short)).out)["advice"]
    assert (one["key"], one["options"]) == ("classes", "--epochs 500")
    assert measured(tmp_path / "net.h5")["commonest_error"] == pytest.approx(0.6, abs=0.06)
    ran = ok(run_here("evaluate", tmp_path / "net.h5", tmp_path / "thirds.h5", "--json"))
    [found] = json.loads(ran.out)["models"]
    assert [(one["key"], one["options"]) for one in found["advice"]] == [("classes", "--epochs 500")]
    layers = ("--layer", "rbm:hidden=5", "--layer", "label-rbm:hidden=4,epochs=1")
    found = json.loads(ok(run_here(*train, "stack", *layers)).out)["advice"]
    assert "layer 2: " in next(one["text"] for one in found if one["key"] in ("classes", "alike"))


def test_the_classifier_is_judged_by_two_standard_errors():
    def margin(codes, raw, n=10_000):
        return of_classifier({"classifier_error": codes, "raw_error": raw}, n)["classifier_excess"]

    spread = 2 * math.sqrt((0.1 * 0.9 + 0.12 * 0.88) / 10_000)
    assert margin(0.12, 0.1) == pytest.approx(0.02 - spread)
    assert margin(0.12, 0.1, 100) < 0 < margin(0.12, 0.1)
    assert of_classifier({"rmse": 1.0}, 10) == {}


def test_of_few_labels_the_most_count():
    errors = {
        "classifier_error_10": 0.5,
        "raw_error_10": 0.2,
        "classifier_error_1000": 0.1,
        "raw_error_1000": 0.2,
    }
    spreads = {"classifier_spread_1000": 0.03, "raw_spread_1000": 0.04}
    found = of_classifier(errors | spreads, 10**9)
    assert (found["classifier_error"], found["raw_error"]) == (0.1, 0.2)
    assert found["classifier_excess"] == pytest.approx(-0.1 - 2 * 0.05, abs=1e-4)


@pytest.mark.parametrize("id", SINGLE)
def test_remedies_are_settings(id):
    cls = model_class(id)
    known = {*TrainConfig.__dataclass_fields__, *cls.Config.__dataclass_fields__, "model"}
    for config in (cls.Config(), *cls.variants().values()):
        for key, settings in (
            cls(cls.resolve(config, DataSummary(12, *model_bytes.span(cls), classes=3))).remedies().items()
        ):
            assert key in WORDS
            assert settings.keys() <= known
            assert settings.get("model", id) in model_ids()


def test_options_leave_out_what_is_so_already():
    wanted = {
        "sparsity_target": 0.02,
        "lr": 0.1,
        "lr_schedule": "linear",
        "sparsity_method": None,
        "centered": True,
    }
    assert (
        in_options(wanted, {})
        == "--sparsity-target 0.02 --lr 0.1 --lr-schedule linear without --sparsity-method --centered"
    )
    assert in_options(wanted, {"lr": 0.1, "sparsity_method": None, "sparsity_target": 0.05}).startswith(
        "--sparsity-target 0.02 --lr-sch"
    )
    assert in_options(wanted, wanted) == ""


def measured(path):
    """What a model file holds of the finished run."""
    return read_model(str(path)).progress["run"]["measured"]


@pytest.fixture(scope="module")
def white(tmp_path_factory, run_here):
    """Whitened 8x8 patches of dead leaves."""
    path = tmp_path_factory.mktemp("white") / "white.h5"
    prepare = ("--size", 8, "--count", 2000, "--normalize", "center", "--whiten", "zca")
    assert run_here("extract-patches", "dead-leaves", "-o", path, *prepare).code == 0
    return path


def test_train_says_what_helps_and_says_it_again(white, run_here, tmp_path):
    """An RBM without a target makes noise of photographs."""
    out = tmp_path / "noise.h5"
    args = ("train", white, "--model", "rbm", "--hidden", 30, "--epochs", 5, "-o", out)
    ran = run_here(*args)
    lines = [line for line in ran.err.splitlines() if line.startswith("advice: the filters look like noise")]
    assert len(lines) == 1
    assert lines[0].endswith("; try --sparsity-target 0.02 --lr 0.1 --lr-schedule linear")
    assert "advice" not in ran.out
    again = run_here(*args, "--resume")
    assert [line for line in again.err.splitlines() if line.startswith("advice: ")] == [
        line for line in ran.err.splitlines() if line.startswith("advice: ")
    ]
    quiet = run_here(*args, "--force", "--quiet", "--json")
    assert quiet.err == ""
    told = json.loads(quiet.out)
    assert [f"advice: {one['text']}" for one in told["advice"]] == [
        line for line in ran.err.splitlines() if line.startswith("advice: ")
    ]
    assert {tuple(one) for one in told["advice"]} == {("key", "text", "options")}
    assert measured(out)["orientation_gain"] < 1.3
    assert all(type(value) is float for value in measured(out).values())


def test_patches_that_are_not_whitened_are_told_to_be(run_here, tmp_path):
    data, out = tmp_path / "standard.h5", tmp_path / "noise.h5"
    prepare = ("--size", 8, "--count", 2000, "--normalize", "standardize", "--whiten", "none")
    assert run_here("extract-patches", "dead-leaves", "-o", data, *prepare).code == 0
    noisy = ("--model", "autoencoder", "--activation", "sigmoid", "--no-tied", "--epochs", 60)
    trained = json.loads(run_here("train", data, *noisy, "-o", out, "--json").out)
    (measured,) = json.loads(run_here("evaluate", out, data, "--json").out)["models"]
    for report in (trained, measured):
        told = {one["key"]: one["options"] for one in report["advice"]}
        assert told["noise"] == "extract-patches --whiten zca, then --model k-sparse"


def test_a_good_run_gets_no_advice(white, run_here, tmp_path):
    """The options that the advice names, and k-sparse untouched, make edges of the same patches."""
    rbm = (
        "--model",
        "rbm",
        "--sparsity-target",
        0.02,
        "--lr",
        0.1,
        "--lr-schedule",
        "linear",
        "--epochs",
        60,
    )
    for options in (rbm, ("--model", "k-sparse", "--epochs", 60)):
        ran = run_here(
            "train", white, *options, "--hidden", 30, "-o", tmp_path / "good.h5", "--force", "--json"
        )
        assert json.loads(ran.out)["advice"] == []
        assert "advice: " not in ran.err


def test_rows_that_are_no_images_have_no_filters_to_look_at(run_here, tmp_path):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(500, 30)).astype(np.float32))
    assert (
        run_here(
            "extract-patches", tmp_path / "rows.npy", "--normalize", "standardize", "-o", tmp_path / "rows.h5"
        ).code
        == 0
    )
    out = tmp_path / "rbm.h5"
    ran = run_here("train", tmp_path / "rows.h5", "--model", "rbm", "--epochs", 3, "-o", out, "--json")
    assert "noise" not in [one["key"] for one in json.loads(ran.out)["advice"]]
    assert "orientation_gain" not in measured(out)


def test_filters_of_plain_pixels_are_not_called_noise(run_here, tmp_path):
    data, out = tmp_path / "pixels.h5", tmp_path / "noise.h5"
    prepare = ("--size", 8, "--count", 500, "--normalize", "none")
    assert run_here("extract-patches", "dead-leaves", "-o", data, *prepare).code == 0
    assert run_here("train", data, "--model", "autoencoder", "--epochs", 1, "-o", out).code == 0
    assert "orientation_gain" not in measured(out)
    (row,) = json.loads(run_here("evaluate", out, data, "--json").out)["models"]
    assert row["orientation_gain"] < 1.6
    assert "noise" not in [one["key"] for one in row["advice"]]


def test_a_loss_that_still_falls_asks_for_epochs_unless_the_run_was_stopped(white, run_here, tmp_path):
    args = (
        "train",
        white,
        "--model",
        "autoencoder",
        "--epochs",
        3,
        "-o",
        tmp_path / "ae.h5",
        "--force",
        "--json",
    )
    told = {one["key"]: one["options"] for one in json.loads(run_here(*args).out)["advice"]}
    assert told["falling"] == "--epochs 6"
    stopped = json.loads(run_here(*args[:-4], "--epochs", 50, "--tolerance", 0.06, *args[-4:]).out)
    epochs = stopped["epochs"]
    assert 3 <= epochs < 50
    assert "falling" not in [one["key"] for one in stopped["advice"]]
    ended = json.loads(run_here(*args[:-4], "--epochs", epochs, *args[-4:]).out)
    assert "falling" in [one["key"] for one in ended["advice"]]


def test_the_refinement_has_a_length_of_its_own(white, run_here, tmp_path):
    out = tmp_path / "refined.h5"
    refine = ("--refine", 80, "--refine-lr", 0.0005)
    ran = run_here("train", white, "--model", "rbm", "--epochs", 3, *refine, "-o", out, "--json")
    told = {one["key"]: one["options"] for one in json.loads(ran.out)["advice"]}
    history = read_model(str(out)).history
    assert measured(out)["fall"] == pytest.approx(
        fall(history["error"][history["phase"] == 1] ** 2), rel=1e-3
    )
    assert told["falling"] == "--refine 160"
    assert run_here("train", white, "--model", "rbm", *refine[:1], 40, "-o", out, "--force").code == 0
    assert measured(out)["fall"] == 0  # two epochs of refinement, after twenty of another loss


def test_losses_under_a_falling_k_are_not_compared(white, run_here, tmp_path):
    out = tmp_path / "ramp.h5"
    args = ("train", white, "--model", "k-sparse", "--hidden", 100, "--epochs", 5, "-o", out, "--force")
    assert run_here(*args, "--k-ramp", 1).code == 0
    assert measured(out)["fall"] == 0
    assert run_here(*args, "--k-ramp", 0.1).code == 0
    assert measured(out)["fall"] != 0


def test_held_out_rows_that_are_not_learned_are_said(white, run_here, tmp_path):
    base = ("train", white, "--model", "autoencoder", "--optimizer", "lbfgs", "--hidden", 60, "--json")
    few = run_here(*base, "--validation", 0.96, "--epochs", 100, "-o", tmp_path / "few.h5")
    many = run_here(*base, "--validation", 0.1, "--epochs", 10, "-o", tmp_path / "many.h5")
    told = {one["key"]: one["options"] for one in json.loads(few.out)["advice"]}
    assert told["validation"] == "--validation 0.48"
    assert "validation" not in [one["key"] for one in json.loads(many.out)["advice"]]


def test_evaluate_uses_the_same_words_and_judges_codes_by_a_classifier(run_here, tmp_path):
    """One unit cannot tell four classes apart, which their pixels do."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 1000)
    X = np.clip(rng.random((4, 36))[y] + rng.normal(scale=0.1, size=(1000, 36)), 0, 1).reshape(-1, 6, 6)
    np.save(tmp_path / "x.npy", X.astype(np.float32))
    (tmp_path / "y").write_bytes(struct.pack(">2I", 2049, len(y)) + y.astype(np.uint8).tobytes())
    data = tmp_path / "data.h5"
    ran = run_here(
        "extract-patches", tmp_path / "x.npy", "--labels", tmp_path / "y", "--size", "whole", "-o", data
    )
    assert ran.code == 0, ran.err
    keys = {}
    for hidden in (1, 40):
        out = tmp_path / f"{hidden}.h5"
        assert (
            run_here("train", data, "--model", "k-sparse", "--k", 1, "--hidden", hidden, "-o", out).code == 0
        )
        ran = run_here("evaluate", out, data, "--train", data, "--json")
        (row,) = json.loads(ran.out)["models"]
        keys[hidden] = {one["key"]: one["options"] for one in row["advice"]}
        assert [line for line in ran.err.splitlines() if line.startswith("advice: ")] == [
            f"advice: {out}: {one['text']}" for one in row["advice"]
        ]
    assert keys[1]["classifier"] == "--hidden 4"
    assert "classifier" not in keys[40]
    assert (
        "advice" not in run_here("evaluate", tmp_path / "1.h5", tmp_path / "40.h5", data, "--train", data).out
    )

"""Autoencoders against plain numpy lines and central differences; what they refuse."""

import numpy as np
import pytest

from featlearn.errors import ConfigError
from featlearn.models.autoencoder import Autoencoder
from featlearn.models.base import DataSummary, Step
from featlearn.models.denoising import Denoising
from featlearn.models.sparse_autoencoder import SparseAutoencoder
from featlearn.ops.arrays import total
from featlearn.ops.reduce import mean, rmse
from featlearn.random import Random
from featlearn.training.gradcheck import check_gradients, check_model

FUNCTIONS = {
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
    "leaky-relu": lambda a: np.where(a > 0, a, 0.01 * a),
    "prelu": None,  # its slopes are learned
    "maxout": lambda a: np.maximum(*np.split(a, 2, axis=1)),
    "linear": lambda a: a,
}


def make(cls, d=12, dtype=np.float64, low=0.0, high=1.0, **config):
    """A model with random parameters, biases included."""
    model = cls(cls.resolve(cls.Config(**{"hidden": 5, **config}), DataSummary(d, low, high)), dtype)
    model.init(d, Random(3))
    for i, value in enumerate(model.params.values()):
        value += np.random.default_rng(i).normal(scale=0.5, size=value.shape).astype(dtype)
    return model


def data(n=9, d=12):
    return np.random.default_rng(7).uniform(size=(n, d))


@pytest.mark.parametrize("f", FUNCTIONS)
@pytest.mark.parametrize("tied", [False, True, None])
def test_codes_reconstructions_and_loss_are_those_of_the_equations(f, tied):
    if tied and f == "maxout":
        with pytest.raises(ConfigError, match="--tied"):
            make(Autoencoder, activation=f, tied=True)
        return
    for g, loss in [
        ("sigmoid", "squared"),
        ("sigmoid", "cross-entropy"),
        ("tanh", "squared"),
        ("linear", "squared"),
    ]:
        model, X = make(Autoencoder, activation=f, tied=tied, output_units=g, loss=loss), data()
        p = model.params
        A = X @ p["W"] + p["c"]
        H = np.where(A > 0, A, p["s"] * A) if f == "prelu" else FUNCTIONS[f](A)
        assert ("D" in p) == (f == "maxout" if tied is None else not tied)
        Y = FUNCTIONS[g](H @ p.get("D", p["W"]).T + p["b"])
        np.testing.assert_allclose(model.encode(X), H, rtol=1e-12)
        np.testing.assert_allclose(model.decode(H), Y, rtol=1e-12)
        wanted = ((Y - X) ** 2 / 2).sum() / len(X)
        if loss == "cross-entropy":
            wanted = -(X * np.log(Y) + (1 - X) * np.log(1 - Y)).sum() / len(X)
        metrics, _ = model.gradient(X, Step(0, 0))
        assert metrics["loss"] == pytest.approx(wanted, rel=1e-12)
        assert metrics["error"] == pytest.approx(np.sqrt(np.mean((Y - X) ** 2)), rel=1e-12)
        assert metrics["mean_activation"] == pytest.approx(H.mean())


@pytest.mark.parametrize("cls", [Autoencoder, Denoising, SparseAutoencoder])
def test_dropout_leaves_hidden_units_out_of_what_the_decoder_sees(cls):
    """By the mask that the derivative of the loss by the decoder's weights shows; the rest is scaled up."""
    options = {"tied": False, "output_units": "linear", "activation": "sigmoid", "loss": "squared"}
    more = {"noise": 0.0, "corruption": "masking"} if cls is Denoising else {}
    model, X = make(cls, hidden=40, hidden_dropout=0.3, **options, **more), data(400)
    p, H = model.params, model.encode(X)
    masks = []
    for i in range(len(X)):
        _, grads = model.gradient(X[i : i + 1], Step(i, 0))
        masks.append(grads["D"].any(axis=0))
        seen = H[i] * masks[-1] / 0.7
        R = seen @ p["D"].T + p["b"] - X[i]
        np.testing.assert_allclose(grads["D"], np.outer(R, seen), rtol=1e-9, atol=1e-12)
        if cls is not SparseAutoencoder:
            wanted = R @ p["D"] * masks[-1] / 0.7 * H[i] * (1 - H[i])
            np.testing.assert_allclose(grads["c"], wanted, rtol=1e-9, atol=1e-12)
    assert np.mean(masks) == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize("cls", [Autoencoder, Denoising])
@pytest.mark.parametrize("f", ["leaky-relu", "prelu"])
def test_slopes_below_zero(cls, f):
    model = make(cls, activation=f, slope=0.3)
    fresh = cls(model.config, np.float64)
    fresh.init(12, Random(0))
    X = data()
    for one in (model, fresh):
        p, A = one.params, X @ one.params["W"] + one.params["c"]
        assert ("s" in p) == (f == "prelu")
        slopes = p["s"] if f == "prelu" else 0.3
        np.testing.assert_allclose(one.encode(X), np.where(A > 0, A, slopes * A), rtol=1e-12)
    assert f == "leaky-relu" or (fresh.params["s"] == 0.3).all()
    assert "s" not in model.weights
    assert make(cls, activation=f).config.slope == (0.25 if f == "prelu" else 0.01)
    with pytest.raises(ConfigError, match="--slope: does nothing without --activation leaky-relu or prelu"):
        cls.Config(activation="relu", slope=0.3)
    with pytest.raises(TypeError, match="slope"):
        SparseAutoencoder.Config(slope=0.3)


def test_dropout_and_salt_are_drawn_apart():
    """Were they the same draws, the units left out would be those of the salted pixels."""
    model, X = (
        make(
            Denoising,
            d=40,
            hidden=40,
            tied=False,
            hidden_dropout=0.5,
            corruption="salt-and-pepper",
            noise=0.5,
        ),
        data(200, 40),
    )
    left, hit, white = [], [], []
    for i in range(len(X)):
        step = Step(i, 0)
        left.append(~model.gradient(X[i : i + 1], step)[1]["D"].any(axis=0))
        seen = model.corrupt(X[i : i + 1], step)[0][0]
        hit.append(seen != X[i])
        white.append(seen == 1)
    for corrupted in (hit, white):
        assert abs(np.corrcoef(np.ravel(left), np.ravel(corrupted))[0, 1]) < 0.05


@pytest.mark.parametrize("f", ["sigmoid", "tanh"])
def test_sparsity_penalty_is_the_divergence_of_the_whole_batch(f):
    model, X = make(SparseAutoencoder, activation=f, sparsity_target=0.2, sparsity_weight=2.0), data(30)
    plain = make(SparseAutoencoder, activation=f, sparsity_target=0.2, sparsity_weight=0.0)
    q = model.encode(X).mean(axis=0)
    q = q if f == "sigmoid" else (1 + q) / 2
    kl = (0.2 * np.log(0.2 / q) + 0.8 * np.log(0.8 / (1 - q))).sum()
    metrics, _ = model.gradient(X, Step(0, 0))
    assert metrics["loss"] - plain.gradient(X, Step(0, 0))[0]["loss"] == pytest.approx(2 * kl, rel=1e-9)
    assert metrics["kl"] == pytest.approx(kl)
    assert metrics["deviation"] == pytest.approx(np.abs(q - 0.2).max())


def test_units_that_never_fire_have_a_finite_penalty():
    model = make(SparseAutoencoder, dtype=np.float32)
    model.params["c"][:2] = (-1e4, 1e4)
    metrics, grads = model.gradient(data().astype(np.float32), Step(0, 0))
    assert np.isfinite(metrics["loss"])
    assert all(np.isfinite(g).all() for g in grads.values())


class WrongSign(SparseAutoencoder):
    """A copy with a sign error in one term of one gradient: that of the penalty."""

    def penalty(self, H):
        value, row, metrics = super().penalty(H)
        return value, -row, metrics


class WrongBias(Autoencoder):
    def gradient(self, X, step):
        metrics, grads = super().gradient(X, step)
        return metrics, grads | {"b": -grads["b"]}


def test_a_planted_sign_error_is_caught():
    wrong = check_gradients(WrongSign, problems=1)
    assert all(check.difference > 1e-3 for check in wrong if check.parameter in ("W", "c"))
    wrong = check_gradients(WrongBias, problems=1)
    assert {check.parameter for check in wrong if check.difference > 1e-7} == {"b"}
    assert min(check.difference for check in wrong if check.parameter == "b") > 0.5


class Kinked(Autoencoder):
    """Its loss has a kink wherever it is looked at."""

    def losses(self):
        return {"loss": lambda X, step: ({"loss": np.floor(12345.678 * self.params["W"]).sum()}, self.params)}


def test_a_loss_without_derivative_is_said_to_have_none():
    with pytest.raises(ConfigError, match="has no derivative"):
        check_gradients(Kinked, problems=1)


def corrupted(n=400, **config):
    model, X = make(Denoising, **config), 0.1 + 0.8 * data(n)
    C, weight = model.corrupt(X, Step(5, 1))
    assert np.array_equal(X, 0.1 + 0.8 * data(n)), "the input was changed"
    return X, C, weight


def test_masking_sets_the_asked_share_to_zero_and_leaves_the_rest():
    X, C, weight = corrupted(noise=0.25)
    assert weight is None
    assert np.mean(C == 0) == pytest.approx(0.25, abs=0.02)
    assert np.array_equal(C[C != 0], X[C != 0])


def test_salt_and_pepper_is_half_salt_half_pepper():
    X, C, _ = corrupted(noise=0.4, corruption="salt-and-pepper")
    for value in (0, 1):
        assert np.mean(value == C) == pytest.approx(0.2, abs=0.02)
    clean = (C != 0) & (C != 1)
    assert np.array_equal(C[clean], X[clean])


def test_gaussian_noise_has_the_asked_deviation():
    X, C, _ = corrupted(n=4000, noise=0.5, corruption="gaussian")
    assert np.std(C - X) == pytest.approx(0.5, rel=0.02)
    assert abs(np.mean(C - X)) < 0.02


def test_emphasis_weighs_the_errors_of_corrupted_values():
    for loss in ("squared", "cross-entropy"):
        options = {"loss": loss, "noise": 0.3}
        _, C, weight = corrupted(n=9, **options, emphasis=1.0, clean_weight=0.25)
        assert np.array_equal(weight, np.where(C == 0, 1.0, 0.25))
        parts = []
        for emphasis, clean in ((1.0, 0.25), (1.0, 0.0), (0.0, 1.0)):
            model = make(Denoising, **options, emphasis=emphasis, clean_weight=clean)
            X = 0.1 + 0.8 * data(9)
            metrics, _ = model.gradient(X, Step(5, 1))
            parts.append(metrics["loss"])
            Y = model.reconstruct(model.corrupt(X, Step(5, 1))[0])
            assert metrics["error"] == pytest.approx(np.sqrt(np.mean((X - Y) ** 2))), "without weights"
        assert parts[0] == pytest.approx(parts[1] + 0.25 * parts[2])


def test_corruption_is_new_at_every_update_and_absent_from_codes():
    model, X = make(Denoising), data()
    assert not np.array_equal(model.corrupt(X, Step(1, 0))[0], model.corrupt(X, Step(2, 0))[0])
    plain = make(Autoencoder, tied=True, activation="sigmoid")
    plain.params = model.params
    assert np.array_equal(model.encode(X), plain.encode(X))


def test_output_units_and_loss_follow_the_data():
    def resolved(cls, low, high):
        return cls.resolve(cls.Config(), DataSummary(12, low, high))

    assert resolved(Autoencoder, 0.1, 0.9).output_units == "sigmoid"
    assert resolved(Autoencoder, -3, 3).output_units == "linear"
    assert resolved(Denoising, 0, 1).loss == "cross-entropy"
    assert resolved(Denoising, -3, 3).loss == "squared"
    assert resolved(Autoencoder, 0, 1).loss == "cross-entropy"
    assert resolved(SparseAutoencoder, 0, 1).loss == "squared"


@pytest.mark.parametrize(
    ("cls", "config", "low", "words"),
    [
        (
            Autoencoder,
            {"loss": "cross-entropy"},
            -3.0,
            "--loss cross-entropy: the data lie in -3..1, wanted 0..1",
        ),
        (Autoencoder, {"output_units": "sigmoid"}, -3.0, "--output-units sigmoid: the data lie in -3..1"),
        (
            Autoencoder,
            {"output_units": "tanh"},
            -3.0,
            "--output-units tanh: the data lie in -3..1, wanted -1..1",
        ),
        (Autoencoder, {"output_units": "linear", "loss": "cross-entropy"}, 0.0, "is of probabilities"),
        (SparseAutoencoder, {"sparsity_target": 1.0}, 0.0, "--sparsity-target: got 1, must be below 1"),
        (SparseAutoencoder, {"sparsity_target": 0.0}, 0.0, "--sparsity-target: got 0, must be above 0"),
        (SparseAutoencoder, {"activation": "relu"}, 0.0, "--activation: got 'relu'"),
        (Denoising, {"noise": 1.5}, 0.0, "--noise: got 1.5"),
        (Denoising, {"corruption": "gaussian", "emphasis": 2.0}, 0.0, "--emphasis"),
        (Denoising, {"emphasis": 0.0, "clean_weight": 0.0}, 0.0, "nothing to learn"),
        (Denoising, {"noise": 0.0, "clean_weight": 0.0}, 0.0, "with --noise 0 no value is corrupted"),
        (Denoising, {"corruption": "salt-and-pepper"}, -3.0, "--corruption salt-and-pepper"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(cls, config, low, words):
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")) as caught:
        make(cls, low=low, **config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("a", [[np.inf, -np.inf], [np.nan, 1], [1.7e308, 1.7e308], [-np.inf, 1]])
def test_sums_that_are_no_number_are_infinite(a):
    """Also where math.fsum would raise."""
    a = np.array(a)
    assert total(a) == mean(a) == np.inf
    with np.errstate(over="ignore"):
        assert rmse(a[:, None], np.zeros((2, 1))) == np.inf
    assert total(np.array([1e16, 1.0, -1e16])) == 1


def test_the_lectures_quotients_stand_beside_ours_and_err_by_the_square_of_their_step():
    model = Autoencoder(
        Autoencoder.Config(hidden=5, activation="tanh", output_units="sigmoid", loss="squared"), np.float64
    )
    X = np.random.default_rng(0).random((9, 6))
    model.init(6, Random(2), X.mean(axis=0))
    coarse, fine = ({one.parameter: one for one in check_model(model, X, 0, e)} for e in (1e-2, 5e-3))
    for name in "Wbc":
        assert coarse[name].two_sided / fine[name].two_sided == pytest.approx(4, rel=0.02)
        assert max(coarse[name].difference, fine[name].difference) < 1e-9
    right = model.gradient

    def wrong(X, step):
        metrics, grads = right(X, step)
        return metrics, grads | {"c": 1.01 * grads["c"]}

    model.gradient = wrong
    found = {one.parameter: one for one in check_model(model, X, 0, 1e-4)}
    assert found["c"].two_sided == pytest.approx(found["c"].difference, rel=1e-3)
    assert found["c"].difference > 1e-3 > 1e-6 > found["W"].two_sided

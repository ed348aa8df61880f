"""The k-sparse autoencoder against its docstring: numpy twins, central differences, counts, and what it
learns."""

import numpy as np
import pytest

from featlearn.analysis.filters import filter_statistics
from featlearn.errors import ConfigError
from featlearn.jobs.store import load_model
from featlearn.models.base import DataSummary, Step
from featlearn.models.k_sparse import KSparse
from featlearn.ops import sparse_code
from featlearn.patches.dead_leaves import Generated
from featlearn.patches.fitter import Fitter
from featlearn.patches.rows import Rows
from featlearn.patches.settings import Extraction, PreprocessSpec
from featlearn.patches.survey import survey
from featlearn.random import Random
from featlearn.training.config import TrainConfig
from featlearn.training.train import Training
from helpers import central

D, HIDDEN, K, N = 6, 10, 3, 8
STEP = Step(0, 3)

VARIANTS = {
    "plain": {},
    "rectified": {"activation": "relu"},
    "untied": {"tied": False},
    "untied rectified": {"tied": False, "activation": "relu"},
    "no pre-bias": {"pre_bias": "none"},
    "learned pre-bias": {"pre_bias": "learned"},
    "learned pre-bias untied": {"pre_bias": "learned", "tied": False},
    "batch": {"batch_top_k": True},
    "batch rectified": {"batch_top_k": True, "activation": "relu"},
    "aux": {"aux_k": 2},
    "aux untied rectified learned": {"aux_k": 2, "tied": False, "activation": "relu", "pre_bias": "learned"},
    "matryoshka": {"matryoshka": "2,5"},
    "sigmoid output": {"output_units": "sigmoid"},
    "sigmoid output squared": {"output_units": "sigmoid", "loss": "squared", "activation": "sigmoid"},
    "sigmoid untied": {"output_units": "sigmoid", "activation": "sigmoid", "tied": False, "aux_k": 2},
    "tanh matryoshka": {"output_units": "tanh", "activation": "tanh", "matryoshka": "2,5", "aux_k": 2},
    "sigmoid batch": {"batch_top_k": True, "activation": "sigmoid", "output_units": "sigmoid"},
    "everything": {
        **{"matryoshka": "2,5", "aux_k": 3, "aux_weight": 0.5, "batch_top_k": True, "pre_bias": "learned"},
        **{"tied": False, "activation": "relu"},
    },
}


def make(dtype="float64", seed=3, n_visible=D, **config):
    """A model far from its initial values, the first two and the last of its units dead."""
    model = KSparse(
        KSparse.Config(**{"hidden": HIDDEN, "k": K, "k_start": K, "loss_scale": 17.0, **config}), dtype
    )
    model.init(n_visible, Random(seed))
    rng = np.random.default_rng(seed)
    for value in model.params.values():
        value += rng.normal(size=value.shape).astype(dtype) * 0.5
    if config.get("aux_k"):
        model.params["c"] += 3
        model.params["W"][:, [0, 1, -1]] *= 0.01  # never among the largest, but above zero now and then
        model.params["c"][[0, 1, -1]] = 0
        model.state["silent"][[0, 1, -1]] = model.config.dead_after
    return model


def data(n=N, d=D, dtype="float64", seed=1):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(dtype)


def centred(model, p, X):
    return (
        X - p["b" if model.config.pre_bias == "learned" else "mu"] if model.config.pre_bias != "none" else X
    )


def kept(A, k, rectified=False):
    """Which entries of A are the k largest of their rows, ties to the lowest column."""
    K = np.zeros(A.shape, bool)
    np.put_along_axis(K, np.argsort(-A, axis=1, kind="stable")[:, :k], True, 1)
    return K & (A > 0) if rectified else K


FUNCTIONS = {
    "linear": lambda a: a,
    "relu": lambda a: np.maximum(a, 0),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "tanh": np.tanh,
}


class Twin:
    """The loss of the docstring in numpy, through the entries that were kept for the parameters it was made
    with."""

    def __init__(self, model, X, k=K):
        self.model, self.X, config = model, X, model.config
        p = {name: value.astype(np.float64) for name, value in model.params.items()}
        A = centred(model, p, X) @ p["W"] + p["c"]
        rectified = config.activation == "relu"
        if config.batch_top_k:
            self.K = kept(A.reshape(1, -1), len(X) * k, rectified).reshape(A.shape)
        else:
            self.K = kept(A, k, rectified)
        dead = model.state["silent"] >= config.dead_after
        self.dead_K = np.zeros(A.shape, bool)
        if config.aux_k:
            self.dead_K[:, dead] = kept(A[:, dead], min(config.aux_k, dead.sum()), rectified)
        self.entropy = model.config.output_units == "sigmoid" and model.config.loss != "squared"
        last = self.outputs(p)[-1]
        self.rmse = np.sqrt(np.mean((X - last) ** 2))
        slope = {"sigmoid": last * (1 - last), "tanh": 1 - last**2}.get(model.config.output_units, 1)
        self.e = (X - last) * (1 if self.entropy else slope)

    def code(self, p, kept):
        A = centred(self.model, p, self.X) @ p["W"] + p["c"]
        return (
            A * kept
            if self.model.config.activation == "relu"
            else FUNCTIONS[self.model.config.activation](A) * kept
        )

    def outputs(self, p):
        Z, D, g = self.code(p, self.K), p.get("D", p["W"]), FUNCTIONS[self.model.config.output_units]
        return [g(Z[:, : s.stop] @ D.T[: s.stop] + p["b"]) for s in self.model.config.sections]

    def loss(self, p):
        X, Y = self.X, self.outputs(p)
        loss = np.mean([((X - y) ** 2).sum() for y in Y])
        if self.entropy:
            loss = np.mean([-(X * np.log(y) + (1 - X) * np.log(1 - y)).sum() for y in Y])
        if self.model.config.aux_k:
            Z = self.code(p, self.dead_K)
            weight = self.model.config.aux_weight or 1 / 32
            loss += weight * ((self.e - Z @ p.get("D", p["W"]).T) ** 2).sum()
        return loss / (len(self.X) * self.model.config.loss_scale)


@pytest.mark.parametrize("name", VARIANTS)
def test_gradient_is_the_derivative_through_the_kept_entries(name):
    model, X = make(**VARIANTS[name]), data()
    X = X if model.config.output_units == "linear" else 1 / (1 + np.exp(-X))
    twin, linear = Twin(model, X), model.config.output_units == "linear"
    p = {key: value.copy() for key, value in model.params.items()}
    metrics, grads = model.gradient(X, STEP)
    assert twin.K.sum() == N * K or model.config.activation == "relu"
    assert metrics["loss"] == pytest.approx(twin.loss(p), rel=1e-12)
    assert metrics["error"] == pytest.approx(twin.rmse, rel=1e-12)
    assert model.config.aux_k is None or (twin.dead_K.any() and metrics["dead_share"] == 0.3)
    for key in grads:
        numeric = central(lambda: twin.loss(p), p[key], 0.05 if linear else 1e-3)
        assert np.linalg.norm(numeric - grads[key]) < 1e-9 * np.linalg.norm(numeric), key


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", VARIANTS)
def test_the_code_is_that_of_the_docstring(name, dtype):
    """Also of every size of block and in either memory order of the parameters."""
    model, X = make(dtype, **VARIANTS[name]), data(70, dtype=dtype)
    p = {key: value.astype(np.float64) for key, value in model.params.items()}
    A = centred(model, p, X.astype(np.float64)) @ p["W"] + p["c"]
    rectified = model.config.activation == "relu"
    exact = {"rtol": 0, "atol": 1e-5 if dtype == "float32" else 1e-13}
    f, g = FUNCTIONS[model.config.activation], FUNCTIONS[model.config.output_units]
    if model.config.batch_top_k:
        model.state["threshold"][:] = 0.5
        H = f(A) * (A > 0.5)
        again = H
    else:
        H, again = f(A) * kept(A, 3 * K, rectified), f(A) * kept(A, K, rectified)
    np.testing.assert_allclose(model.encode(X), H, **exact)
    np.testing.assert_allclose(model.decode(H.astype(dtype)), g(H @ p.get("D", p["W"]).T + p["b"]), **exact)
    np.testing.assert_allclose(model.reconstruct(X), g(again @ p.get("D", p["W"]).T + p["b"]), **exact)
    if not model.config.batch_top_k:
        (encoder,), (back,) = model.encoder_layers(), model.decoder_layers()
        np.testing.assert_allclose(encoder.encode(X), H, **exact)
        np.testing.assert_allclose(back.encode(H.astype(dtype)), model.decode(H.astype(dtype)), **exact)
    wanted = model.encode(X).tobytes(), model.gradient(X, STEP)[1]
    model.params = {key: value.copy(order="C") for key, value in model.params.items()}
    assert model.encode(X).tobytes() == wanted[0]
    _, grads = make_state_equal(model, **VARIANTS[name]).gradient(X, STEP)
    assert all(grads[key].tobytes() == wanted[1][key].tobytes() for key in grads)
    assert all(grads[key].flags.c_contiguous for key in grads)


def make_state_equal(model, **config):
    """`model` with the state that `make` gives."""
    model.state = make(model.dtype, **config).state
    return model


def test_blocks_of_rows_change_no_bytes(monkeypatch):
    model, X = make("float32", n_visible=40), data(70, 40, "float32")
    H, (metrics, grads) = model.encode(X), model.gradient(X, STEP)
    monkeypatch.setattr(sparse_code, "ROWS", 9)
    monkeypatch.setattr(sparse_code, "BLOCK", 1)
    assert model.encode(X).tobytes() == H.tobytes()
    again, more = model.gradient(X, STEP)
    assert again == metrics
    assert all(more[key].tobytes() == grads[key].tobytes() for key in grads)


@pytest.mark.parametrize(("alpha", "wanted"), [(None, 9), (1.0, 3), (1.5, 4), (2.5, 8), (9.0, HIDDEN)])
def test_every_row_has_exactly_so_many_entries(alpha, wanted):
    model, X = make(alpha=alpha, n_visible=20), data(50, 20)
    assert (np.count_nonzero(model.encode(X), axis=1) == wanted).all()
    seen, units = model._centred(X), model._units()
    assert (np.diff(model._select(seen, K, units).start) == K).all()


def test_ties_go_to_the_lowest_units():
    model = make(alpha=1.0)
    model.params["W"][...] = 0
    model.params["c"][...] = [0, 2, 1, 2, 2, 1, 2, 0, 2, 2]
    assert (model.encode(data()) == [0, 2, 0, 2, 2, 0, 0, 0, 0, 0]).all()
    model.params["c"][...] = -1  # the largest entries are signed: negative ones stay in a linear code
    assert (model.encode(data()) == [-1] * 3 + [0] * 7).all()
    _, grads = make_constant(make()).gradient(data(), STEP)
    assert (grads["c"] == 0).all()
    assert (grads["W"][:, :K] != 0).all()
    assert (grads["W"][:, K:] == 0).all()


def make_constant(model):
    model.params["W"][...] = 0
    model.params["c"][...] = 1
    return model


def test_the_batch_keeps_its_largest_entries_and_ties_go_to_the_first_rows():
    model = make_constant(make(batch_top_k=True))
    units = model._units()
    code = sparse_code.largest_of_batch(model._centred(data()), units["W"], units["c"], K)
    assert np.diff(code.start).tolist() == [10, 10, 4, 0, 0, 0, 0, 0]
    assert code.index.tolist() == [*range(10), *range(10), *range(4)]
    assert (code.dense(HIDDEN).sum(axis=1) == [10, 10, 4, 0, 0, 0, 0, 0]).all()


def test_k_falls_in_a_line_and_stays():
    def resolved(**config):
        return KSparse(KSparse.resolve(KSparse.Config(**config), DataSummary(9)))

    model = resolved(hidden=1000, k=25)
    assert [model.k_at(p) for p in (0, 0.25, 0.5, 0.75, 1)] == [300, 163, 25, 25, 25]
    starts = [resolved(hidden=h, k=k).k_at(0) for h, k in [(1000, 70), (1000, 10), (100, 25), (100, 40)]]
    assert starts == [300, 120, 30, 40]
    model = KSparse(KSparse.Config(hidden=100, k=5, k_start=9, k_ramp=1.0))
    assert [model.k_at(p) for p in (0, 0.25, 0.5, 0.75, 1)] == [9, 8, 7, 6, 5]
    model = make(k_start=HIDDEN)
    model.gradient(data(), Step(0, 3, progress=0.0))
    assert (model.state["silent"] == 0).all()


def test_training_says_how_far_it_is(monkeypatch):
    seen = []
    model = make("float32")
    real = model.gradient
    monkeypatch.setattr(model, "gradient", lambda X, step: seen.append(step.progress) or real(X, step))
    Training(model, Plain(data(20, dtype="float32")), TrainConfig(epochs=2, batch_size=10)).run()
    assert seen == [0, 0.25, 0.5, 0.75]


class Plain:
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def take(self, index):
        return self.X[index]


@pytest.mark.parametrize("units", ["linear", "relu"])
def test_units_are_counted_dead(units):
    """Rows since a unit was last kept; a rectified one must also have been above zero."""
    model = make(activation=units, dead_after=12)
    model.params["W"][...] = 0
    model.params["c"][...] = [1, 1, -1, -1, *[-2] * 6]
    shares = [model.gradient(data(5), STEP)[0]["dead_share"] for _ in range(3)]
    silent = [0, 0, 0 if units == "linear" else 15, *[15] * 7]
    assert model.state["silent"].tolist() == silent
    assert shares == [0, 0, 0.7 if units == "linear" else 0.8]
    model.params["c"][-1] = 3
    model.gradient(data(5), STEP)
    assert model.state["silent"][-1] == 0


@pytest.mark.parametrize("tied", [True, False])
def test_features_stay_at_norm_one(tied):
    model = make("float32", unit_norm=True, tied=tied, n_visible=20)
    model.project()
    name = "W" if tied else "D"
    features, other = model.params[name].astype(np.float64), model.params["W"].copy()
    np.testing.assert_allclose(np.linalg.norm(features, axis=0), 1, atol=1e-6)
    _, grads = model.gradient(data(40, 20, "float32"), STEP)
    parallel = (grads[name] * features).sum(axis=0)
    assert np.abs(parallel).max() < 1e-5 * np.abs(grads[name]).max()
    Training(model, Plain(data(100, 20, "float32")), TrainConfig(epochs=2, batch_size=10)).run()
    np.testing.assert_allclose(np.linalg.norm(model.params[name], axis=0), 1, atol=1e-6)
    assert not np.allclose(model.params["W"], other)
    fresh = KSparse(KSparse.Config(unit_norm=True, tied=tied))
    fresh.init(20, Random(0))
    for name in {"W", "D"} & fresh.params.keys():
        np.testing.assert_allclose(np.linalg.norm(fresh.params[name], axis=0), 1, atol=1e-6)


def test_the_threshold_follows_the_smallest_kept_activation():
    model, X = make(batch_top_k=True, k_start=HIDDEN, k=4), data(30)
    assert (model.encode(X) >= 0).all()
    followed = []
    for progress in (0.0, 0.2, 1.0, 1.0):
        X = X * 0.9
        A = np.sort((X - model.params["mu"]) @ model.params["W"] + model.params["c"], axis=None)[::-1]
        largest = A[: len(X) * model.k_at(progress)]
        last, smallest = model.state["threshold"][0], largest[largest > 0].min()
        followed.append(smallest if progress < 1 else 0.999 * last + 0.001 * smallest)
        model.gradient(X, Step(0, 3, progress=progress))
        assert model.state["threshold"][0] == pytest.approx(followed[-1], rel=1e-12)
    H, A = model.encode(X), (X - model.params["mu"]) @ model.params["W"] + model.params["c"]
    np.testing.assert_array_equal(H > 0, followed[-1] < A)
    assert (model.reconstruct(X) == model.decode(H)).all()


def test_codes_above_the_threshold_number_k_on_average():
    X = data(2000, 12, "float32")
    model = KSparse(KSparse.Config(hidden=24, k=4, batch_top_k=True, loss_scale=12))
    model.init(12, Random(0), X.mean(axis=0))
    Training(model, Plain(X), TrainConfig(epochs=80, lr=0.06)).run()
    assert np.count_nonzero(model.encode(X)) / len(X) == pytest.approx(4, rel=0.1)


def test_dead_units_come_back_with_the_auxiliary_loss():
    X = data(1000, 12, "float32")
    dead = {}
    for aux_k in (None, 8):
        config = {"aux_weight": 1.0} if aux_k else {}
        model = KSparse(
            KSparse.Config(hidden=24, k=3, k_start=3, aux_k=aux_k, dead_after=500, loss_scale=12, **config)
        )
        model.init(12, Random(0), X.mean(axis=0))
        model.params["W"][:, :8] *= 0.1  # too small to be among the largest
        Training(model, Plain(X), TrainConfig(epochs=30, batch_size=20, lr=0.06)).run()
        dead[aux_k] = np.mean(model.state["silent"] >= 500)
    assert dead[None] >= 8 / 24
    assert dead[8] <= 2 / 24


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"k": 11}, "--k 11: more than --hidden 10; lower --k"),
        ({"k_start": 2}, "--k-start 2: must lie between --k 3 and --hidden 10"),
        ({"k_start": 11}, "--k-start 11: must lie between"),
        ({"k_ramp": 0.3, "k_start": 3}, "--k-ramp: k does not fall"),
        ({"batch_top_k": True, "alpha": 2.0}, "--alpha: .* threshold"),
        ({"unit_norm": True, "init_scale": 0.1}, "--init-scale: .* norm 1"),
        (
            {"pre_bias": "learned", "output_units": "sigmoid"},
            "--pre-bias learned: the bias of linear outputs",
        ),
        ({"output_units": "tanh", "loss": "cross-entropy"}, "--loss cross-entropy: is of probabilities"),
        ({"k": "0%"}, "--k: got '0%', must be a whole number or a share such as 2.5%"),
        ({"k": "101%"}, "--k: got '101%'"),
        ({"k": "nan%"}, "--k: got 'nan%'"),
        ({"k": "some"}, "--k: got 'some'"),
        ({"aux_weight": 0.1}, "--aux-weight .* add --aux-k"),
        ({"matryoshka": "2,x"}, "--matryoshka '2,x': must be numbers"),
        ({"matryoshka": ""}, "--matryoshka '': must be numbers"),
        ({"matryoshka": "5,2"}, "must ascend within 1..9"),
        ({"matryoshka": "2,2"}, "must ascend"),
        ({"matryoshka": "0,2"}, "must ascend"),
        ({"matryoshka": "-1,2"}, "must ascend"),
        ({"matryoshka": "2,11"}, "must ascend"),
        ({"matryoshka": "10"}, "must ascend"),
        ({"alpha": 0.5}, "--alpha: got 0.5, must be at least 1"),
    ],
)
def test_contradictions_are_refused(config, words):
    with pytest.raises(ConfigError, match=words):
        KSparse.Config(**{"hidden": 10, "k": 3, **config})


@pytest.mark.parametrize(
    ("hidden", "share", "k"),
    [(1000, "2.5%", 25), (100, "2.5%", 3), (100, "2.4%", 2), (100, ".1%", 1), (7, "100%", 7)],
)
def test_a_share_is_the_nearest_number_of_units(hidden, share, k):
    assert KSparse.Config(hidden=hidden, k=share).k == k


def test_a_share_can_be_typed_wherever_k_is(run_here, tmp_path, monkeypatch):
    """On the command line, in a settings file, in the words for a layer of a stack."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "how.toml").write_text('k = "4%"\n')
    layer = ("--model", "stacked-autoencoder", "--layer", "k-sparse:k=4%", "--hidden", "50")
    for options in (("--k", "4%"), ("--config", "how.toml"), layer):
        model = ("--model", "k-sparse", "--hidden", "50") if "--layer" not in options else ()
        ran = run_here("train", *model, *options, "--epochs", "1", "-q", "-o", "made.h5", "--force")
        assert ran.code == 0, ran.err
        model = load_model("made.h5").model
        assert (model.layers[0] if model.layers else model).config.k == 2
    ran = run_here("train", "--model", "k-sparse", "--k", "2.5")
    assert ran.code == 2
    assert "--k" in ran.err


def test_outputs_of_their_own_range_begin_at_the_mean():
    mean = np.linspace(0.1, 0.9, 5)
    for kind in ("sigmoid", "tanh", "linear"):
        model = KSparse(KSparse.Config(output_units=kind), "float64")
        model.init(5, Random(0), mean)
        np.testing.assert_allclose(model.decode(np.zeros((1, 100)))[0], mean)
        assert (model.params["mu"] == mean).all()


def test_matryoshka_widths():
    assert KSparse.Config(matryoshka="16,64").sections == [slice(0, 16), slice(16, 64), slice(64, 100)]
    assert KSparse.Config(matryoshka="16, 100").sections == [slice(0, 16), slice(16, 100)]


def test_a_fresh_model_begins_at_the_mean():
    mean = np.arange(5.0)
    model = KSparse(KSparse.Config(tied=False))
    model.init(5, Random(0), mean)
    assert (model.params["b"] == mean).all()
    assert (model.params["mu"] == mean).all()
    assert (model.params["D"] == model.params["W"]).all()
    assert all(model.params[name].T.flags.c_contiguous for name in ("W", "D"))
    assert model.params["D"] is not model.params["W"]
    assert model.params["W"].std() == pytest.approx(0.01, rel=0.1)


def edge_share(source):
    """Of 64 features of 8x8 patches, learned as in the demonstrations."""
    spec = PreprocessSpec(normalize="center", whiten="zca", epsilon=0.1)
    plan = survey([Generated(source, 8, seed=5)], Extraction((8, 8), count=12_500))
    patches = np.concatenate([block.patches for block in plan.blocks()])
    patches = patches[np.argsort(patches.std(axis=1))[len(patches) // 5 :]]  # without the flattest fifth
    fitter = Fitter(spec, 64, patches.dtype)
    fitter.update(patches)
    preprocess = fitter.finish()
    rows = Rows(patches, preprocess, np.dtype(np.float32))
    model = KSparse(KSparse.Config(hidden=64, k=4, k_start=24, init_scale=0.05, loss_scale=64))
    model.init(64, Random(0), rows.take(np.arange(len(rows))).mean(axis=0))
    Training(model, rows, TrainConfig(epochs=20, lr=0.25, lr_schedule="linear")).run()
    return filter_statistics(preprocess.to_pixels(model.filters()).reshape(-1, 8, 8, 1))["edge_share"]


def test_edges_are_learned_from_leaves_and_not_from_noise():
    assert edge_share("dead-leaves") >= 0.85
    assert edge_share("pink-noise") <= 0.05


def test_codes_hold_all_units_where_alpha_wants_more():
    model = KSparse(KSparse.Config(hidden=6, k=5, alpha=1e308))
    model.init(4, Random(0))
    assert np.count_nonzero(model.encode(np.ones((3, 4), np.float32))) == 18


@pytest.mark.parametrize("options", [{"tolerance": 0.5}, {"lr_schedule": "adaptive"}])
def test_a_loss_that_rises_because_k_falls_ends_and_slows_nothing(options):
    model = KSparse(KSparse.Config(hidden=40, k=2, k_start=40, loss_scale=12))
    model.init(12, Random(0))
    rates = []
    rows = Plain(np.random.default_rng(0).normal(size=(200, 12)).astype(np.float32))
    training = Training(model, rows, TrainConfig(epochs=12, batch_size=20, lr=0.1, **options))
    training.run(on_epoch=lambda at: rates.append(at.progress.rate))
    losses = training.history["loss"]
    assert losses[6] > losses[5] > losses[4]
    assert rates[:7] == 7 * [1.0]
    assert (len(losses) == 8) == ("tolerance" in options)


def test_a_batch_of_too_many_activations_is_refused_before_they_are_made():
    """2^31 are one more than an index of a sparse code can tell apart."""
    X, F = np.zeros((1 << 16, 1), np.float32), np.zeros((1 << 15, 1), np.float32)
    with pytest.raises(ConfigError, match="65,536 rows times 32,768 units at once; lower --batch-size"):
        sparse_code.largest_of_batch(X, F, F[:, 0], 1)

"""Principal components: those of numpy's eigh of the covariance, in any portions; stopped and resumed."""

import json
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest

from featlearn.errors import ConfigError, DataError
from featlearn.files.model import read_model
from featlearn.jobs.store import load_model, load_rows
from featlearn.models import pca
from featlearn.models.base import Layer, Phase, Step
from featlearn.models.pca import PCA
from featlearn.random import Random
from featlearn.settings import option_name
from featlearn.training.config import STILL, TrainConfig
from featlearn.training.order import moments
from featlearn.training.train import Training
from helpers import Rows


def uncentred(n=500, d=30, seed=0):
    """Correlated rows far from zero, with a pixel that never varies."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * 0.8 ** np.arange(d) @ rng.normal(size=(d, d)) + rng.normal(scale=50, size=d)
    X[:, 7] = 3.25
    return X


def learn(X, dtype="float64", batch=100, hidden=None, seed=0, mean=True, **settings):
    model, data = PCA(PCA.Config(hidden=hidden), dtype), Rows(X.astype(dtype))
    model.init(X.shape[1], Random(seed), moments(data, np.arange(len(X)))[0] if mean else None)
    training = Training(model, data, TrainConfig(epochs=1, batch_size=batch, **settings), seed)
    assert training.run()
    return model, training


def eigen(X):
    """(variances, components as columns), falling, by numpy from the whole covariance."""
    values, V = np.linalg.eigh(np.cov(X.astype(np.float64).T, bias=True))
    V = V[:, ::-1]
    return values[::-1], V * np.sign(V[np.abs(V).argmax(axis=0), np.arange(len(V))])


@pytest.mark.parametrize("batch", [7, 100, 500])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_the_eigenvectors_of_the_covariance(dtype, batch):
    X = uncentred().astype(dtype)
    model, _ = learn(X, dtype, batch, hidden=12)
    values, V = eigen(X)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(model.state["variance"], values[:12], rtol=1e-11)
    np.testing.assert_allclose(model.params["W"], V[:, :12], atol=1e-8 if dtype == "float64" else 4 * eps)
    np.testing.assert_allclose(model.params["b"], X.astype(np.float64).mean(axis=0), rtol=max(4 * eps, 1e-13))
    assert model.params["W"].dtype == model.params["b"].dtype == dtype
    assert list(model.state) == ["variance"], "the sums are not kept"


def test_codes_and_errors_are_those_of_the_eigenvalues():
    """Codes are uncorrelated and of those variances; what is left out is the squared error."""
    X = uncentred()
    model, training = learn(X, hidden=10)
    values, V = eigen(X)
    H = model.encode(X)
    np.testing.assert_allclose(H, (X - X.mean(axis=0)) @ V[:, :10], atol=1e-7)
    np.testing.assert_allclose(H.T @ H / len(X), np.diag(values[:10]), atol=1e-10 * values[0])
    error = np.square(X - model.reconstruct(X)).sum(axis=1).mean()
    assert error == pytest.approx(values[10:].sum(), rel=1e-10)
    assert training.history["probe_rmse"] == [pytest.approx(np.sqrt(error / 30), rel=1e-10)]
    assert training.history["epoch"] == [1]


def test_codes_of_data_far_from_zero_keep_their_digits():
    """The mean is taken from the rows, not from their products: there it would cost all digits of float32."""
    X = (np.random.default_rng(1).normal(size=(400, 20)) + 30_000).astype(np.float32)
    model, _ = learn(X, "float32")
    exact = (X.astype(np.float64) - model.params["b"]) @ model.params["W"].astype(np.float64)
    np.testing.assert_allclose(model.encode(X), exact, atol=1e-5)
    np.testing.assert_allclose(model.state["variance"], eigen(X)[0], rtol=1e-9)


def test_a_shift_far_from_the_mean_is_only_a_shift():
    X = uncentred()
    np.testing.assert_allclose(learn(X, mean=False)[0].state["variance"][:20], eigen(X)[0][:20], rtol=1e-6)


def test_whitened_data_have_no_direction_but_a_basis():
    """All variances alike: any orthonormal basis is right, and nothing is lost."""
    X = np.linalg.qr(np.random.default_rng(2).normal(size=(300, 16)))[0]
    X -= X.mean(axis=0)
    X = np.linalg.qr(X)[0] * np.sqrt(300) + 5
    model, _ = learn(X)
    np.testing.assert_allclose(model.state["variance"], 1, rtol=1e-12)
    np.testing.assert_allclose(model.params["W"].T @ model.params["W"], np.eye(16), atol=1e-12)
    np.testing.assert_allclose(model.reconstruct(X), X, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 6])
def test_fewer_rows_than_components(n):
    X = uncentred(n)
    model, _ = learn(X, batch=n, hidden=20)
    W = model.params["W"]
    np.testing.assert_allclose(W.T @ W, np.eye(20), atol=1e-12)
    np.testing.assert_allclose(model.state["variance"][n - 1 :], 0, atol=1e-10)
    assert (model.state["variance"] >= 0).all()
    np.testing.assert_allclose(model.reconstruct(X), X, atol=1e-9)


def test_rows_unlike_the_first_ones_are_no_divergence():
    """Minibatches of single rows whose distances from the mean differ by far more than ten times, and a huge
    mean."""
    X = np.full((50, 3), 1e-6)
    X[:, 0] *= np.arange(50)
    X[::7] += 1e7
    model, _ = learn(X, batch=1)
    np.testing.assert_allclose(model.state["variance"][0], eigen(X)[0][0], rtol=1e-9)


def test_the_largest_entry_of_a_component_is_positive():
    W = learn(uncentred(seed=3))[0].params["W"]
    assert (W[np.abs(W).argmax(axis=0), np.arange(30)] > 0).all()


@pytest.mark.parametrize("width", [30, 130])
def test_how_many_components_there_are(width):
    assert learn(uncentred(200, width))[0].config.hidden == min(width, 100)
    model = PCA(PCA.Config(hidden=width + 1))
    with pytest.raises(
        ConfigError, match=rf"--hidden {width + 1}: .*{width} visible .*--hidden {width} or less"
    ):
        model.init(width, Random(0))


def test_matrices_beyond_memory_are_refused(monkeypatch):
    with pytest.raises(DataError, match=r"8193 visible values need 0\.5 GB a matrix, at most 8192"):
        PCA().init(8193, Random(0))
    monkeypatch.setattr(pca, "WIDEST", 30)
    PCA().init(30, Random(0))


def test_values_that_are_not_finite_are_refused():
    X = uncentred()
    X[3, 3] = np.nan
    with pytest.raises(DataError, match="not finite"):
        learn(X, mean=False)


def test_held_out_rows_are_not_learned_from():
    X = uncentred()
    model, training = learn(X, hidden=5, validation=0.2)
    V = eigen(X[training.train_rows])[1][:, :5]
    np.testing.assert_allclose(np.abs(np.sum(V * model.params["W"], axis=0)), 1, rtol=1e-9)
    R = X[training.validation_rows] - X[training.train_rows].mean(axis=0)
    wanted = np.sqrt(np.square(R - R @ V @ V.T).mean())
    assert training.history["validation_rmse"] == [pytest.approx(wanted, rel=1e-9)]


def test_it_is_not_trained_as_what_descends():
    model = PCA()
    model.init(4, Random(0))
    with pytest.raises(ConfigError, match="--epochs 2: a pca model is not learned by epochs"):
        Training(model, Rows(uncentred()), TrainConfig(epochs=2))
    with pytest.raises(ConfigError, match="nothing is descended"):
        Training(model, Rows(uncentred()), TrainConfig(epochs=1, optimizer="lbfgs"))
    assert PCA().losses() == {}


class Counting(Layer):
    """Says when its phases are finished."""

    id = "counting"

    def __init__(self):
        super().__init__(config=object(), dtype=np.float64)
        self.params, self.seen = {"W": np.zeros((3, 1))}, []

    def encode(self, X):
        return X[:, :1]

    def decode(self, H):
        self.seen.append("measured")
        return np.repeat(H, 3, axis=1)

    def gradient(self, X, step):
        self.seen.append(step.number)
        return {"error": 1.0}, {"W": np.zeros((3, 1))}

    def phases(self):
        return [
            Phase("first", self.gradient, finish=lambda: self.seen.append("first done")),
            Phase("second", self.gradient, updates=1, finish=lambda: self.seen.append("second done")),
        ]


def test_a_phase_is_finished_once_between_its_last_update_and_the_measures():
    model = Counting()
    assert Training(model, Rows(np.ones((20, 3))), TrainConfig(epochs=2, batch_size=10)).run()
    first = [0, 1, "measured", 2, 3, "first done", "measured"]
    # the last over all rows, of the finished
    assert model.seen == [*first, 4, "second done", "measured", "measured"]


def test_a_phase_that_is_stopped_early_is_finished_too():
    model = Counting()
    Training(model, Rows(np.ones((20, 3))), TrainConfig(epochs=9, batch_size=10, tolerance=0.5)).run()
    assert [one for one in model.seen if one != "measured"] == [0, 1, 2, 3, "first done", 4, "second done"]


def test_there_are_no_gradients():
    model = PCA()
    model.init(4, Random(0), np.full(4, 0.25))
    metrics, grads = model.gradient(np.full((2, 4), 0.75, np.float32), Step(0, 0))
    assert metrics == {"error": 0.5}
    assert grads == {}


# From the command line.


@pytest.fixture(scope="module")
def learned(work, run_here, tmp_path_factory):
    path = tmp_path_factory.mktemp("pca") / "pca.h5"
    ran = run_here(
        "train", work.patches, "--model", "pca", "--hidden", 9, "--batch-size", 100, "-o", path, "--json"
    )
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert (report["epochs"], report["updates"]) == (1, 6)
    return path


def test_the_file_holds_components_and_variances_alone(learned, work):
    file, model = read_model(str(learned)), load_model(str(learned)).model
    assert {name: value.shape for name, value in file.state.items()} == {"variance": (9,)}
    X = load_rows(str(work.patches), like=load_model(str(learned)), say=print)[0].block(0, 600)
    values, V = eigen(X)
    np.testing.assert_allclose(model.params["W"], V[:, :9], atol=1e-5)
    np.testing.assert_allclose(file.state["variance"], values[:9], rtol=1e-9)


def test_every_command_takes_it_or_says_why_not(learned, work, run_here, tmp_path):
    for call in (
        ("info", learned),
        ("evaluate", learned, work.patches),
        ("visualize", learned, "-o", tmp_path / "f.png"),
        ("visualize", learned, "--what", "curve", "-o", tmp_path / "c.png"),
        ("reconstruct", learned, work.patches, "-o", tmp_path / "r.png"),
        ("encode", learned, work.patches, "-o", tmp_path / "h.h5"),
        ("train", "--model", "pca", "--hidden", 3, "-o", tmp_path / "demo.h5"),
    ):
        assert run_here(*call).code == 0, call
    for call, words in (
        (("sample", learned, "-o", tmp_path / "s.png"), "no Markov chain"),
        (("check-gradients", "--model", "pca"), "no loss that is descended"),
        (
            ("train", work.patches, "--model", "pca", "--hidden", 65, "-o", tmp_path / "x.h5"),
            "--hidden 64 or less",
        ),
    ):
        ran = run_here(*call)
        assert (ran.code, len(ran.err.splitlines())) == (2, 1), ran.err
        assert words in ran.err
    assert not (tmp_path / "x.h5").exists()


IDLE = [name for name in TrainConfig.__dataclass_fields__ if name not in STILL]


@pytest.mark.parametrize("name", IDLE)
def test_settings_of_descent_are_refused(name, work, run_here, tmp_path):
    """With the reason, on the command line and in a file; and they are not on the help page."""
    option, out = option_name(name), tmp_path / "x.h5"
    assert f"  {option}" not in run_here("train", "--model", "pca", "--help").out
    (tmp_path / "run.toml").write_text(f'model = "pca"\n{name} = 1\n')
    for args in (
        ("--model", "pca", option, "1"),
        ("--model=pca", f"{option}=1"),
        ("--config", tmp_path / "run.toml"),
    ):
        ran = run_here("train", work.patches, *args, "-o", out)
        assert (ran.code, len(ran.err.splitlines())) == (2, 1), ran.err
        assert f"{option}: does nothing with --model pca" in ran.err
    assert not out.exists()


def test_its_settings_survive_a_file(learned, work, run_here, tmp_path):
    args = ("train", work.patches, "--model", "pca", "--hidden", 9, "--validation", 0.1)
    shown = run_here(*args, "--show-config").out
    (tmp_path / "run.toml").write_text(shown)
    assert "epochs" not in shown
    assert run_here("train", "--config", tmp_path / "run.toml", "--show-config").out == shown
    assert (
        run_here("train", work.patches, "--model", "pca", "--epoch", "1", "-o", tmp_path / "x.h5").code == 2
    )


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_stopped_by_a_signal_resumes(signum, work, run_here, start, tmp_path):
    """The checkpoint holds the sums; what comes of them has the bytes of a run that was not stopped."""
    args = (
        "train",
        work.patches,
        "--model",
        "pca",
        "--batch-size",
        1,
        "--checkpoint-every",
        0,
        "-o",
        "stopped.h5",
    )
    process = start(*args, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    ckpt = tmp_path / "stopped.h5.ckpt"
    deadline = time.monotonic() + 60
    while not ckpt.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signum)
    process.communicate(timeout=60)
    assert process.returncode == -signum
    with h5py.File(ckpt) as file:
        assert file["state/products"].shape == (64, 64)
        assert 0 < file["state/count"][0] < 600
    unfinished = run_here("evaluate", ckpt, work.patches)
    assert unfinished.code == 0
    assert "not finished" in unfinished.err
    out = tmp_path / "stopped.h5"
    command = ("train", work.patches, "--model", "pca", "--batch-size", 1, "--seed")
    other = run_here(*command, 0, "--hidden", 3, "-o", out, "--resume")
    assert other.code == 2
    assert "hidden was 64 and is now 3" in other.err
    assert run_here(*command, 0, "-o", out, "--resume").code == 0
    assert run_here(*command, 0, "-o", tmp_path / "whole.h5").code == 0
    assert read_model(str(out)).content_hash == read_model(str(tmp_path / "whole.h5")).content_hash
    assert list(read_model(str(out)).state) == ["variance"]
    assert not ckpt.exists()

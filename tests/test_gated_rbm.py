"""The gated RBM against its energy, by enumeration of all states and by the three-way tensor that the factors
stand for; and the pairs that it learns from."""

import itertools

import numpy as np
import pytest
from PIL import Image

import featlearn
from featlearn import _core
from featlearn.errors import ConfigError
from featlearn.models.base import DataSummary, Step
from featlearn.models.gated_rbm import GatedRBM, halves, interleaved
from featlearn.patches.dots import REACH, pairs
from featlearn.patches.fitter import Fitter
from featlearn.patches.settings import PreprocessSpec
from featlearn.random import Random
from helpers import ok, refused

KINDS = ("bernoulli", "gaussian")


def make(visible="bernoulli", values=2, hidden=3, factors=3, seed=3):
    """A small model far from its initial values."""
    model = GatedRBM(GatedRBM.Config(hidden=hidden, factors=factors, visible=visible), "float64")
    model.init(2 * values, Random(seed))
    rng = np.random.default_rng(seed)
    for value in model.params.values():
        value += rng.normal(size=value.shape)
    return model


def states(n):
    return np.array(list(itertools.product([0.0, 1.0], repeat=n)))


def energy(model, x, y, h):
    """By the docstring of the model, with the tensor of all triples."""
    p = model.params
    W = np.einsum("if,jf,kf->ijk", p["Wx"], p["Wy"], p["Wh"])
    three = np.einsum("ijk,...i,...j,...k->...", W, x, y, h)
    if model.bernoulli:
        return -three - x @ p["a"] - y @ p["b"] - h @ p["c"]
    return -three + ((x - p["a"]) ** 2).sum(-1) / 2 + ((y - p["b"]) ** 2).sum(-1) / 2 - h @ p["c"]


@pytest.mark.parametrize("kind", KINDS)
def test_free_energy_and_codes_by_enumeration(kind):
    model = make(kind)
    X = np.random.default_rng(1).random((9, 4))
    x, y = halves(X)
    H = states(3)
    weight = np.exp(-energy(model, x[:, None], y[:, None], H[None]))
    np.testing.assert_allclose(model.free_energy(X), -np.log(weight.sum(1)), rtol=1e-12)
    codes = weight @ H / weight.sum(1, keepdims=True)
    np.testing.assert_allclose(model.encode(X), codes, rtol=1e-12)
    assert model.extra_metrics(X) == {"free_energy": pytest.approx(-np.log(weight.sum(1)).mean())}


def test_reconstructions_by_enumeration():
    """Of each picture given the other one and h, of binary units."""
    model = make()
    X, H, V = np.random.default_rng(1).random((5, 4)), np.random.default_rng(2).random((5, 3)), states(2)
    x, y = halves(X)
    of_y = np.exp(-energy(model, x[:, None], V[None], H[:, None]))
    of_x = np.exp(-energy(model, V[None], y[:, None], H[:, None]))
    wanted = [w @ V / w.sum(1, keepdims=True) for w in (of_x, of_y)]
    np.testing.assert_allclose(model.reconstruct(X, H), interleaved(*wanted), rtol=1e-12)


def test_reconstructions_of_gaussian_units_are_the_least_of_the_energy():
    model = make("gaussian")
    X, H = np.random.default_rng(1).random((5, 4)), np.random.default_rng(2).random((5, 3))
    (x, y), (x1, y1) = halves(X), halves(model.reconstruct(X, H))
    for delta in np.vstack([np.eye(2), -np.eye(2)]) * 1e-3:
        assert (energy(model, x, y1 + delta, H) > energy(model, x, y1, H)).all()
        assert (energy(model, x1 + delta, y, H) > energy(model, x1, y, H)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_that_of_contrastive_divergence_on_both_conditionals(kind):
    """By derivatives of the energy of the tensor, at the very states that were drawn."""
    model, X, step = make(kind), np.random.default_rng(1).random((6, 4)), Step(5, 7)
    _, grads = model.gradient(X, step)
    H = model.encode(X)
    S = np.empty_like(H)
    _core.bernoulli(S, H, step.seed, step.draw(0))
    (x, y), (x1, y1) = halves(X), halves(model.reconstruct(X, S))
    p = model.params

    def slopes(x, y):
        h = model.encode(interleaved(x, y))
        fx, fy, fh = x @ p["Wx"], y @ p["Wy"], h @ p["Wh"]
        found = {"Wx": x.T @ (fy * fh), "Wy": y.T @ (fx * fh), "Wh": h.T @ (fx * fy)}
        return found | {"a": x.sum(0), "b": y.sum(0), "c": h.sum(0)}

    data, of_y, of_x = slopes(x, y), slopes(x, y1), slopes(x1, y)
    for name, grad in grads.items():
        wanted = (of_y[name] + of_x[name]) / 2 - data[name]
        np.testing.assert_allclose(grad, wanted / 6, rtol=1e-9, atol=1e-12)


def test_a_gibbs_step_leaves_the_distribution_as_it_is():
    """All 16 pairs of two binary values are enumerated."""
    model = make(values=2)
    V = states(4)
    p = np.exp(-model.free_energy(V))
    p /= p.sum()
    n = 40_000
    drawn = np.random.default_rng(1).choice(16, n, p=p)
    means, after = model.chain(V[drawn], Step(1, 3))
    assert ((means > 0) & (means < 1)).all()
    found = np.bincount((after @ [8, 4, 2, 1]).astype(int), minlength=16) / n
    assert (np.any(after != V[drawn], axis=1)).mean() > 0.2
    np.testing.assert_allclose(found, p, atol=5 * np.sqrt(0.25 / n))


def test_gaussian_units_have_no_chain():
    with pytest.raises(ConfigError, match="may have no end"):
        make("gaussian").chain(np.zeros((1, 4)), Step(1, 3))


def test_filters_get_one_norm_which_follows_their_mean():
    model = make(values=5, factors=4)
    W, before = model.params["Wx"].copy(), model.state["norm"].copy()
    model.project()
    norms = np.linalg.norm(W, axis=0)
    wanted = 0.95 * before[0] + 0.05 * norms.mean()
    np.testing.assert_allclose(model.params["Wx"], W / norms * wanted, rtol=1e-12)
    assert model.state["norm"][0] == pytest.approx(wanted)
    assert model.state["norm"][1] != before[1]


def test_initial_filters_respond_by_half():
    config = GatedRBM.resolve(GatedRBM.Config(), DataSummary(338, 0.0, 1.0, variance=30.4, square=33.8))
    assert (config.visible, config.init_scale) == ("bernoulli", 0.13)
    assert config.init_scale * np.sqrt(30.4 / 2) == pytest.approx(0.5, rel=0.05)
    assert GatedRBM.usual_rates(config, DataSummary(338, square=338.0)) == {"sgd": 0.01}
    assert GatedRBM.usual_rates(config, DataSummary(338, square=10.0)) == {"sgd": 0.1}


def test_it_learns_what_turns_one_into_the_other():
    """Which of two cyclic shifts it was, of binary rows that tell nothing by themselves."""
    rng = np.random.default_rng(0)
    x = (rng.random((400, 6)) < 0.5).astype(np.float32)
    which = rng.integers(0, 2, 400)
    y = np.where(which[:, None], np.roll(x, 1, axis=1), np.roll(x, -1, axis=1))
    X = interleaved(x, y)
    images = X.reshape(400, 2, 3, 2)
    model = featlearn.fit("gated-rbm", images, hidden=4, factors=12, epochs=60, batch_size=20, lr=0.1)
    codes = model.encode(images)
    telling = max(abs(np.corrcoef(codes[:, k], which)[0, 1]) for k in range(4))
    assert telling > 0.9
    error = np.sqrt(np.mean((model.reconstruct(images).reshape(X.shape) - X) ** 2))
    assert error < 0.35  # .5 of what knows nothing


def test_rows_that_are_no_pairs_are_refused(work, run_here, tmp_path):
    train = ("train", work.patches, "--model", "gated-rbm", "-o", tmp_path / "m.h5")
    refused(run_here(*train), "patches 8x8x1", "learns of pairs of pictures", "--pairs")
    with pytest.raises(ConfigError, match="rows of 5 values are no pairs"):
        GatedRBM.resolve(GatedRBM.Config(), DataSummary(5, 0.0, 1.0))
    with pytest.raises(ConfigError, match="gives no rows back from codes alone"):
        make().decode(np.zeros((1, 3)))
    assert not list(tmp_path.iterdir())


def test_a_model_of_pairs_in_all_commands(work, run_here, tmp_path):
    model, options = tmp_path / "m.h5", ("--hidden", 5, "--factors", 6, "--epochs", 1)
    ok(run_here("train", work.paired, "--model", "gated-rbm", *options, "-o", model))
    row = ok(run_here("evaluate", model, work.paired, "--json"))
    assert '"rmse"' in row.out
    assert '"free_energy"' in row.out
    ok(run_here("reconstruct", model, work.paired, "-o", tmp_path / "r.png"))
    ok(run_here("visualize", model, "-o", tmp_path / "f.png", "--columns", 1, "--scale", 1))
    with Image.open(tmp_path / "f.png") as sheet:
        assert sheet.width >= 2 * 9 + 1  # the two filters of a factor stand in one line
    ok(run_here("visualize", work.paired, "-o", tmp_path / "p.png", "--columns", 1, "--scale", 1))
    with Image.open(tmp_path / "p.png") as sheet:
        assert sheet.width >= 2 * 9 + 1  # and so do those of a pair
    refused(run_here("sample", model, "-o", tmp_path / "s.png"), "may have no end", code=2)
    rbm = tmp_path / "rbm.h5"
    ok(run_here("train", work.paired, "--model", "rbm", "--hidden", 4, "--epochs", 1, "-o", rbm))
    ok(run_here("sample", rbm, "--count", 4, "--labels", "-o", tmp_path / "s.png"))  # a caption a pair


# --- pairs


def test_shifted_dots_are_shifted():
    P = pairs("shifted-dots", 0, 13, 5)
    assert P.shape == (1024, 13, 13, 2)
    assert set(np.unique(P)) == {0, 255}
    assert P.mean() / 255 == pytest.approx(0.1, abs=0.005)
    found = set()
    for one in P[:200]:
        x, y = one[..., 0], one[..., 1]
        for dy, dx in itertools.product(range(-REACH, REACH + 1), repeat=2):
            mine = x[max(0, dy) : 13 + min(0, dy), max(0, dx) : 13 + min(0, dx)]
            yours = y[max(0, -dy) : 13 + min(0, -dy), max(0, -dx) : 13 + min(0, -dx)]
            if np.array_equal(mine, yours):
                found.add((dy, dx))
                break
        else:
            pytest.fail("no shift makes the second of the first")
    assert len(found) > 40


def test_rotated_dots_are_rotated():
    """Rings about the middle keep their mass, and their angular spectrum; the pictures are others."""
    P = pairs("rotated-dots", 1, 13, 5) / 255
    at = np.arange(13) - 6
    ring = (np.hypot(at[:, None], at) < 4.5).astype(float)
    mass = (P * ring[..., None]).sum((1, 2))
    assert np.corrcoef(mass.T)[0, 1] > 0.95
    assert np.corrcoef(P[..., 0].ravel(), P[..., 1].ravel())[0, 1] < 0.2
    angle = 2 * np.pi * np.arange(32) / 32
    y, x = (np.rint(6 + 4 * f(angle)).astype(int) for f in (np.sin, np.cos))
    first, second = (np.abs(np.fft.rfft(P[:, y, x, k], axis=1))[:, 1:4].ravel() for k in (0, 1))
    assert np.corrcoef(first, second)[0, 1] > 0.6
    assert np.array_equal(pairs("rotated-dots", 1, 13, 5) / 255, P)


def test_generated_pairs_become_a_data_set(run_here, tmp_path):
    ok(run_here("extract-patches", "rotated-dots", "--size", 6, "--count", 30, "-o", tmp_path / "d.h5"))
    data = featlearn.load_dataset(str(tmp_path / "d.h5"))
    assert data.shape == (6, 6, 2)
    wanted = pairs("rotated-dots", 0, 6, 0)[:30]
    assert np.array_equal(data.raw[:].reshape(wanted.shape), wanted)
    like = ("extract-patches", "shifted-dots", "--count", 9, "--like", tmp_path / "d.h5")
    ok(run_here(*like, "-o", tmp_path / "like.h5"))
    assert featlearn.load_dataset(str(tmp_path / "like.h5")).shape == (6, 6, 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("shifted-dots", "dead-leaves"), "give one name"),
        (("shifted-dots", "--color", "rgb"), "no options of images"),
        (("shifted-dots", "--size", "5x6"), "square pairs"),
        (("shifted-dots", "--stride", 2), "square pairs"),
        (("dead-leaves", "--pairs"), "do not follow each other"),
        (("PHOTOS", "--pairs", "--labels", "folders"), "pairs have no labels"),
    ],
)
def test_wrong_use_of_pairs(words, said, work, run_here, tmp_path):
    words = [work.photos if word == "PHOTOS" else word for word in words]
    refused(run_here("extract-patches", *words, "-o", tmp_path / "no.h5"), said, code=2)
    assert not list(tmp_path.iterdir())


def frames(n, seed=0):
    """Pictures of which each is the one before, moved down by one line."""
    first = np.random.default_rng(seed).integers(0, 256, (20, 24), dtype=np.uint8)
    return [np.roll(first, k, axis=0) for k in range(n)]


def pair_up(run_here, tmp_path, *inputs):
    out = tmp_path / "pairs.h5"
    cut = ("--size", 5, "--count", 300, "--normalize", "none", "--force")
    ok(run_here("extract-patches", "--pairs", *inputs, *cut, "-o", out))
    return featlearn.load_dataset(str(out))


def test_frames_of_files_and_sorted_files_are_pairs(run_here, tmp_path):
    """Never across folders or files of frames, both pictures cut at one place."""
    images = [Image.fromarray(one) for one in frames(4)]
    for suffix in ("gif", "tif"):
        images[0].save(tmp_path / f"film.{suffix}", save_all=True, append_images=images[1:])
    for name, count in (("one", 3), ("two", 2), ("three", 1)):
        (tmp_path / "films" / name).mkdir(parents=True)
        for k, one in enumerate(frames(count, len(name))):
            Image.fromarray(one).save(tmp_path / "films" / name / f"{k}.png")
    np.save(tmp_path / "stack.npy", np.stack(frames(3, 9)))
    inputs = [tmp_path / name for name in ("film.gif", "film.tif", "films", "stack.npy")]
    data = pair_up(run_here, tmp_path, *inputs)
    assert data.shape == (5, 5, 2)
    names = [name.replace(str(tmp_path), "") for name in data.images]
    assert names == [
        *(f"/film.{suffix}[{k}] and film.{suffix}[{k + 1}]" for suffix in ("gif", "tif") for k in range(3)),
        *("/films/one/0.png and 1.png", "/films/one/1.png and 2.png", "/films/two/0.png and 1.png"),
        *(f"/stack.npy[{k}] and stack.npy[{k + 1}]" for k in range(2)),
    ]
    P = data.raw[:].reshape(-1, 5, 5, 2)
    assert np.array_equal(P[:, 1:, :, 1], P[:, :-1, :, 0])
    assert len(np.unique(P[:, 0, 0, 0])) > 100


def test_colours_of_pairs_alternate(run_here, tmp_path):
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 256, (2, 20, 20, 3), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    for name, one in (("a", first), ("b", second)):
        Image.fromarray(one).save(tmp_path / "in" / f"{name}.png")
    data = pair_up(run_here, tmp_path, tmp_path / "in", "--color", "rgb")
    assert data.shape == (5, 5, 6)
    k = 7
    _, row, column = np.asarray(data.origin[k])
    window = np.s_[row : row + 5, column : column + 5]
    wanted = np.stack([first[window], second[window]], axis=-1).reshape(-1)
    assert np.array_equal(data.raw[k : k + 1][0], wanted)


def test_pictures_of_two_sizes_are_no_pair(run_here, tmp_path):
    for k, height in enumerate((20, 20, 30)):
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (height, 20), dtype=np.uint8)).save(
            tmp_path / f"{k}.png"
        )
    inputs = [tmp_path / f"{k}.png" for k in range(3)]
    ran = ok(run_here("extract-patches", "--pairs", *inputs, "--size", 5, "-o", tmp_path / "p.h5"))
    assert "1.png and 2.png: no pair: 20x20 uint8 and 30x20 uint8, wanted two alike" in ran.err
    alone = run_here("extract-patches", "--pairs", inputs[0], "--size", 5, "-o", tmp_path / "q.h5")
    refused(alone, "no two images of one folder")


@pytest.mark.parametrize("whiten", ["zca", "pca"])
def test_pairs_are_whitened_picture_by_picture(whiten):
    """Each is white by itself, both by one matrix, and they stay as alike as they were."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(6, 6))
    x = rng.normal(size=(4000, 6)) @ mix
    X = interleaved(x, 0.8 * x + 0.6 * rng.normal(size=(4000, 6)) @ mix)
    fitter = Fitter(PreprocessSpec("none", whiten, epsilon=0.0), 12, X.dtype, pairs=True)
    fitter.update(X)
    done = fitter.finish()
    P = done.whitening
    np.testing.assert_allclose(P[0::2, 0::2], P[1::2, 1::2], atol=1e-12)
    assert abs(P[0::2, 1::2]).max() < 1e-12
    assert abs(P[1::2, 0::2]).max() < 1e-12
    one, two = halves(done.apply(X, np.float64))
    np.testing.assert_allclose((one.T @ one + two.T @ two) / 8000, np.eye(6), atol=0.02)
    np.testing.assert_allclose(one.T @ two / 4000, 0.8 * np.eye(6), atol=0.1)
    np.testing.assert_allclose(done.invert(done.apply(X, np.float64)), X, atol=1e-9)

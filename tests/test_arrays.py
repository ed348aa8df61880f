"""Models on arrays: fit, load_model and load_dataset hold to what the commands make of files."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

import featlearn
from featlearn.errors import ConfigError, DataError
from featlearn.files.dataset import read_dataset
from featlearn.files.model import read_model
from featlearn.jobs.pictures import sheet_of_rows
from featlearn.models import model_class
from featlearn.pictures.mosaic import place
from helpers import LABELS, SINGLE, label, pair

N, SHAPE = 300, (4, 5)
OWN = {  # pca and k-means have no epochs; units of denoising begin silent
    "pca": {},
    "sparse-pca": {},
    "k-means": {"iterations": 2},
    "denoising": {"epochs": 2, "hidden_bias": 0.0},
    "untied-dbn": {"hidden": (6, 5), "epochs": 2},
}
every_model = pytest.mark.parametrize("id", SINGLE)


def pixels(dtype=np.uint8):
    X = np.random.default_rng(2).integers(0, 256, (N, *SHAPE))
    return (X / 255).astype(dtype) if np.dtype(dtype).kind == "f" else X.astype(dtype)


def settings(id, hidden=6):
    """Few units, where a model has any."""
    offered = {field.name for field in dataclasses.fields(model_class(id).Config)}
    sizes = {"hidden": hidden} if "hidden" in offered else {}
    return {**sizes, "seed": 4, **OWN.get(id, {"epochs": 2})}


def data_of(id, path):
    """The data set that a model can learn from: with classes where it wants them, or of pairs."""
    cls = model_class(id)
    if not (cls.labelled or cls.of_pairs):
        return path
    write = label if cls.labelled else pair
    write(path, f"own-{path}")
    return f"own-{path}"


def images_of(id):
    """The same images, for a model of pairs as pairs of half their height."""
    return pixels().reshape(N, SHAPE[0] // 2, SHAPE[1], 2) if model_class(id).of_pairs else pixels()


def y_of(id):
    """The same classes for fit."""
    return {"y": [LABELS[i % len(LABELS)] for i in range(N)]} if model_class(id).labelled else {}


@pytest.fixture(scope="module")
def fitted():
    """A model whose data were standardized and whitened."""
    return featlearn.fit("autoencoder", pixels(), hidden=7, epochs=2, normalize="contrast", whiten="zca")


@every_model
def test_fit_makes_what_the_commands_make(id, run_here, tmp_path, monkeypatch):
    """Of the images whole, as of an array in a file."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", pixels())
    options = ["--whiten", "zca"] if id == "mcrbm" else []
    assert run_here("extract-patches", "x.npy", "-o", "p.h5", "--size", "whole", *options).code == 0
    arguments = [
        part
        for name, value in settings(id).items()
        for part in (
            f"--{name.replace('_', '-')}",
            ",".join(map(str, value)) if isinstance(value, tuple) else value,
        )
    ]
    data = data_of(id, "p.h5")
    ran = run_here("train", data, "--model", id, *arguments, "-o", "m.h5")
    assert ran.code == 0, ran.err
    whiten = {"whiten": "zca"} if options else {}
    ours, theirs = (
        featlearn.fit(id, images_of(id), **y_of(id), **settings(id), **whiten),
        featlearn.load_model("m.h5"),
    )
    assert ours.content_hash == theirs.content_hash
    assert ours.training == theirs.training
    assert ours.measured == theirs.measured
    for name, column in theirs.history.items():
        assert np.array_equal(ours.history[name], column), name
    from_data = featlearn.fit(id, featlearn.load_dataset(data), **settings(id))
    assert from_data.content_hash == theirs.content_hash


@every_model
def test_codes_and_reconstructions_are_those_of_the_commands(id, run_here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", pixels())
    white = [] if model_class(id).labelled else ["--whiten", "zca"]
    assert run_here("extract-patches", "x.npy", "-o", "p.h5", "--size", "whole", *white).code == 0
    own = data_of(id, "p.h5")
    featlearn.train(own, "m.h5", model=id, **settings(id, 20))
    assert run_here("encode", "m.h5", own, "-o", "c.h5").code == 0
    model, data = featlearn.load_model("m.h5"), featlearn.load_dataset(own)
    H = model.encode(images_of(id))
    assert np.array_equal(H, read_dataset("c.h5").patches[:])
    assert np.array_equal(H, model.encode(data))
    X = model.rows(data)
    assert np.array_equal(H, model.encode(X, preprocessed=True))
    if not (model._model.decodes or model._model.of_pairs):
        with pytest.raises(ConfigError, match="gives no rows back"):
            model.reconstruct(X, preprocessed=True)
        return
    again = model.reconstruct(X, preprocessed=True)
    error = float(np.sqrt(np.square(again.astype(float) - X).mean()))
    assert error == pytest.approx(featlearn.reconstruct("m.h5", own, "r.png").rmse, rel=1e-6)


def test_reconstructions_come_back_to_pixels(fitted):
    """Through the mean and contrast of each image; whitening and back again is exact where the model is."""
    X = pixels()

    class Perfect:
        def reconstruct(self, rows):
            return rows

        dtype = fitted._model.dtype

    perfect = featlearn.api.FeatureModel(fitted._loaded)
    perfect._model = Perfect()
    assert np.allclose(perfect.reconstruct(X)[..., 0], X / 255, atol=1e-5)
    assert fitted.reconstruct(X).shape == (N, *SHAPE, 1)
    H = fitted.encode(X)
    assert fitted.decode(H).shape == (N, *SHAPE, 1)
    rows = fitted.decode(H, preprocessed=True)
    assert np.array_equal(rows, fitted.reconstruct(fitted.rows(X), preprocessed=True))


def variants():
    X = pixels()
    wide = np.zeros((N, 4, 10), np.uint8)
    wide[:, :, ::2] = X
    return {
        "rows": X.reshape(N, -1),
        "one channel": X[..., None],
        "Fortran's order": np.asfortranarray(X),
        "every other column": wide[:, :, ::2],
        "backwards twice": np.ascontiguousarray(X[::-1])[::-1],
        "read only": np.broadcast_to(X, X.shape),
    }


@pytest.mark.parametrize("X", variants().values(), ids=variants())
def test_order_and_strides_make_no_difference(X, fitted):
    assert np.array_equal(fitted.encode(X), fitted.encode(pixels()))
    same = featlearn.fit("autoencoder", X, hidden=7, epochs=2, normalize="contrast", whiten="zca")
    assert np.array_equal(same.params["W"], fitted.params["W"])


def test_types_of_the_same_pixels(fitted):
    """8 and 16 bits and floats mean the same intensities; so do truth values."""
    X = pixels()
    H = fitted.encode(X)
    assert np.array_equal(fitted.encode(X.astype(np.uint16) * 257), H)
    assert np.array_equal(fitted.encode((X.astype(np.uint16) * 257).astype(">u2")), H)
    assert np.array_equal(fitted.encode(X / 255), H)
    for dtype in ("f2", "f4", ">f4", ">f8", np.longdouble):
        assert np.allclose(fitted.encode((X / 255).astype(dtype)), H, atol=2e-2), dtype
    black = X > 128
    assert np.array_equal(fitted.encode(black), fitted.encode(black.astype(np.uint8) * 255))
    assert np.array_equal(fitted.encode((X / 255).tolist()), H)


def test_images_in_a_file_are_read_by_blocks(fitted, tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", pixels())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    H = fitted.encode(pixels())
    monkeypatch.setattr("featlearn.rows.BLOCK", 7)
    assert np.array_equal(fitted.encode(mapped), H)


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (pixels(np.int64), "int64 values; give pixels as uint8"),
        (pixels().tolist(), "int64 values; give pixels as uint8"),
        (pixels().astype(complex), "complex128; give rows"),
        (np.array([["a"] * 20]), "give rows"),
        (np.array([[None] * 20]), "object; give rows"),
        (pixels()[0, 0], r"an array \(5,\)"),
        (5, "X: 5; give rows"),
        (pixels()[0], r"an array \(4, 5\), but the model was trained on 4x5x1; wanted \(n, 20\)"),
        (pixels().transpose(0, 2, 1), r"\(300, 5, 4\), but the model was trained on 4x5x1"),
        (np.zeros((3, 4, 5, 3)), "trained on 4x5x1"),
        (pixels()[:0], "which is empty"),
        (np.full((2, 20), np.nan), "holds NaN"),
        (np.ma.masked_array(pixels(), pixels() < 9), "a masked array; fill in"),
        ([[1.0, 2.0], [3.0]], "X: is no array: "),
    ],
)
def test_what_is_no_image_of_the_model_is_refused(X, words, fitted):
    with pytest.raises(DataError, match=words) as caught:
        fitted.encode(X)
    assert "\n" not in str(caught.value)


def test_wrong_rows_codes_and_settings_are_refused(fitted, tmp_path):
    for X in (pixels().reshape(N, -1), np.zeros((3, 19)), np.full((3, 20), np.inf)):
        with pytest.raises(DataError, match=r"^X: "):
            fitted.encode(X, preprocessed=True)
    with pytest.raises(DataError, match=r"wanted codes \(n, 7\)"):
        fitted.decode(np.zeros((2, 8)))
    for value in (np.nan, np.inf, 1e300):  # the last is infinite in the model's precision
        with pytest.raises(DataError, match="H: holds NaN or infinity"):
            fitted.decode(np.full((2, 7), value))
    for options in ({"preprocessed": True, "whiten": "zca"}, {"preprocessed": True}):
        with pytest.raises(ConfigError, match="preprocess"):
            featlearn.fit("rbm", pixels(), **options)
    with pytest.raises(ConfigError, match="--epsilon: does nothing without --whiten"):
        featlearn.fit("rbm", pixels(), epsilon=0.2)
    with pytest.raises(DataError, match="1 or 3 channels"):
        featlearn.fit("rbm", np.zeros((3, 4, 5, 4)))
    with pytest.raises(ConfigError, match="no Markov chain"):
        fitted.sample(count=2, steps=2)


def test_preprocessed_rows_are_learned_from_as_they_are():
    X = np.random.default_rng(0).normal(size=(200, 9))
    model = featlearn.fit("pca", X, hidden=3, preprocessed=True, dtype="float64")
    assert model.params["W"].dtype == np.float64
    assert np.allclose(model.encode(X), model.encode(X, preprocessed=True))
    components = np.linalg.svd(X - X.mean(axis=0))[2][:3]
    assert np.allclose(abs(np.diag(model.filters.reshape(3, 9) @ components.T)), 1)


def test_a_saved_model_is_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "m.h5")
    with pytest.raises(DataError, match="exists"):
        fitted.save(tmp_path / "m.h5")
    with pytest.raises(ConfigError, match="would be HDF5"):
        fitted.save(tmp_path / "m.npz")
    again = featlearn.load_model(tmp_path / "m.h5")
    assert again.content_hash == fitted.content_hash
    assert np.array_equal(again.encode(pixels()), fitted.encode(pixels()))
    assert (again.id, again.config, again.shape) == (fitted.id, fitted.config, fitted.shape)
    story = read_model(str(tmp_path / "m.h5")).provenance
    assert story["settings"] == {
        "model": "autoencoder", "hidden": 7, "epochs": 2, "normalize": "contrast", "whiten": "zca",
    }  # fmt: skip


def test_what_a_model_shows(fitted):
    assert fitted.filters.shape == (7, *SHAPE, 1)
    assert fitted._repr_png_().startswith(b"\x89PNG")
    assert repr(fitted) == "<featlearn model autoencoder: 7 units, images 4x5x1>"
    assert fitted.config.hidden == 7
    assert fitted.history["epoch"].tolist() == [1, 2]
    assert fitted.finished
    with pytest.raises(ValueError, match="read-only"):
        fitted.params["W"][0] = 0


def test_samples_are_means_of_the_chain(tmp_path):
    model = featlearn.fit("rbm", pixels() > 128, hidden=6, epochs=1)
    made = model.sample(count=3, steps=4, seed=2)
    assert made.shape == (3, *SHAPE, 1)
    assert ((made >= 0) & (made <= 1)).all()
    assert np.array_equal(made, model.sample(count=3, steps=4, seed=2))
    assert not np.array_equal(made, model.sample(count=3, steps=4, seed=3))
    rows = model.sample(count=3, steps=4, seed=2, preprocessed=True)
    model.save(tmp_path / "m.h5")
    drawn = io.BytesIO()
    featlearn.sample(tmp_path / "m.h5", drawn, count=3, steps=4, seed=2)
    sheet = sheet_of_rows(rows, model._loaded.preprocess, (*SHAPE, 1))
    with Image.open(drawn) as picture:
        assert np.array_equal(np.asarray(picture), place(sheet).pixels())
    V = pixels()[:3] > 128  # of an RBM with binary units: one step is p(v | h), h drawn from p(h | v)
    begun = model.sample(count=3, steps=1, data=V, preprocessed=False).reshape(3, 20)
    W, b, c = (model.params[name].astype(float) for name in "Wbc")
    states = (np.arange(64)[:, None] >> np.arange(6)) & 1  # all 2^6 codes: begun is one of their means
    means = 1 / (1 + np.exp(-(states @ W.T + b)))
    assert c.shape == (6,)
    assert abs(means[None] - begun[:, None]).max(axis=2).min(axis=1).max() < 1e-6


@pytest.mark.parametrize("preprocessed", [False, True])
def test_chains_begin_at_as_many_rows_as_were_asked_for(preprocessed, monkeypatch):
    """Whatever the blocks by which rows are read; at all rows where there are fewer."""
    X = pixels()
    model = featlearn.fit("rbm", X, hidden=6, epochs=1)
    data = model.rows(X) if preprocessed else X
    whole = model.sample(count=20, steps=1, data=data, preprocessed=preprocessed)
    monkeypatch.setattr("featlearn.rows.BLOCK", 7)
    assert len(whole) == 20
    assert np.array_equal(model.sample(count=20, steps=1, data=data, preprocessed=preprocessed), whole)
    assert len(model.sample(count=20, steps=1, data=data[:9], preprocessed=preprocessed)) == 9


def test_a_stopped_run_is_not_finished():
    model = featlearn.fit("rbm", pixels(), hidden=5, epochs=50, should_stop=lambda: True)
    assert not model.finished
    assert model.encode(pixels()).shape == (N, 5)


def test_a_data_set_as_an_object(work):
    data, file = featlearn.load_dataset(work.patches), read_dataset(str(work.patches))
    assert data.pixels.shape == (600, 8, 8, 1)
    assert data.pixels.dtype == np.uint8
    assert np.array_equal(data.pixels.reshape(600, -1), file.patches[:])
    assert (len(data), data.shape, data.labels) == (600, (8, 8, 1), None)
    assert [name.rpartition("/")[2] for name in data.images] == [f"photo{i}.png" for i in range(4)]
    assert data.origin.shape == (600, 3)
    assert data.rows().mean(axis=0) == pytest.approx(np.zeros(64), abs=1e-5)
    assert data.digest == file.digest
    assert "600 images 8x8x1" in repr(data)


def test_classes_of_arrays():
    """Told by name, of arrays and of their rows; what are no classes of them is refused."""
    X = pixels()
    y = np.where(X[:, 0, 0] > 127, "bright", "dark")
    net = featlearn.fit("softmax", X, y, epochs=30, lr=0.05)
    assert net.classes == ["bright", "dark"]
    P = net.probabilities(X)
    assert np.array_equal(P, net.probabilities(net.rows(X), preprocessed=True))
    told = net.classify(X)
    assert told == [net.classes[i] for i in P.argmax(axis=1)]
    assert np.mean(np.array(told) != y) == pytest.approx(net.measured["error_rate"])
    assert net.measured["error_rate"] < 0.1
    assert featlearn.fit("softmax", X, y == "dark", epochs=1).classes == ["False", "True"]
    for wrong in (y[1:], y.astype(object), np.linspace(0, 1, N)):
        with pytest.raises(DataError, match=r"^y: an array"):
            featlearn.fit("softmax", X, wrong)
    with pytest.raises(DataError, match="has no labels"):
        featlearn.fit("softmax", X)
    with pytest.raises(ConfigError, match="knows no classes"):
        featlearn.fit("pca", X).classify(X)


SPECS = [{}, {"normalize": "standardize"}, {"normalize": "standardize", "whiten": "zca"}, {"whiten": "pca"}]
SPECS += [{"normalize": "center", "whiten": "zca"}, {"clip": 2.0}, {"normalize": "center", "clip": 3.0}]


@pytest.mark.parametrize("options", SPECS, ids=str)
def test_floats_in_other_units_than_those_of_the_training_are_said(options, caplog):
    """Pixels 0..255 as floats, of a model of uint8; not what is merely rare."""
    rng = np.random.default_rng(0)
    X = (255 * rng.beta(1, 3, (300, 1)) * rng.random((300, 16))).astype(np.uint8)
    X[:, 0] = rng.random(300) < 0.01  # a pixel that is hardly ever lit, and one that hardly varies
    X[:, 1] = rng.random(300) < 0.5
    model = featlearn.fit("pca", X, hidden=3, **options)
    ordinary = X / 255
    ordinary[3, :2] = 1
    caplog.clear()
    fine = (X, ordinary, ordinary[:1], 3 * ordinary + 1, np.zeros((1, 16)), np.ones((1, 16), np.float32))
    for values in fine:
        model.encode(values)
    model.encode(250 * rng.random((3, model.n_visible)), preprocessed=True)
    assert caplog.text == ""
    for use in (model.encode, model.reconstruct, model.rows):
        caplog.clear()
        use(np.tile(X, (20, 1)).astype(np.float32))  # more than a block
        assert caplog.text.count("\n") == caplog.text.count("it has learned from about") == 1
    if not options:
        caplog.clear()
        model.encode(-X.astype(np.float64))
        assert f"values hold -{X.max()};" in caplog.text


def test_nothing_is_said_of_units_that_nobody_knows(caplog):
    X = np.random.default_rng(0).integers(0, 256, (300, 16), np.uint8)
    for options in ({"normalize": "contrast"}, {"normalize": "center"}, {"threshold": 0.5}):
        featlearn.fit("pca", X, hidden=3, **options).encode(X.astype(np.float64))
    assert caplog.text == ""

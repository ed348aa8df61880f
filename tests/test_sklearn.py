"""The estimators of scikit-learn: its own checks, its tools, and the same models as without it."""

import copy
import io
import logging
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn.decomposition
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import featlearn
from featlearn import _core, api
from featlearn.errors import DataError
from featlearn.models import model_class
from featlearn.sklearn import PCA, RBM, Autoencoder, KSparse, all_estimators
from helpers import SINGLE

QUICK = {"epochs": 2, "k": 1, "random_state": 0}
"""For the models that have such a parameter; scikit-learn's checks ask for one component, too."""
FITTING = {
    "mcrbm": {"normalize": "standardize", "hidden_cov": 4, "factors": 5, "chains": 3},
    "softmax": {"epochs": 20},
    "network": {"hidden": (10,), "epochs": 20, "lr": 0.01},
    "label-rbm": {"hidden": 10, "clip": 2.0, "to": (0.0, 1.0), "chains": 20}
    | {"epochs": 60, "lr": 0.1, "discriminative": 10.0},
}
"""What makes data fit for a model that refuses others, and it quick."""
SKIPPED = {"check_array_api_input"}  # scikit-learn asks for SCIPY_ARRAY_API in the environment
FEATURES = [id for id in SINGLE if not (model_class(id).labelled or model_class(id).of_pairs)]
"""Those that learn from single rows alone."""
CLASSES = ["label-rbm", "network", "softmax"]
ALL = pytest.mark.parametrize("id", FEATURES)


@pytest.fixture(scope="module")
def X():
    """Rows of three blobs within 0..1."""
    rng = np.random.default_rng(0)
    return np.clip(rng.random((3, 9))[np.arange(90) % 3] + rng.normal(0, 0.1, (90, 9)), 0, 1)


def quick(id, **parameters):
    cls = all_estimators()[model_class(id).__name__]
    known = cls().get_params()
    return cls(**{k: v for k, v in QUICK.items() if k in known} | FITTING.get(id, {}) | parameters)


def same_codes(A, B):
    assert A.dtype == B.dtype
    np.testing.assert_array_equal(A, B)


@pytest.mark.parametrize("id", FEATURES + CLASSES)
def test_checks_of_scikit_learn(id):
    found = check_estimator(quick(id), on_skip=None, on_fail=None)
    assert len(found) > 40
    failed = [(one["check_name"], one["exception"]) for one in found if one["status"] == "failed"]
    assert not failed
    assert {one["check_name"] for one in found if one["status"] != "passed"} <= SKIPPED


def rows():
    return np.random.default_rng(1).random((50, 6))


@ALL
def test_it_is_the_model_of_fit(id):
    """By the names of scikit-learn, and with every setting handed on."""
    estimator = quick(id, n_components=4, random_state=3, batch_size=7, dtype="float64").fit(rows())
    options = {"hidden": 4, "seed": 3, "batch_size": 7, "dtype": "float64", **FITTING.get(id, {})}
    options |= {name: value for name, value in estimator.get_params().items() if name in ("k", "epochs")}
    model = featlearn.fit(id, rows(), **options)
    assert estimator.model_.content_hash == model.content_hash
    assert estimator.model_.training == model.training
    passes = len(model.history["epoch"])
    assert estimator.n_iter_ == passes == options.get("epochs", passes)
    codes = estimator.transform(rows())
    same_codes(codes, model.encode(rows()))
    np.testing.assert_array_equal(estimator.inverse_transform(codes), model.decode(codes).reshape(50, 6))
    np.testing.assert_array_equal(estimator.components_, model.filters.reshape(-1, 6))
    error = np.linalg.norm(rows() - model.reconstruct(rows()).reshape(50, 6)) / np.sqrt(300)
    assert estimator.score(rows()) == pytest.approx(-error, rel=1e-12)


@ALL
def test_copies_have_the_same_codes(id):
    """Through pickle, joblib and copy; of what a clone learns, too."""
    estimator = quick(id, n_components=3).fit(rows())
    stream = io.BytesIO()
    joblib.dump(estimator, stream)
    stream.seek(0)
    for other in (
        pickle.loads(pickle.dumps(estimator)),
        joblib.load(stream),
        copy.deepcopy(estimator),
        clone(estimator).fit(rows()),
    ):
        assert type(other) is type(estimator)
        assert other.get_params() == estimator.get_params()
        assert other.n_iter_ == estimator.n_iter_
        assert other.model_.content_hash == estimator.model_.content_hash
        assert other.model_.provenance == estimator.model_.provenance
        same_codes(other.transform(rows()), estimator.transform(rows()))
    assert not hasattr(clone(estimator), "model_")


@ALL
def test_defaults_are_those_of_the_command_line(id):
    """And parameters are all settings of the model, its training and preprocessing."""
    cls = model_class(id)
    parameters = quick(id).__class__().get_params()
    for name, value in cls.defaults.training.items():
        assert parameters[name] == value
    assert parameters["n_components"] == cls.Config().hidden
    assert parameters["dtype"] == "float32"
    assert parameters["random_state"] is None
    assert {"random_state", "batch_size", "validation", "whiten"} < parameters.keys()
    assert ("lr" in parameters) == cls.descends()
    assert not {"hidden", "seed", "checkpoint_every"} & parameters.keys()
    page = quick(id).__class__.__doc__
    assert all(f"\n{name} : " in page for name in parameters)
    assert "--batch-size" not in page


def test_a_pickle_is_a_checked_file(X, tmp_path):
    model = KSparse(**QUICK).fit(X).model_
    make, (file,) = model.__reduce__()
    model.save(tmp_path / "m.h5")
    assert file == (tmp_path / "m.h5").read_bytes()
    with pytest.raises(DataError, match="damaged"):
        make(file[:-1] + bytes([file[-1] ^ 1]))


def test_components_are_those_of_scikit_learn(X):
    """Up to their signs."""
    theirs = sklearn.decomposition.PCA(5).fit(X)
    ours = PCA(n_components=5, dtype="float64").fit(X)
    signs = np.sign(np.sum(ours.components_ * theirs.components_, axis=1))
    np.testing.assert_allclose(ours.components_, theirs.components_ * signs[:, None], atol=1e-10)
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X) * signs, atol=1e-10)
    again = theirs.inverse_transform(theirs.transform(X))
    np.testing.assert_allclose(ours.inverse_transform(ours.transform(X)), again, atol=1e-10)
    assert ours.score(X) == pytest.approx(-np.sqrt(np.mean((again - X) ** 2)), rel=1e-9)


def test_numbers_are_not_pixels(X):
    """Whole numbers are learned from as the floats that they are, whatever their type."""
    counts = np.round(X * 255).astype(np.uint8)
    whole, floats = (PCA(n_components=2, dtype="float64").fit(rows) for rows in (counts, counts * 1.0))
    same_codes(whole.transform(counts), floats.transform(counts * 1.0))
    np.testing.assert_allclose(floats.inverse_transform(floats.transform(counts)).mean(), counts.mean())


def test_values_come_back_in_their_own_units(X):
    """Though training divides them to where the model learns well."""
    made = KSparse(n_components=20, epochs=60, random_state=0).fit(1000 * X)
    assert made.model_.training["data_scale"] > 100
    assert -made.score(1000 * X) < 100 < np.std(1000 * X)
    assert np.std(made.inverse_transform(made.transform(1000 * X)) - 1000 * X) < 150


def test_search_in_parallel(X):
    """Over settings of a model in a pipeline, by what its codes tell of classes."""
    y = np.arange(90) % 3
    scaled = make_pipeline(MinMaxScaler(), KSparse(epochs=3, random_state=0), KNeighborsClassifier(3))
    grid = {"ksparse__k": np.array([1, 2]), "ksparse__n_components": [4, 8]}
    search = GridSearchCV(scaled, grid, n_jobs=2, cv=2, error_score="raise").fit(X, y)
    alone = GridSearchCV(scaled, grid, n_jobs=1, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])
    chosen = search.best_estimator_[1].model_.config
    assert (chosen.k, chosen.hidden) == tuple(search.best_params_[key] for key in grid)


def test_a_search_without_classes_goes_by_the_reconstruction(X):
    search = GridSearchCV(PCA(), {"n_components": [1, 5]}, cv=3, error_score="raise").fit(X)
    assert search.best_params_ == {"n_components": 5}


def test_data_frames(X):
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(9)], index=np.arange(90) + 7)
    pipe = make_pipeline(StandardScaler(), RBM(n_components=3, epochs=2, random_state=0))
    codes = pipe.set_output(transform="pandas").fit_transform(frame)
    assert list(codes.columns) == ["rbm0", "rbm1", "rbm2"] == list(pipe.get_feature_names_out())
    assert list(codes.index) == list(frame.index)
    assert (codes.dtypes == np.float32).all()
    assert list(pipe[1].feature_names_in_) == list(frame.columns)
    assert pipe[1].n_features_in_ == 9
    with pytest.raises(ValueError, match="feature names"):
        pipe[1].transform(frame[frame.columns[::-1]])


def test_codes_of_several_kinds_are_named_one_by_one():
    estimator = quick("mcrbm", n_components=3, hidden_cov=5).fit(rows())
    assert estimator.transform(rows()).shape == (50, 8)
    assert len(estimator.get_feature_names_out()) == 8


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (RBM(visible="bernoulli"), r"^visible bernoulli: the data lie in -.*, wanted 0\.\.1"),
        (Autoencoder(output_units="sigmoid"), r"0\.\.1"),
        (PCA(n_components=10), r"^n_components 10: rows of 9 visible values have no more than 9 components"),
        (KSparse(k=200), r"^k 200: more than n_components 100"),
        (RBM(epochs=0), r"^epochs: got 0, must be at least 1"),
        (RBM(optimizer="adam", momentum=0.5), r"^momentum: does nothing without optimizer sgd"),
        (RBM(random_state=-1), r"^random_state: got -1, must be at least 0"),
        (RBM(dtype="float16"), r"^dtype: got 'float16'"),
    ],
)
def test_what_a_model_refuses(X, estimator, words):
    with pytest.raises(ValueError, match=words):
        estimator.fit(2 * X - 1)


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "score"])
def test_nothing_goes_before_fit(X, method):
    with pytest.raises(NotFittedError):
        getattr(RBM(), method)(X)
    assert not hasattr(RBM(), "components_")


def test_parameters_that_are_none():
    with pytest.raises(TypeError, match="hidden"):
        RBM(hidden=3)
    with pytest.raises(TypeError, match="lr"):
        PCA(lr=3)
    with pytest.raises(ImportError, match="NoModel"):
        from featlearn.sklearn import NoModel  # noqa: F401


def test_random_states(X):
    def codes(random_state):
        return RBM(n_components=3, epochs=1, random_state=random_state).fit_transform(X)

    same_codes(codes(np.int64(5)), codes(5))
    same_codes(codes(np.random.RandomState(5)), codes(np.random.RandomState(5)))
    state = np.random.RandomState(5)
    assert (codes(state) != codes(state)).any()
    assert (codes(None) != codes(None)).any()


def test_words_go_to_the_logger(X, capfd, caplog):
    with caplog.at_level(logging.INFO, "featlearn"):
        RBM(epochs=1, n_components=2, random_state=0).fit(X + 100)
    assert [one.levelname for one in caplog.records if "the mean row is" in one.message] == ["WARNING"]
    scale = [one.message for one in caplog.records if "values are divided" in one.message]
    assert len(scale) == 1
    assert "; data_scale 1 leaves them" in scale[0]
    assert capfd.readouterr().out == ""


def test_a_worker_keeps_to_its_threads(X, monkeypatch):
    """Joblib tells it how many; each would take all cores otherwise."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    fit, seen, before = api.fit, [], _core.get_threads()

    def watched(*args, **options):
        seen.append(_core.get_threads())
        return fit(*args, **options)

    monkeypatch.setattr(api, "fit", watched)
    _core.set_threads(2)
    PCA().fit(X)
    after = _core.get_threads()
    _core.set_threads(before)
    assert (seen, after) == ([1], 2)


def test_every_model_has_a_name_of_its_own():
    assert sorted(cls._id for cls in all_estimators().values()) == sorted(FEATURES + CLASSES)


@pytest.mark.parametrize("id", CLASSES)
def test_classes_are_told_as_by_the_model_of_fit(id, X):
    """By the names that they have in y; through a pickle, too."""
    names = np.array(["maple", "ash", "oak"])
    y = names[np.arange(90) % 3]
    estimator = quick(id, dtype="float64").fit(X, y)
    assert estimator.classes_.tolist() == ["ash", "maple", "oak"]
    model = featlearn.fit(id, X, y, seed=0, dtype="float64", **FITTING[id])
    assert model.classes == ["ash", "maple", "oak"]
    found = estimator.predict_proba(X)
    np.testing.assert_array_equal(found, model.probabilities(X))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert estimator.predict(X).tolist() == model.classify(X)
    assert estimator.score(X, y) == np.mean(np.array(model.classify(X)) == y) > 0.6
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(again.predict_proba(X), found)
    search = GridSearchCV(quick(id), {"batch_size": [10, 40]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.5
    assert not {"classes", "seed", "n_components"} & estimator.get_params().keys()
    with pytest.raises(ValueError, match="all its rows are of class"):
        quick(id).fit(X[::3], y[::3])


@pytest.mark.parametrize(
    "program",
    [
        "import sys, featlearn.api, featlearn.cli.main; assert 'sklearn' not in sys.modules",
        "import sys; sys.modules['sklearn'] = None\n"
        "try: import featlearn.sklearn\n"
        "except ImportError as error: assert 'pip install \"featlearn[sklearn]\"' in str(error)\n"
        "else: assert False",
    ],
)
def test_the_library_is_only_imported_here(program):
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

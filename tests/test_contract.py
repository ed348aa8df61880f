"""What every model must do, whoever wrote it: the registry is walked, a new model is tested without another
line."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy._core import _multiarray_umath

import model_bytes
from featlearn import __version__, _core
from featlearn.errors import ConfigError, DataError
from featlearn.files.model import ModelFile, read_model, write_model
from featlearn.jobs.store import load_model
from featlearn.models import model_class
from featlearn.models.base import DataSummary, IsClassifier, Step
from featlearn.patches.fitter import Fitter
from featlearn.patches.settings import PreprocessSpec
from featlearn.random import Random
from featlearn.settings import from_dict, to_dict
from featlearn.training.gradcheck import check_gradients
from helpers import LABELS, SINGLE, go_on, same
from model_bytes import (
    CLASSES,
    N_VISIBLE,
    configs,
    digest,
    digests,
    fresh,
    learned_from,
    line_searches,
    span,
    trained,
)

DTYPES = ("float32", "float64")
LAPACK = {"pca"}  # whose components are those of LAPACK's eigh, which follows the processor: README says so
every_model = pytest.mark.parametrize("id", SINGLE)


def resolved(id, **config):
    """The model's own settings for the data of these tests."""
    cls = model_class(id)
    return cls.resolve(cls.Config(**config), DataSummary(N_VISIBLE, *span(cls), classes=CLASSES))


def make(id, dtype="float32", n_visible=N_VISIBLE, config=None):
    """A model with random parameters, biases included."""
    model = model_class(id)(config or resolved(id), dtype)
    model.init(n_visible, Random(3))
    generator = np.random.default_rng(4)
    for value in model.params.values():
        value += generator.normal(scale=0.3, size=value.shape).astype(dtype)
    return model


def pixels(n=1000):
    return np.random.default_rng(5).integers(0, 256, size=(n, N_VISIBLE), dtype=np.uint8)


def rows(n, dtype):
    return (pixels()[:n] / 255).astype(dtype)


def preprocess(n_visible):
    fitter = Fitter(PreprocessSpec("none"), n_visible, np.uint8)
    fitter.update(np.resize(pixels(), (1000, n_visible)))
    return fitter.finish().to_dict()


def file_of(model):
    return ModelFile(
        model=model.id,
        config=to_dict(model.config),
        training={},
        seed=3,
        shape=(4, 5, 1),
        params=model.params,
        preprocess=preprocess(N_VISIBLE),
        state=model.state,
        classes=LABELS if model.labelled else None,
        progress={"finished": True},
        version=__version__,
    )


@every_model
@pytest.mark.parametrize("dtype", DTYPES)
def test_codes_and_reconstructions(id, dtype):
    model, X = make(id, dtype), rows(7, dtype)
    H = model.encode(X)
    assert H.ndim == 2
    assert len(H) == 7
    assert H.dtype == dtype
    assert np.isfinite(H).all()
    if model.decodes:
        Y = model.decode(H)
        assert Y.shape == X.shape
        assert Y.dtype == dtype
        assert np.isfinite(Y).all()
    else:
        with pytest.raises(ConfigError, match="gives no rows back"):
            model.decode(H)
    assert np.array_equal(X, rows(7, dtype)), "the input was changed"


@every_model
@pytest.mark.parametrize("dtype", DTYPES)
def test_probabilities_of_classes(id, dtype):
    """A model that learns of labelled rows tells their classes, by shares that sum to 1; no other does."""
    model, X = make(id, dtype), rows(7, dtype)
    assert isinstance(model, IsClassifier) == model.labelled
    if model.labelled:
        P = model.probabilities(X)
        assert P.shape == (7, CLASSES)
        assert P.dtype == dtype
        assert (P >= 0).all()
        np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-6)


@every_model
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_has_keys_shapes_and_dtype_of_the_parameters(id, dtype):
    model = make(id, dtype)
    before = {name: value.copy() for name, value in model.params.items()}
    for phase in model.phases():
        metrics, grads = phase.gradient(learned_from(model, rows(9, dtype)), Step(0, 3))
        error = metrics["error"] if "error" in metrics else metrics["error_rate"]
        assert isinstance(error, float)
        assert error >= 0
        learned = model.params if phase.learns is None else phase.learns
        assert {name: (g.shape, g.dtype) for name, g in grads.items()} == {
            name: (model.params[name].shape, model.params[name].dtype) for name in learned
        }
    assert all(np.array_equal(model.params[name], value) for name, value in before.items()), (
        "gradient changed params"
    )


@every_model
def test_gradient_is_counted(id):
    """The same step draws the same numbers, whatever was drawn before."""
    results = []
    for warm_up in (0, 3):
        model = make(id)
        for step in range(warm_up):
            make(id).gradient(learned_from(model, rows(9, "float32")), Step(step, 3))
        results.append(model.gradient(learned_from(model, rows(9, "float32")), Step(11, 3)))
    (metrics, grads), (metrics2, grads2) = results
    assert metrics == metrics2
    assert all(grads[name].tobytes() == grads2[name].tobytes() for name in grads)


@every_model
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_does_not_depend_on_its_neighbours(id, dtype):
    model, X = make(id, dtype), rows(1000, dtype)
    H = model.encode(X)
    uses = {"encode": (X, H)}
    if model.decodes:
        uses["decode"] = (H, model.decode(H))
    if isinstance(model, IsClassifier):
        uses["probabilities"] = (X, model.probabilities(X))
    for n in (1, 37):
        for start in (0, 500, 1000 - n):
            part = slice(start, start + n)
            for name, (before, after) in uses.items():
                made = getattr(model, name)(np.ascontiguousarray(before[part]))
                assert made.tobytes() == after[part].tobytes()


@every_model
def test_filters_are_in_the_space_of_the_data(id):
    F = make(id).filters()
    assert F.ndim == 2
    assert F.shape[1] == N_VISIBLE


@every_model
@pytest.mark.parametrize("dtype", DTYPES)
def test_save_and_load(id, dtype, tmp_path):
    model, path = make(id, dtype), str(tmp_path / "model.h5")
    file = file_of(model)
    write_model(path, file)
    learned = load_model(path)
    assert learned.file.content_hash == file.content_hash
    assert learned.model.config == model.config
    assert learned.model.dtype == dtype
    X = rows(5, dtype)
    assert learned.model.encode(X).tobytes() == model.encode(X).tobytes()
    assert read_model(path).state.keys() == model.state.keys()


@every_model
def test_config_survives_json(id):
    cls, config = model_class(id), resolved(id)
    assert from_dict(cls.Config, json.loads(json.dumps(to_dict(config)))) == config


@every_model
def test_unknown_setting_is_refused(id, tmp_path):
    cls = model_class(id)
    with pytest.raises(ConfigError, match="unknown setting 'hiden'"):
        from_dict(cls.Config, {"hiden": 3})
    file = file_of(make(id))
    file.config["hiden"] = 3
    write_model(str(tmp_path / "model.h5"), file)
    with pytest.raises(DataError, match=r"model\.h5.*unknown setting 'hiden'"):
        load_model(str(tmp_path / "model.h5"))


def spoilt(file):
    """By name, params of which one is missing, too many, cut along an axis, or of another dtype."""
    found = {"added": file.params | {"Q": np.zeros(3, np.float32)}}
    for name, value in file.params.items():
        found[f"{name} missing"] = {key: other for key, other in file.params.items() if key != name}
        found[f"{name} of another dtype"] = file.params | {name: value.astype("float64")}
        for axis in range(value.ndim):
            found[f"{name} cut along {axis}"] = file.params | {name: np.delete(value, -1, axis)}
    return {key: params for key, params in found.items() if params}


@every_model
def test_parameters_that_do_not_fit_are_refused(id, tmp_path):
    """In one line that says what was found and what is wanted."""
    file = file_of(make(id))
    for i, params in enumerate(spoilt(file).values()):
        path = str(tmp_path / f"{i}.h5")
        write_model(path, replace(file, params=params))
        with pytest.raises(DataError, match=r"\.h5: params/\w+ is .*, wanted .* by its config") as caught:
            load_model(path)
        assert "\n" not in str(caught.value)


def fewer(size):
    """One unit less, in the first layer where there are several."""
    return (size[0] - 1, *size[1:]) if isinstance(size, tuple) else size - 1


@every_model
def test_parameters_of_another_config_are_refused(id, tmp_path):
    """Though they fit each other."""
    file, cls = file_of(make(id)), model_class(id)
    usual = resolved(id)
    size = usual.classes + 1 if not cls.small else fewer(getattr(usual, next(iter(cls.small))))
    model = cls(replace(usual, **{next(iter(cls.small), "classes"): size}), "float32")
    model.init(N_VISIBLE, Random(3))
    write_model(str(tmp_path / "model.h5"), replace(file, params=model.params))
    with pytest.raises(DataError, match=r"model\.h5: params/\w+ is"):
        load_model(str(tmp_path / "model.h5"))


@pytest.mark.parametrize(
    "command",
    [
        ("encode", "CUT", "DATA", "-o", "OUT.h5"),
        ("evaluate", "DATA.model", "CUT", "DATA"),
        ("reconstruct", "CUT", "DATA", "-o", "OUT.png"),
        ("sample", "CUT", "-o", "OUT.png"),
        ("visualize", "CUT", "-o", "OUT.png"),
        ("info", "CUT"),
        ("check-gradients", "CUT", "DATA"),
        ("extract-patches", "dead-leaves", "--images", 1, "--like", "CUT", "-o", "OUT.h5"),
        ("train", "DATA", "--model", "rbm", "--resume", "-o", "CUT"),
    ],
    ids=lambda command: command[0],
)
def test_a_cut_model_is_refused_by_every_command(command, work, run_here, tmp_path):
    """Its checksum is right, and its parameters fit each other; in one line, and nothing is written."""
    file = read_model(str(work.model))
    params = {"W": file.params["W"][:, :-1].copy(), "b": file.params["b"], "c": file.params["c"][:-1].copy()}
    write_model(str(tmp_path / "cut.h5"), replace(file, params=params))
    names = {"CUT": tmp_path / "cut.h5", "DATA": work.patches, "DATA.model": work.model}
    names |= {f"OUT.{suffix}": tmp_path / f"out.{suffix}" for suffix in ("h5", "png")}
    ran = run_here(*(names.get(word, word) for word in command))
    assert ran.code == 1
    assert ran.err.splitlines() == [
        f"featlearn: error: {tmp_path / 'cut.h5'}: params/W is 64 x 11 float32, "
        "wanted 64 x 12 float32 by its config and visible values; train it again"
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["cut.h5"]


@every_model
def test_shapes_are_those_that_init_makes(id):
    for config in configs(model_class(id)).values():
        model = model_class(id)(config, "float32")
        model.init(N_VISIBLE, Random(3))
        assert model.shapes(N_VISIBLE) == {name: value.shape for name, value in model.params.items()}


# --- what a wrong model would fail: gradients, sums in another order, runs that do not go on as they were


@every_model
def test_gradients_are_those_of_the_losses(id):
    """In all variants; a model that has none to check must be learned without descent."""
    cls = model_class(id)
    if not cls.descends():
        with pytest.raises(ConfigError, match="no gradients to check"):
            check_gradients(cls)
        return
    checks = check_gradients(cls, problems=1)
    assert [check for check in checks if not check.difference < 1e-9] == []
    assert {check.variant for check in checks} == set(cls.variants())
    small = make(id, config=resolved(id, **cls.small))
    learned = {name for phase in small.phases() for name in phase.learns or small.params}
    assert {check.parameter for check in checks} >= learned


@every_model
def test_gradients_at_the_parameters_of_a_file(id, work, run_here, tmp_path):
    path = tmp_path / "model.h5"
    model = make(id, n_visible=64, config=configs(model_class(id))["usual"])
    data = work.data(id)
    write_model(str(path), replace(file_of(model), shape=(8, 8, 1), preprocess=preprocess(64)))
    ran = run_here("check-gradients", path, data, "--epsilon", 1e-3, "--json")
    assert ran.code == (2 if not model_class(id).descends() else 0), ran.err + ran.out


@every_model
def test_bytes_do_not_depend_on_threads(id):
    """Of parameters, state, history, codes and reconstructions, in all variants."""
    before, found = _core.get_threads(), []
    for threads in (1, 2, 3):
        _core.set_threads(threads)
        found.append(digests(id) | {"large": digest(trained(id, resolved(id)))})
    _core.set_threads(before)
    assert found[0] == found[1] == found[2]


@pytest.fixture(scope="module")
def elsewhere():
    """By environment, the digests of all models: under each instruction set, and under BLAS and numpy of
    other CPUs."""
    program = Path(model_bytes.__file__)
    paths = os.pathsep.join([str(program.parent), os.environ["PYTHONPATH"]])
    features = [
        name for name in _multiarray_umath.__cpu_dispatch__ if _multiarray_umath.__cpu_features__[name]
    ]
    blas = {"avx512": "SkylakeX", "avx2": "Haswell", "plain": "Sandybridge"}
    found = {}
    for isa in _core._isas():
        environment = os.environ | {"PYTHONPATH": paths, "FEATLEARN_ISA": isa, "OPENBLAS_CORETYPE": blas[isa]}
        if isa == "plain" and features:
            environment["NPY_DISABLE_CPU_FEATURES"] = " ".join(features)
        ran = subprocess.run(
            [sys.executable, str(program)], env=environment, capture_output=True, text=True, timeout=300
        )
        assert ran.returncode == 0, ran.stderr
        found[isa] = json.loads(ran.stdout)
    return found


@every_model
def test_bytes_do_not_depend_on_the_processor(id, elsewhere):
    """Nor on what numpy and BLAS make of it, but for what LAPACK finds."""
    here = digests(id)
    for isa, found in elsewhere.items():
        if id not in LAPACK:
            assert found[id] == here, isa


def test_line_searches_do_not_depend_on_the_processor(elsewhere):
    """And optimizers by curvature: their vectors are as long as all parameters; in float32 and float64."""
    here = line_searches()
    assert all(found["line searches"] == here for found in elsewhere.values())


@every_model
def test_a_stopped_run_goes_on_in_the_same_bytes(id):
    """After every update, through what a checkpoint holds, in the memory order of a file; in all variants."""
    for name, config in configs(model_class(id)).items():
        whole = trained(id, config)
        stopped = fresh(id, config)
        while not stopped.run(on_batch=lambda training: True):
            stopped = go_on(stopped, fresh(id, config))
        assert same(whole.model.params, stopped.model.params), name
        assert same(whole.model.state, stopped.model.state), name
        assert whole.history.keys() == stopped.history.keys(), name
        for key, column in whole.history.items():
            assert column == stopped.history[key], (name, key)

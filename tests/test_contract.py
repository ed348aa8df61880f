"""What every model must do, whoever wrote it: the registry is walked, a new model is tested without another line."""

import json

import numpy as np
import pytest

from featlearn import __version__
from featlearn.cli.store import load_model
from featlearn.errors import ConfigError, DataError
from featlearn.files.model import ModelFile, read_model, write_model
from featlearn.models import model_class, model_ids
from featlearn.models.base import DataSummary, Step
from featlearn.patches.preprocess import Fitter, PreprocessSpec
from featlearn.random import Random
from featlearn.settings import from_dict, to_dict

N_VISIBLE = 20
DTYPES = ("float32", "float64")
pytestmark = pytest.mark.parametrize("id", model_ids())


def resolved(id, **config):
    """The model's own settings for pixels, or for whitened data where pixels are refused."""
    cls = model_class(id)
    try:
        return cls.resolve(cls.Config(**config), DataSummary(N_VISIBLE, 0.0, 1.0))
    except ConfigError:
        return cls.resolve(cls.Config(**config), DataSummary(N_VISIBLE, -3.0, 3.0))


def make(id, dtype="float32"):
    """A model with random parameters, biases included."""
    model = model_class(id)(resolved(id), dtype)
    model.init(N_VISIBLE, Random(3))
    generator = np.random.default_rng(4)
    for value in model.params.values():
        value += generator.normal(scale=0.3, size=value.shape).astype(dtype)
    return model


def pixels(n=1000):
    return np.random.default_rng(5).integers(0, 256, size=(n, N_VISIBLE), dtype=np.uint8)


def rows(n, dtype):
    return (pixels()[:n] / 255).astype(dtype)


def file_of(model):
    fitter = Fitter(PreprocessSpec("none"), N_VISIBLE, np.uint8)
    fitter.update(pixels())
    return ModelFile(
        model=model.id,
        config=to_dict(model.config),
        training={},
        seed=3,
        shape=(4, 5, 1),
        params=model.params,
        preprocess=fitter.finish().to_dict(),
        state=model.state,
        progress={"finished": True},
        version=__version__,
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_codes_and_reconstructions(id, dtype):
    model, X = make(id, dtype), rows(7, dtype)
    H = model.encode(X)
    Y = model.decode(H)
    assert H.ndim == 2
    assert len(H) == 7
    assert H.dtype == dtype
    assert Y.shape == X.shape
    assert Y.dtype == dtype
    assert np.isfinite(H).all()
    assert np.isfinite(Y).all()
    assert np.array_equal(X, rows(7, dtype)), "the input was changed"


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_has_keys_shapes_and_dtype_of_the_parameters(id, dtype):
    model = make(id, dtype)
    before = {name: value.copy() for name, value in model.params.items()}
    for phase in model.phases():
        metrics, grads = phase.gradient(rows(9, dtype), Step(0, 3))
        assert isinstance(metrics["error"], float)
        assert metrics["error"] >= 0
        assert {name: (g.shape, g.dtype) for name, g in grads.items()} == {
            name: (value.shape, value.dtype) for name, value in model.params.items()
        }
    assert all(np.array_equal(model.params[name], value) for name, value in before.items()), "gradient changed params"


def test_gradient_is_counted(id):
    """The same step draws the same numbers, whatever was drawn before."""
    results = []
    for warm_up in (0, 3):
        model = make(id)
        for step in range(warm_up):
            make(id).gradient(rows(9, "float32"), Step(step, 3))
        results.append(model.gradient(rows(9, "float32"), Step(11, 3)))
    (metrics, grads), (metrics2, grads2) = results
    assert metrics == metrics2
    assert all(grads[name].tobytes() == grads2[name].tobytes() for name in grads)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_does_not_depend_on_its_neighbours(id, dtype):
    model, X = make(id, dtype), rows(1000, dtype)
    H = model.encode(X)
    Y = model.decode(H)
    for n in (1, 37):
        for start in (0, 500, 1000 - n):
            part = np.ascontiguousarray(X[start : start + n])
            codes = model.encode(part)
            assert codes.tobytes() == H[start : start + n].tobytes()
            assert model.decode(codes).tobytes() == Y[start : start + n].tobytes()


def test_filters_are_in_the_space_of_the_data(id):
    F = make(id).filters()
    assert F.ndim == 2
    assert F.shape[1] == N_VISIBLE


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


def test_config_survives_json(id):
    cls, config = model_class(id), resolved(id)
    assert from_dict(cls.Config, json.loads(json.dumps(to_dict(config)))) == config


def test_unknown_setting_is_refused(id, tmp_path):
    cls = model_class(id)
    with pytest.raises(ConfigError, match="unknown setting 'hiden'"):
        from_dict(cls.Config, {"hiden": 3})
    file = file_of(make(id))
    file.config["hiden"] = 3
    write_model(str(tmp_path / "model.h5"), file)
    with pytest.raises(DataError, match=r"model\.h5.*unknown setting 'hiden'"):
        load_model(str(tmp_path / "model.h5"))


def test_parameters_that_do_not_fit_are_refused(id, tmp_path):
    for i, spoil in enumerate(("missing", "cut")):
        file = file_of(make(id))
        name = next(iter(file.params))
        if spoil == "missing":
            del file.params[name]
        else:
            file.params[name] = file.params[name][..., :-1].copy()
        path = str(tmp_path / f"{i}.h5")
        write_model(path, file)
        with pytest.raises(DataError, match=r"\.h5: param"):
            load_model(path)

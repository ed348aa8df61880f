"""Rows held out in a data set of their own: measured, obeyed by early stopping, and never learned from."""

import json
import math

import numpy as np
import pytest

import featlearn
from featlearn.errors import ConfigError, DataError
from featlearn.files.model import read_model
from featlearn.jobs.store import load_model, load_rows
from featlearn.rows import Joined
from featlearn.training.config import TrainConfig
from featlearn.training.legs import measure
from helpers import LABELS, Rows, label, ok, refused, same


@pytest.fixture(scope="module")
def held_out(work, tmp_path_factory):
    """Other patches of the same photographs, preprocessed in another way, with classes and without."""
    from conftest import run_here

    folder = tmp_path_factory.mktemp("held-out")
    cut = ("--size", 8, "--count", 150, "--seed", 5, "--normalize", "center")
    ok(run_here("extract-patches", work.photos, *cut, "-o", folder / "plain.h5"))
    label(folder / "plain.h5", folder / "labelled.h5")
    return folder


RUN = {"model": "autoencoder", "hidden": 6, "lr": 0.01, "epochs": 4, "say": print}


def history(path):
    return {name: np.asarray(column) for name, column in read_model(str(path)).history.items()}


def test_it_is_measured_and_changes_nothing_else(work, held_out, tmp_path):
    """The error is that of evaluate's rows: preprocessed as those that were learned from."""
    data, other, path = work.patches, held_out / "plain.h5", tmp_path / "m.h5"
    done = featlearn.train(data, path, validation_data=other, **RUN)
    featlearn.train(data, tmp_path / "without.h5", **RUN)
    found, without = read_model(str(path)), read_model(str(tmp_path / "without.h5"))
    assert found.content_hash == without.content_hash
    columns = history(path)
    assert len(columns.pop("validation_rmse")) == 4
    assert same(columns, history(tmp_path / "without.h5"))
    learned = load_model(str(path))
    rows, _, _ = load_rows(str(other), like=learned, say=print)
    wanted = measure(learned.model, rows, np.arange(len(rows)))["rmse"]
    assert done.validation_rmse == wanted == found.progress["run"]["measured"]["validation_rmse"]
    assert featlearn.evaluate([path], other, say=print).models[0]["rmse"] == pytest.approx(wanted, rel=1e-6)
    inputs = found.provenance["inputs"]
    assert [one["name"] for one in inputs] == [str(data), str(other)]
    assert inputs[1]["digest"] == featlearn.load_dataset(other).digest == found.progress["validation data"]


def test_a_run_stops_by_it_and_keeps_the_best(work, held_out, tmp_path):
    how = RUN | {"epochs": 40, "lr": 0.3, "patience": 2, "validation_data": held_out / "plain.h5"}
    done = featlearn.train(work.patches, tmp_path / "m.h5", **how)
    errors = history(tmp_path / "m.h5")["validation_rmse"]
    best = int(np.argmin(errors))
    assert len(errors) == best + 3 < 40
    assert done.validation_rmse == pytest.approx(errors[best], rel=1e-9)


def test_resume_compares_its_content(work, held_out, tmp_path):
    how = RUN | {"validation_data": held_out / "plain.h5"}
    whole = featlearn.train(work.patches, tmp_path / "whole.h5", **how)
    ticks = iter(range(9))
    path = tmp_path / "m.h5"
    stopped = featlearn.train(work.patches, path, **how, should_stop=lambda: next(ticks, None) is None)
    assert not stopped.finished
    with pytest.raises(ConfigError, match="validated on other data"):
        featlearn.train(work.patches, path, resume=True, **how | {"validation_data": work.patches})
    with pytest.raises(ConfigError, match=r"validation data was .* and is now None"):
        featlearn.train(work.patches, path, resume=True, **RUN)
    moved = tmp_path / "moved.h5"
    moved.write_bytes((held_out / "plain.h5").read_bytes())
    done = featlearn.train(work.patches, path, resume=True, **how | {"validation_data": moved})
    assert (done.content_hash, done.validation_rmse) == (whole.content_hash, whole.validation_rmse)
    assert same(history(path), history(tmp_path / "whole.h5"))


def test_classes_go_by_their_names(work, held_out, tmp_path):
    """Whatever their numbers in the other file are; one that is not known is refused."""
    from featlearn.files.dataset import DatasetWriter, read_dataset

    def again(name, labels, names):
        data = read_dataset(str(held_out / "labelled.h5"))
        origin = np.asarray(data.origin[:])
        with DatasetWriter(str(tmp_path / name), len(origin), data.shape, data.patches.dtype, True) as writer:
            writer.append(np.asarray(data.patches[:]), origin, labels)
            writer.finish(data.preprocess, data.images, names, {})
        return tmp_path / name

    number = np.arange(150) % 3
    turned = again("turned.h5", 2 - number, LABELS[::-1])
    strange = again("strange.h5", number, [*LABELS[:2], "sand"])
    how = {"model": "softmax", "epochs": 3, "say": print}
    straight = held_out / "labelled.h5"
    errors = [
        featlearn.train(work.labelled, tmp_path / f"{i}.h5", validation_data=one, **how).validation_error_rate
        for i, one in enumerate((straight, turned))
    ]
    assert (
        errors[0]
        == errors[1]
        == featlearn.evaluate([tmp_path / "0.h5"], straight, say=print).models[0]["error_rate"]
    )
    for data, words in ((strange, "class sand, which"), (held_out / "plain.h5", "has no labels")):
        with pytest.raises(DataError, match=words):
            featlearn.train(work.labelled, tmp_path / "no.h5", validation_data=data, **how)


def test_layers_of_a_stack_get_its_codes(work, held_out, tmp_path):
    how = {"model": "dbn", "hidden": (6, 4), "epochs": 2, "say": print}
    data, other = work.patches, held_out / "plain.h5"
    featlearn.train(data, tmp_path / "m.h5", validation_data=other, **how)
    featlearn.train(data, tmp_path / "without.h5", **how)
    file = read_model(str(tmp_path / "m.h5"))
    assert file.content_hash == read_model(str(tmp_path / "without.h5")).content_hash
    lower, upper = load_model(str(tmp_path / "m.h5")).model.layers
    rows, _, _ = load_rows(str(other), like=load_model(str(tmp_path / "m.h5")), say=print)
    H = lower.encode(rows.block(0, len(rows)))
    wanted = math.sqrt(np.mean(np.square(H.astype(np.float64) - upper.reconstruct(H))))
    assert file.layers[1].history["validation_rmse"][-1] == pytest.approx(wanted, rel=1e-6)
    done = featlearn.train(data, tmp_path / "m.h5", validation_data=other, resume=True, **how)
    assert done.content_hash == file.content_hash
    with pytest.raises(ConfigError, match="validated on other data"):
        featlearn.train(data, tmp_path / "m.h5", validation_data=data, resume=True, **how)
    layers = ("rbm:hidden=6", f"rbm:hidden=4,validation_data={other}")
    with pytest.raises(ConfigError, match="is for all layers; say --validation-data"):
        featlearn.train(data, tmp_path / "no.h5", model="stack", layer=layers, say=print)


def test_fine_tuning_and_sweeps_take_it(work, held_out, run_here, tmp_path):
    data, other = work.labelled, held_out / "labelled.h5"
    ok(
        run_here(
            "finetune", work.model, data, "--epochs", 2, "--validation-data", other, "-o", tmp_path / "n.h5"
        )
    )
    assert len(history(tmp_path / "n.h5")["validation_error_rate"]) == 2
    assert [one["name"] for one in read_model(str(tmp_path / "n.h5")).provenance["inputs"]][2] == str(other)
    refit = ("--refit", "--patience", 2, "--validation-data", other, "-o", tmp_path / "no.h5")
    refused(run_here("finetune", work.model, data, *refit), "--refit: learns from the held-out rows", code=2)
    ran = run_here(
        *("sweep", work.patches, "--model", "pca", "--set", "hidden=2,3", "--validation-data", other),
        *("--jobs", 1, "-o", tmp_path / "runs", "--json"),
    )
    assert json.loads(ok(ran).out)["by"] == "validation_rmse"


def test_what_does_not_fit_is_refused_in_one_line(work, held_out, run_here, tmp_path):
    other = ("--validation-data", held_out / "plain.h5")
    train = ("train", work.patches, "--model", "autoencoder", "-o", tmp_path / "no.h5")
    refused(run_here(*train, "--validation", 0.1, *other), "say one of them", code=2)
    refused(run_here(*train, "--patience", 3), "or --validation-data", code=2)
    cut = ("--size", 6, "--count", 20, "--normalize", "center")
    ok(run_here("extract-patches", work.photos, *cut, "-o", tmp_path / "six.h5"))
    words = f"patches are 6x6x1, but those of {work.patches} are 8x8x1; extract them again with --like"
    refused(run_here(*train, "--validation-data", tmp_path / "six.h5"), words)
    ok(
        run_here(
            "extract-patches", work.photos, *cut[2:], "--linear", "--size", 8, "-o", tmp_path / "light.h5"
        )
    )
    refused(
        run_here(*train, "--validation-data", tmp_path / "light.h5"), "images were read with --linear, but"
    )
    refused(run_here(*train, "--validation-data", work.photos), "photos")
    refused(run_here(*train, *other[:1], work.patches, "-o", work.patches, "--force"), "input")
    assert not (tmp_path / "no.h5").exists()


def test_rows_of_two_data_sets_come_from_each():
    X, Y = np.arange(12.0).reshape(4, 3), -np.arange(6.0).reshape(2, 3)
    rows = Joined(Rows(X), Rows(Y))
    both = np.concatenate([X, Y])
    for index in ([0, 3, 1], [5, 0, 4], [4, 5], []):
        index = np.array(index, np.int64)
        assert np.array_equal(rows.take(index), both[index])
    assert np.array_equal(rows.block(2, 6), both[2:6])


def test_patience_needs_rows_that_are_held_out():
    TrainConfig(patience=3, validation_data="x.h5")
    with pytest.raises(ConfigError, match="--patience needs held-out rows"):
        TrainConfig(patience=3)

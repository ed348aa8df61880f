"""Files of every format version, read for ever; tests/golden is written once, its expected.json says what is
in it."""

import dataclasses
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from featlearn.files.dataset import read_dataset
from featlearn.files.model import read_model
from featlearn.files.stored import Stored
from featlearn.jobs.store import load_model, load_rows

HERE = Path(__file__).parent
VERSIONS = sorted((HERE / "golden").glob("v*"))
PAGE = (HERE.parent / "docs" / "formats.md").read_text("utf-8")


def plain(value):
    """Arrays as nested lists, and their types as text beside them."""
    if isinstance(value, np.ndarray | Stored):
        return {"dtype": str(value.dtype), "values": np.asarray(value).tolist()}
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def contents(path, kind):
    """All that a reader gives, as JSON would have it."""
    if kind == "dataset":
        data = read_dataset(str(path), verify=True)
        fields = {field.name: plain(getattr(data, field.name)) for field in dataclasses.fields(data)}
        return {name: value for name, value in fields.items() if name != "path"}
    model = read_model(str(path))
    fields = {field.name: plain(getattr(model, field.name)) for field in dataclasses.fields(model)}
    return fields | {"content_hash": model.content_hash}


def listing(path):
    """A file's members with their types, as docs/formats.md prints them."""
    lines = []
    with h5py.File(path) as file:

        def add(name, item):
            kind = (
                f"{item.dtype} {item.shape}".replace("|S", "string of ")
                if isinstance(item, h5py.Dataset)
                else ""
            )
            lines.append(f"/{name:<27}{kind}".rstrip())
            for key, value in sorted(item.attrs.items()):
                text = (
                    value.decode() if isinstance(value, bytes) else " ".join(map(str, np.atleast_1d(value)))
                )
                lines.append(f"  @{key:<25}{text if len(text) < 80 else text[:77] + '...'}")

        add("", file)
        file.visititems(add)
    return lines


def test_there_are_golden_files():
    assert [folder.name for folder in VERSIONS] == ["v1"]


@pytest.mark.parametrize("kind", ["dataset", "model"])
@pytest.mark.parametrize("folder", VERSIONS, ids=lambda folder: folder.name)
def test_old_files_are_read_as_they_were_written(folder, kind):
    expected = json.loads((folder / "expected.json").read_text("utf-8"))[kind]
    found = contents(folder / f"{kind}.h5", kind)
    assert json.loads(json.dumps(found)) == expected


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda folder: folder.name)
def test_old_files_can_be_used(folder):
    learned = load_model(str(folder / "model.h5"))
    rows, dataset, _ = load_rows(str(folder / "dataset.h5"), like=learned, say=print)
    X = rows.take(np.arange(len(dataset.patches)))
    assert np.isfinite(learned.model.decode(learned.model.encode(X))).all()


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_the_page_prints_the_newest_of_them(kind):
    """Each line of the listing stands, indented, in docs/formats.md."""
    lines = "\n".join("    " + line for line in listing(VERSIONS[-1] / f"{kind}.h5"))
    assert lines in PAGE

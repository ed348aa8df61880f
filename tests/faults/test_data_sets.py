"""Data sets damaged by a flipped bit, or poisoned by another program, through every command that learns or
measures.

    python tests/faults/test_data_sets.py flips 10000   each flip refused by the command whose turn it is
    python tests/faults/test_data_sets.py poison        28 poisoned data sets by 8 models and by all commands

A poisoned data set is a file of the right checksum with wrong contents. What comes out of it must be one line
of error, or a result without NaN; never a traceback, a warning of numpy's or a broken file. As a test it
tries a few of each.
"""

import contextlib
import hashlib
import io
import json
import math
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featlearn.cli.process import run
from featlearn.files import header
from featlearn.files.model import read_model

MODELS = {
    "rbm": (),
    "mcrbm": ("--factors", 4, "--hidden-cov", 3),
    "sesm": (),
    "pca": (),
    "autoencoder": (),
    "sparse-autoencoder": (),
    "k-sparse": ("--k", 2),
    "denoising": (),
}
EXITS = {0, 1, 2, 3}


def command(*args: object) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command line run in this process."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(arg) for arg in args])
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode("utf-8", "replace"))  # type: ignore[attr-defined]
    return code, texts[0], texts[1]


def made(*args: object) -> None:
    code, _, err = command(*args)
    if code:
        raise RuntimeError(f"{args}: {err}")


def prepare(folder: Path, models: tuple[str, ...] = tuple(MODELS)) -> None:
    """d.h5, whole, of floats with labels and every array that a preprocessing can have; models learned from
    it."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(150, 6, 6)).astype(np.float32)
    np.save(folder / "x.npy", images)
    labels = (np.arange(150) % 2).astype(np.uint8)
    (folder / "labels").write_bytes((2049).to_bytes(4, "big") + (150).to_bytes(4, "big") + labels.tobytes())
    shape = (
        "--size",
        "whole",
        "--labels",
        folder / "labels",
        "--normalize",
        "standardize",
        "--whiten",
        "zca",
    )
    made("extract-patches", folder / "x.npy", "-o", folder / "d.h5", *shape, "-q")
    for model in models:
        made(*train(folder, model, folder / "d.h5", folder / f"{model}.h5"))


def train(folder: Path, model: str, data: Path, out: Path) -> tuple[object, ...]:
    epochs = () if model == "pca" else ("--epochs", 2)
    size = () if model == "mcrbm" else ("--hidden", 5)
    return ("train", data, "--model", model, *MODELS[model], *epochs, *size, "-o", out, "--force", "-q")


def commands(folder: Path, data: Path, model: Path) -> list[tuple[object, ...]]:
    """Every command that takes a data set, `model` being one learned from the whole one."""
    out = folder / "out"
    quiet = ("--force", "-q")
    return [
        train(folder, "rbm", data, folder / "out.h5"),
        ("encode", model, data, "-o", folder / "codes.h5", *quiet),
        ("evaluate", model, data, "-q", "--json"),
        ("evaluate", model, folder / "d.h5", "--train", data, "-q", "--json"),
        ("visualize", data, "-o", f"{out}.png", *quiet),
        ("visualize", model, "--sort", "use", "--data", data, "-o", f"{out}.png", *quiet),
        ("reconstruct", model, data, "-o", f"{out}.png", *quiet),
        ("sample", folder / "rbm.h5", "--data", data, "--steps", 2, "-o", f"{out}.png", *quiet),
        ("extract-patches", folder / "x.npy", "--like", data, "-o", f"{out}.h5", *quiet),
    ]


def flips(folder: Path, count: int, seed: int = 0) -> Iterator[str]:
    """What is wrong: flipped bits that a command did not refuse."""
    prepare(folder, ("rbm", "pca"))
    data, rng = (folder / "d.h5").read_bytes(), random.Random(seed)
    tried = commands(folder, folder / "bad.h5", folder / "pca.h5")
    for i in range(count):
        bit = rng.randrange(8 * len(data))
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        (folder / "bad.h5").write_bytes(damaged)
        args = tried[i % len(tried)]
        code, out, err = command(*args)
        lines = err.strip().split("\n")
        if code != 1 or len(lines) != 1 or "bad.h5: " not in lines[0] or "internal" in err:
            yield f"bit {bit}: {' '.join(map(str, args))}: exit {code}: {out}{err}"


def fill(value: float, where: Any = (3, 7)) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file["patches"][where] = value

    return change


def fitted(name: str, value: float, where: Any = 0) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[f"preprocess/{name}"][where] = value

    return change


def attribute(name: str, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file["preprocess"].attrs[name] = value

    return change


def patches(array: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file["patches"]
        file["patches"] = array

    return change


def labels(array: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file["labels"][...] = array

    return change


SHAPE = (150, 36)
POISON: dict[str, Callable[[h5py.File], None]] = {
    "one NaN": fill(math.nan),
    "NaN in the last row": fill(math.nan, (-1, -1)),
    "a row of NaN": fill(math.nan, 5),
    "all NaN": fill(math.nan, ...),
    "infinity": fill(math.inf),
    "minus infinity": fill(-math.inf),
    "a column of infinity": fill(math.inf, (slice(None), 2)),
    "largest float": fill(3.4e38),
    "all largest": fill(3.4e38, ...),
    "1e30": fill(1e30),
    "all 1e30": fill(1e30, ...),
    "smallest float": fill(1e-45, ...),
    "all zero": fill(0, ...),
    "all one": fill(1, ...),
    "constant column": fill(7, (slice(None), 1)),
    "two rows": patches(np.ones((2, 36), np.float32)),
    "one row": patches(np.ones((1, 36), np.float32)),
    "uint8": patches(np.full(SHAPE, 255, np.uint8)),
    "uint16": patches(np.full(SHAPE, 65535, np.uint16)),
    "alternating extremes": patches(np.where(np.indices(SHAPE).sum(0) % 2, 3e38, -3e38).astype(np.float32)),
    "scale 0": fitted("scale", 0),
    "scale negative": fitted("scale", -1),
    "scale NaN": fitted("scale", math.nan),
    "scale denormal": fitted("scale", 5e-324),
    "mean infinite": fitted("mean", math.inf),
    "whitening NaN": fitted("whitening", math.nan, (0, 0)),
    "whitening huge": fitted("whitening", 1e308, ...),
    "unwhitening infinite": fitted("unwhitening", math.inf, (1, 1)),
}


def poisoned(folder: Path, name: str) -> Path:
    """The data set with that poison, and the right checksum."""
    path = folder / "bad.h5"
    path.write_bytes((folder / "d.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        n = len(file["patches"])
        POISON[name](file)
        now = len(file["patches"])
        for key in ("origin", "labels"):
            if now != n:
                kept = file[key][:now]
                del file[key]
                file[key] = kept
    data = path.read_bytes()
    path.write_bytes(
        header.make(header.DATASET, hashlib.sha256(data[header.SIZE :]).hexdigest()) + data[header.SIZE :]
    )
    return path


def problem(folder: Path, code: int, out: str, err: str) -> str:
    """What is wrong with how a command ended on poisoned data, "" if nothing."""
    lines = err.strip().split("\n") if err.strip() else []
    if code not in EXITS or "internal error" in err or "Traceback" in err or "Warning" in err:
        return "ended badly"
    if code and len(lines) > 6:  # a usage error has some lines
        return "many lines"
    if code and any(
        name.startswith(("codes", "out.h5")) and not name.endswith(".ckpt") for name in os.listdir(folder)
    ):
        return "left an output"
    for key in ("nan", "inf"):
        if code == 0 and f" {key}" in f" {out.lower()}".replace('"', " "):
            return f"printed {key}"
    if (
        code == 0
        and out.startswith("{")
        and "null" in json.dumps(json.loads(out)["models"][0].get("rmse", 0))
    ):
        return "rmse is not finite"
    return ""


def clean(folder: Path) -> None:
    for name in os.listdir(folder):
        if name.startswith(("out", "codes")):
            os.unlink(folder / name)


def poison(folder: Path, names: list[str], models: tuple[str, ...]) -> Iterator[str]:
    """What is wrong: each poison learned from by each model, and given to every other command."""
    prepare(folder, tuple(dict.fromkeys(("rbm", "pca", *models))))
    for name in names:
        path = poisoned(folder, name)
        runs = [train(folder, model, path, folder / "out.h5") for model in models]
        for args in [*runs, *commands(folder, path, folder / "pca.h5")]:
            clean(folder)
            code, out, err = command(*args)
            wrong = problem(folder, code, out, err)
            if not wrong and args[0] == "train" and code == 0:
                wrong = (
                    ""
                    if all(np.isfinite(w).all() for w in read_model(f"{folder}/out.h5").params.values())
                    else "NaN"
                )
            if wrong:
                yield f"{name}: {' '.join(map(str, args))}: exit {code}: {wrong}: {out[-300:]}{err}"


def main(what: str, count: str = "10000") -> int:
    with tempfile.TemporaryDirectory() as folder:
        if what == "flips":
            found = flips(Path(folder), int(count))
        else:
            found = poison(Path(folder), list(POISON), tuple(MODELS))
        number = 0
        for text in found:
            number += 1
            print(text, flush=True)
        print(f"{number} problems")
    return int(number > 0)


def test_flipped_bits_are_refused(tmp_path):
    assert list(flips(tmp_path, 90)) == []


def test_poison_is_refused_or_does_no_harm(tmp_path):
    names = ["one NaN", "infinity", "all largest", "scale 0", "mean infinite", "whitening huge"]
    assert list(poison(tmp_path, names, ("rbm", "autoencoder"))) == []


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

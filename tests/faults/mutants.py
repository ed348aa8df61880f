"""Damages files of featlearn, gives them right checksums and runs commands on them, each in a fork of this
process.

    python tests/faults/mutants.py FOLDER COUNT [SEED]

Half of the mutants have other bytes anywhere, half other values in their attributes and arrays. A command may
take a mutant or refuse it in one line; anything else is printed, and the mutant is kept in FOLDER.
"""

import hashlib
import importlib
import json
import os
import pkgutil
import random
import resource
import shutil
import signal
import sys
from pathlib import Path

import h5py
import numpy as np

import featlearn
from featlearn.__main__ import main
from featlearn.cli.process import run
from featlearn.files import header
from featlearn.models import model_class, model_ids

SINGLE = [id for id in model_ids() if not model_class(id).layered()]
MEMORY = 3 << 30  # bytes of address space that a command may take
SECONDS = 60
NUMBERS = (
    0,
    1,
    -1,
    2,
    0.5,
    -0.5,
    1e30,
    -1e300,
    2**31,
    2**53,
    2**63 - 1,
    -(2**63),
    1e-300,
    float("nan"),
    float("inf"),
)
VALUES = (*NUMBERS, None, True, "", "x", "none", "\x1b[31m", "../../x", [], [1, 2], {}, {"a": 1}, 70 * "[")
COMMANDS = {
    "featlearn-model": (
        "info MUTANT",
        "info MUTANT --json",
        "evaluate MUTANT DATA",
        "evaluate MUTANT DATA --json --likelihood ais --chains 4 --temperatures 5",
        "encode MUTANT DATA -o out.h5",
        "visualize MUTANT -o out.png",
        "visualize MUTANT -o out.png --what curve",
        "visualize MUTANT -o out.png --what reconstructions --data DATA",
        "visualize MUTANT -o out.png --sort use --data DATA",
        "reconstruct MUTANT DATA -o out.png",
        "reconstruct MUTANT photo.png -o out.png",
        "sample MUTANT -o out.png --steps 3",
        "extract-patches photo.png --like MUTANT -o out.h5",
        "train DATA --model MODEL --hidden 6 --batch-size 20 -o out.h5 --resume --force EPOCHS",
        "train DATA --model MODEL --hidden 6 --batch-size 20 -o out.h5 --resume EPOCHS",
    ),
    "featlearn-dataset": (
        "info MUTANT",
        "info MUTANT --verify --json",
        "train MUTANT --model MODEL --hidden 6 -o out.h5 EPOCHS",
        "train MUTANT --model MODEL --hidden 6 --show-config",
        "evaluate MODEL.h5 MUTANT",
        "evaluate MODEL.h5 MUTANT --train MUTANT",
        "encode MODEL.h5 MUTANT -o out.h5",
        "visualize MUTANT -o out.png",
        "reconstruct MODEL.h5 MUTANT -o out.png",
        "extract-patches photo.png --like MUTANT -o out.h5",
    ),
}


def make_seeds(folder):
    """Whole files to be damaged: data sets of two kinds; of every model a finished run and a checkpoint."""
    from PIL import Image

    from featlearn.jobs import training_run

    os.chdir(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40), np.uint8)
    Image.fromarray(pixels).save("photo.png")
    made = []

    def ok(line):
        assert run([*line.split(), "-q"]) == 0, line

    with open(os.devnull, "w") as nowhere:
        sys.stdout, stdout = nowhere, sys.stdout
        ok("extract-patches photo.png --size 4 --count 60 --normalize none -o plain.h5")
        ok("extract-patches photo.png --size 4 --count 60 --whiten zca --clip 2 --to 0.1,0.9 -o white.h5")
        ok("extract-patches photo.png --size 4 --count 60 --whiten zca -o open.h5")
        for name in ("a", "b"):
            Path("kinds", name).mkdir(parents=True)
            shutil.copy("photo.png", Path("kinds", name))
        ok("extract-patches kinds --size 4 --count 60 --normalize none --labels folders -o labelled.h5")
        ok("extract-patches shifted-dots --size 4 --count 60 -o paired.h5")
        whole = training_run._train
        for id in SINGLE:
            data = "open.h5" if id == "mcrbm" else "white.h5"
            data = "labelled.h5" if model_class(id).labelled else data
            data = "paired.h5" if model_class(id).of_pairs else data
            epochs = "--epochs 2" if model_class(id).descends() else ""
            sizes = {"softmax": "", "untied-dbn": "--hidden 6,5"}.get(id, "--hidden 6")
            line = f"train {data} --model {id} {sizes} --batch-size 20 {epochs} -o {id}.h5"
            ok(line)

            def stop(training, plan, story, place, words):
                training.run(lambda at: at.progress.step >= 2)
                place.write(training_run.model_file(training, plan, story))
                raise featlearn.errors.DataError("stopped")

            training_run._train = stop
            with open(os.devnull, "w") as quiet:
                sys.stderr, stderr = quiet, sys.stderr
                run([*line.replace(f"{id}.h5", f"{id}-part.h5").split(), "-q"])
                sys.stderr = stderr
            training_run._train = whole
            made += [f"{id}.h5", f"{id}-part.h5.ckpt"]
        sys.stdout = stdout
    return ["plain.h5", "white.h5", "open.h5", *(name for name in made if Path(name).exists())]


def other_bytes(rnd, path):
    data = bytearray(path.read_bytes())
    for _ in range(rnd.choice((1, 1, 2, 8))):
        at, n = rnd.randrange(512, len(data)), rnd.choice((1, 1, 1, 2, 4, 8))
        data[at : at + n] = rnd.choice((b"\0", b"\xff", b"\x7f", bytes([rnd.randrange(256)]))) * n
    if rnd.random() < 0.05:
        del data[rnd.randrange(512, len(data)) :]
    path.write_bytes(data)


def other_values(rnd, path):
    with h5py.File(path, "r+") as file:
        places = []
        file.visititems(lambda name, item: places.append(name))
        for _ in range(rnd.choice((1, 1, 2))):
            place = rnd.choice(["", "preprocess", *places])
            if place and place not in file:  # the first of two changes took it away
                continue
            item = file[place] if place else file
            if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu":
                other_array(rnd, file, place, item)
            elif item.attrs:
                other_attribute(rnd, item)
            elif isinstance(item, h5py.Dataset) and item.shape == ():
                text = json.loads(item[()])
                del file[place]
                file[place] = np.bytes_(json.dumps(other_json(rnd, text)).encode())


def other_array(rnd, file, place, item):
    values = item[()]
    how = rnd.choice(("drop", "element", "all", "cut", "longer", "dtype", "flat", "empty"))
    flat = values.reshape(-1).copy()
    if how == "drop":
        del file[place]
        return
    with np.errstate(all="ignore"):
        if how == "element" and flat.size:
            flat[rnd.randrange(flat.size)] = np.float64(rnd.choice(NUMBERS)).astype(flat.dtype)
        elif how == "all":
            flat[:] = np.float64(rnd.choice(NUMBERS)).astype(flat.dtype)
        new = flat.reshape(values.shape)
        if how == "dtype":
            new = new.astype(rnd.choice(("<f4", "<f8", ">f8", "<i8", "u1", "<f2")))
    if how == "cut":
        new = new[..., :-1]
    elif how == "longer":
        new = np.concatenate([new, new], axis=rnd.randrange(new.ndim)) if new.ndim else new
    elif how == "flat":
        new = flat
    elif how == "empty":
        new = new[:0]
    del file[place]
    file[place] = new


def other_attribute(rnd, item):
    name = rnd.choice(sorted(item.attrs))
    value = item.attrs[name]
    if isinstance(value, bytes | np.bytes_) and value[:1] == b"{" and rnd.random() < 0.9:
        item.attrs[name] = np.bytes_(json.dumps(other_json(rnd, json.loads(value))).encode())
    elif rnd.random() < 0.2:
        del item.attrs[name]
    else:
        new = rnd.choice(
            [one for one in VALUES if not isinstance(one, dict) and one is not None and one != []]
        )
        item.attrs[name] = np.bytes_(new.encode() or b"\0") if isinstance(new, str) else new


def other_json(rnd, values):
    """A dictionary with one value, at any depth, another, missing or added."""
    if not isinstance(values, dict) or not values:
        return rnd.choice(VALUES)
    key = rnd.choice(sorted(values))
    how = rnd.random()
    if how < 0.1:
        return {name: value for name, value in values.items() if name != key}
    if how < 0.15:
        return values | {"another": rnd.choice(VALUES)}
    inside = isinstance(values[key], dict) and how < 0.6
    return values | {key: other_json(rnd, values[key]) if inside else rnd.choice(VALUES)}


def reseal(path):
    data = bytearray(path.read_bytes())
    kind = bytes(data).split(b" ")[0].decode()
    data[:512] = header.make(kind, hashlib.sha256(data[512:]).hexdigest())
    path.write_bytes(data)


def trial(line, folder):
    """Run a command line in a fork. -> exit code (negative: a signal's number), stderr"""
    pid = os.fork()
    if not pid:
        signal.alarm(SECONDS)
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        for number, name in {0: os.devnull, 1: "../stdout", 2: "../stderr"}.items():
            os.dup2(os.open(name, os.O_RDWR | (os.O_CREAT | os.O_TRUNC if number else 0), 0o600), number)
        sys.argv = ["featlearn", *line.split()]
        main()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, (folder / "../stderr").read_text("utf-8", "replace")


def wrong(code, err):
    """What is not as it must be, in words."""
    errors = [line for line in err.splitlines() if line.startswith(("featlearn: error:", "Error:"))]
    if code not in (0, 1, 2, 3):
        return f"exit {code}"
    if any(word in err for word in ("Traceback", "internal error", "Exception ignored", "Warning:", "\x1b")):
        return "words of a programming error"
    return "" if len(errors) == (code != 0) else f"exit {code} with {len(errors)} lines of error"


def hunt(folder, count, seed):
    """-> (commands run, refused), failures told on the way."""
    folder = Path(folder).resolve()
    for module in pkgutil.walk_packages(featlearn.__path__, "featlearn."):
        importlib.import_module(module.name)
    (folder / "seeds").mkdir(parents=True)
    names = make_seeds(folder / "seeds")
    rnd, refused, failures = random.Random(seed), 0, 0
    for number in range(count):
        site = folder / "site"
        shutil.rmtree(site, ignore_errors=True)
        name = rnd.choice(names)
        kind = block_kind(folder / "seeds" / name)
        line = rnd.choice(COMMANDS[kind])
        model = name.split(".")[0].removesuffix("-part") if kind.endswith("model") else rnd.choice(SINGLE)
        data = "open.h5" if model == "mcrbm" else "white.h5"
        site.mkdir()
        for one in (name, data, "photo.png", f"{model}.h5"):
            shutil.copy(folder / "seeds" / one, site / one)
        mutant = site / name
        if "--resume" in line:
            mutant = site / rnd.choice(("out.h5", "out.h5.ckpt"))
            shutil.copy(folder / "seeds" / name, mutant)
        (other_bytes if rnd.random() < 0.5 else other_values)(rnd, mutant)
        reseal(mutant)
        epochs = "" if model == "pca" else "--epochs 2"
        for word, value in {"MUTANT": mutant.name, "DATA": data, "MODEL": model, "EPOCHS": epochs}.items():
            line = line.replace(word, value)
        if number % 1000 == 999:
            print(f"... {number + 1}", file=sys.stderr, flush=True)
        code, err = trial(line, site)
        refused += code != 0
        problem = wrong(code, err)
        if problem:
            failures += 1
            kept = folder / f"{number}-{mutant.name}"
            shutil.copy(mutant, kept) if mutant.exists() else None
            print(f"{number}: featlearn {line}: {problem}\n{err[-600:]}", flush=True)
    print(f"{count} mutants, {refused} refused, {failures} failures")
    return failures


def block_kind(path):
    return path.read_bytes()[:32].split(b" ")[0].decode()


if __name__ == "__main__":
    sys.exit(hunt(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0) != 0)

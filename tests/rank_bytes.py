"""Runs of every model in large minibatches; as a program, their digests as JSON, also under mpiexec."""

import json
import os
import sys

import model_bytes
from featlearn import _core, panels, ranks
from featlearn.models import model_class
from helpers import SINGLE

model_bytes.N = 1424  # the second minibatch, of 400 rows, is two blocks: of three ranks one has none of it
BATCH = 1024
EVERY = ("k-sparse", "rbm")
SEARCHES = ("lbfgs", "cg", "hessian-free", "newton")
WORDS = ("dropout", "emphasis", "prelu", "pseudo")


def few(id):
    """Variants of a model, of many alike some, which between them add up over rows in every way."""
    found = model_bytes.configs(model_class(id))
    if len(found) <= 10 or id in EVERY:
        return found
    return {
        name: config
        for i, (name, config) in enumerate(found.items())
        if i % 4 == 0 or any(word in name for word in WORDS)
    }


def runs():
    """Yield (name, id, config, dtype, training settings), one after the other."""
    for id in SINGLE:
        training = {"batch_size": BATCH} | ({"epochs": 2} if model_class(id).descends() else {})
        for name, config in few(id).items():
            yield f"{id}, {name}", id, config, "float32", training
        yield f"{id}, float64", id, model_bytes.configs(model_class(id))["usual"], "float64", training
    cls = model_class("rbm")
    for chains in (100, 700):  # fewer and more than the last minibatch has rows
        config = cls.Config(hidden=15, visible="bernoulli", persistent=True, chains=chains)
        config = cls.resolve(config, model_bytes.DataSummary(model_bytes.N_VISIBLE, 0.0, 1.0))
        yield f"rbm, {chains} chains", "rbm", config, "float32", {"batch_size": BATCH, "epochs": 2}
    id = "sparse-autoencoder"
    for name in SEARCHES:
        config = model_bytes.configs(model_class(id))["usual"]
        yield name, id, config, "float32", {"optimizer": name, "epochs": 2}


def digests(step):
    """Of every `step`-th run; of three one sends its sums along the chain, one has panels of some blocks."""
    found = {}
    for i, (name, id, config, dtype, training) in enumerate(runs()):
        if i % step:
            continue
        ranks.SMALL, ranks.CHUNK = (0, 256) if i % 3 == 1 else (1 << 18, 1 << 18)
        panels.PANELS = 2 if i % 3 == 2 or name in SEARCHES else 64
        found[name] = model_bytes.digest(model_bytes.trained(id, config, dtype, **training))
    return found


if __name__ == "__main__":
    _core.set_threads(int(sys.argv[2]))
    if "PMI_RANK" in os.environ:
        ranks.start()
    found = digests(int(sys.argv[3]))
    if ranks.rank == 0:
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            json.dump(found, file)

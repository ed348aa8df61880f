"""What is measured of models, as JSON; as a program, in a folder with models and data, also under mpiexec."""

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np

import featlearn
from featlearn import _core, ends, ranks, rows
from featlearn.analysis import likelihood
from featlearn.errors import DataError, DivergedError

BLOCK = 600  # rows that are worked on together: several blocks of few rows, each of several panels
AIS = {"likelihood": "ais", "ais_betas": 20, "burn_in": 3, "ais_chains": 6}  # of three ranks one has no chain
FEW = {"per_class": (5, 20), "draws": 3, "finetune": True, "random": "relu", "epochs": 2}
ITERATIONS = {"classifier_iterations": 6}


def measured(folder):
    """Return what is found, by name; files stand there by their digests."""
    data, train = str(folder / "test.h5"), str(folder / "learn.h5")
    rbm, gaussian, dbn, net = (str(folder / f"{name}.h5") for name in ("rbm", "gaussian", "dbn", "net"))
    of_all = {"train": train} | AIS | ITERATIONS
    found = {
        "all": featlearn.evaluate([rbm, dbn, gaussian], data, plot="plot.png", **of_all).report(),
        "few": featlearn.evaluate([rbm], data, train=train, **FEW, **ITERATIONS).report(),
        "classes": featlearn.evaluate([net], data).report(),
        "page": list(featlearn.report([rbm], data, "page.html").measured),
        "predictions": featlearn.classify(net, data, "predictions.npz").rows,
    }
    try:
        featlearn.evaluate([rbm], data, train=train, **FEW | {"lr": 1e30})
    except DivergedError as error:
        found["error"] = str(error)
    found["turns"] = list(turns())
    return found


def turns():
    """Yield what comes of items that ranks make in turn, of which the last ones fail."""

    def made(i):
        if i > 4:
            raise DataError(f"item {i}")
        with ranks.sharing(1000) as own:
            return [i, own.stop - own.start, ranks.size, ranks.together(np.arange(2)).tolist()]

    try:
        yield from ranks.shared_out(made, 8)
    except DataError as error:
        yield str(error)


def end(*error):
    """End all ranks, where one fails alone."""
    sys.__excepthook__(*error)
    ends.abort(1)


if __name__ == "__main__":
    sys.excepthook = end
    _core.set_threads(int(sys.argv[2]))
    rows.BLOCK = likelihood.BLOCK = BLOCK
    if "PMI_RANK" in os.environ:
        ranks.start()
    found = json.dumps(measured(Path(sys.argv[3])))
    ranks.refuse_difference(lambda: hashlib.sha256(found.encode()).digest(), "found something else")
    if ranks.rank == 0:
        files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path().iterdir()}
        Path(sys.argv[1]).write_text(json.dumps(json.loads(found) | files), "utf-8")

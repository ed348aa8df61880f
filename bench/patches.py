"""What extract-patches makes of photographs when nothing is said: which size, how many patches, whitened or
not.

    python bench/patches.py PHOTOS [IMAGES.mat] [FOLDER]

Share of edges among the filters of `--model k-sparse`, without further options, by the size and the number of
patches, and by the preprocessing; of models with a range, on patches that are mapped to one. Then the
variance that a whitening of few patches leaves other patches of the same photographs, in units of that of the
patches that it was fitted on. Pictures stay in FOLDER.
"""

import sys
import tempfile

import numpy as np
from cli import at_least, evaluate, featlearn, finish

from featlearn.jobs.store import load_rows

SIZES, COUNTS = (8, 10, 12, 16), (10_000, 20_000, 40_000)
WAYS = ("zca", "center", "standardize", "contrast", "none")
MAPPED = (("sesm", "-0.9,0.9"), ("sparse-autoencoder", "0.1,0.9"), ("k-sparse", "0.1,0.9"))
FEW = (1, 2, 5, 10, 20)  # patches a pixel


def main(photos: str, images: str, folder: str) -> None:
    sources = {
        "photographs": (photos,),
        "in colour": (photos, "--color", "rgb"),
        "dead leaves": ("dead-leaves",),
    }
    if images:
        sources["Olshausen's"] = (images,)
    print("edge share of k-sparse by size" + "".join(f"{size:>7}" for size in SIZES))
    for count in COUNTS:
        for name, source in sources.items():
            cut = [("--size", size, "--count", count, "--whiten", "zca") for size in SIZES]
            shares = [
                edge_share(f"{name}-{size}-{count}", source, how, folder)
                for size, how in zip(SIZES, cut, strict=True)
            ]
            print(f"{name:<20} {count:>9,}" + "".join(f"{share:7.2f}" for share in shares), flush=True)
    for name, source in sources.items():
        at_least(f"edge share, {name}, no options", edge_share(f"{name}-default", source, (), folder), 0.9)
    for way in WAYS:
        share = edge_share(f"way-{way}", (photos,), () if way == "zca" else ("--normalize", way), folder)
        print(f"edge share, photographs, {way:<12} {share:5.2f}", flush=True)
    for model, to in MAPPED:
        for whiten in ("none", "zca"):
            how = ("--count", 20_000, "--clip", 3, f"--to={to}", "--whiten", whiten)
            share = edge_share(f"mapped-{model}-{whiten}", (photos,), how, folder, model)
            print(f"edge share, mapped to {to}, whitened {whiten}: {model:<20} {share:5.2f}", flush=True)
    few(photos, folder)
    finish()


def edge_share(
    name: str, source: tuple[str, ...], how: tuple[object, ...], folder: str, kind: str = "k-sparse"
) -> float:
    data, model = f"{name}.h5", f"{name}-model.h5"
    featlearn("extract-patches", *source, *how, "-o", data, "--force", cwd=folder)
    featlearn("train", data, "--model", kind, "-o", model, "--force", cwd=folder)
    featlearn("visualize", model, "-o", f"{name}.png", "--force", cwd=folder)
    return float(evaluate(model, data, folder)["edge_share"])


def few(photos: str, folder: str) -> None:
    print("variance of other patches by patches a pixel" + "".join(f"{ratio:>7}" for ratio in FEW))
    for size in (8, 12, 16):
        row = []
        for ratio in FEW:
            cut = ("--size", size, "--count", ratio * size * size, "--whiten", "zca")
            featlearn("extract-patches", photos, *cut, "-o", "few.h5", "--force", cwd=folder)
            like = ("--like", "few.h5", "--count", 5000, "--seed", 1)
            featlearn("extract-patches", photos, *like, "-o", "other.h5", "--force", cwd=folder)
            rows = load_rows(f"{folder}/other.h5", say=print)[0]
            row.append(float(np.square(rows.block(0, len(rows))).mean()))
        print(f"{size}x{size:<42}" + "".join(f"{variance:7.2f}" for variance in row), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], *(sys.argv[2:4] + ["", tempfile.mkdtemp()][len(sys.argv[2:4]) :]))

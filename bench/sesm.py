"""The Sparse-Encoding Symmetric Machine beside RBM and PCA: the paper's comparison, and its filters.

    python bench/sesm.py MNIST-FOLDER NATURAL-IMAGES.mat PHOTO-FOLDER [FOLDER]

First 20,000 digits of MNIST, 200 units: bits and RMSE of quantised codes over five sparsities, errors of a
linear classifier by the labels it has, updates by every digit, no relaxation as a control, a second stage of
ten units; then natural patches; what "SESM is faster" comes to. Pictures stay in FOLDER, to be looked at.
"""

import os
import sys
import tempfile
from itertools import pairwise
from typing import Any

import h5py
import numpy as np
from cli import at_least, at_most, featlearn, figure, finish

SPARSITIES = (1, 0.5, 0.2, 0.1, 0.05)
LABELS = (10, 100, 1000)
PAPER = ("--lr-schedule", "exponential")  # falls as theirs; the default, linear, learns better codes
SECOND = ("--hidden", 10, "--sparsity-weight", 1, "--gain", 2, "--epochs", 20)


def sesm(folder: str, name: str, data: str, *options: object) -> dict[str, Any]:
    return featlearn("train", data, "--model", "sesm", *options, "-o", f"{name}.h5", "--force", cwd=folder)


def judged(folder: str, models: list[str], data: str, *options: object) -> dict[str, dict[str, Any]]:
    """What evaluate says of each model."""
    files = [f"{name}.h5" for name in models]
    return dict(zip(models, featlearn("evaluate", *files, data, *options, cwd=folder)["models"], strict=True))


def unused(folder: str, model: str) -> float:
    """The share of units that no test digit brings to 1/2."""
    featlearn("encode", f"{model}.h5", "test.h5", "-o", "unused.h5", "--force", cwd=folder)
    with h5py.File(os.path.join(folder, "unused.h5")) as file:
        return float((file["patches"][...].max(axis=0) < 0.5).mean())


def curve(folder: str) -> None:
    """The sweep over sparsities beside RBM and PCA, and the picture of all."""
    names, seconds = [f"sesm-{s:g}" for s in SPARSITIES], 0.0
    for name, sparsity in zip(names, SPARSITIES, strict=True):
        run = sesm(
            folder, name, "first.h5", "--hidden", 200, "--sparsity-weight", sparsity, "--epochs", 6, *PAPER
        )
        seconds = run["seconds"] if sparsity == 0.5 else seconds
    rbm = ("--model", "rbm", "--hidden", 200, "--epochs", 10, "--lr", 0.05, "--momentum", 0.5)
    featlearn("train", "first.h5", *rbm, "-o", "rbm.h5", "--force", cwd=folder)
    target = ("--sparsity-target", 0.1, "--epochs", 20)
    featlearn("train", "first.h5", *rbm, *target, "-o", "rbm-target.h5", "--force", cwd=folder)
    featlearn("train", "first.h5", "--model", "pca", "--hidden", 200, "-o", "pca.h5", "--force", cwd=folder)
    found = judged(
        folder, [*names, "rbm", "rbm-target", "pca"], "test.h5", "--plot", "comparison.png", "--force"
    )
    for name, row in found.items():
        print(
            f"        {name}: "
            + ", ".join(f"{q} levels {row[f'bits_{q}']:.3f} {row[f'rmse_{q}']:.4f}" for q in (256, 5))
        )
    rows = [found[name] for name in names]
    for key, rising in (("bits_256", True), ("rmse_256", False)):
        steps = [b[key] - a[key] for a, b in pairwise(rows)]
        worst = min(steps) if rising else -max(steps)
        figure(
            f"{key} {'rises' if rising else 'falls'} as the sparsity falls: least step",
            worst,
            "> 0",
            worst > 0,
        )
    half = found["sesm-0.5"]
    figure("a_s .5: bits a pixel, 256 levels", half["bits_256"], ".55 to .9", 0.55 <= half["bits_256"] <= 0.9)
    at_most("a_s .5: RMSE, 256 levels", half["rmse_256"], 0.125)
    at_most("a_s .5: share of unused units", unused(folder, "sesm-0.5"), 0.05)
    at_most("a_s .5: seconds of six epochs", seconds, 15)
    beside_pca(folder, found["pca"], half)
    for name in ("sesm-0.5", "rbm"):
        at_most(
            f"{name}: RMSE at 5 levels over that at 256", found[name]["rmse_5"] / found[name]["rmse_256"], 1.5
        )
    sesm(folder, "linear", "first.h5", "--hidden", 200, "--epochs", 6)
    row = judged(folder, ["linear"], "test.h5")["linear"]
    print(
        f"        a_s .5 as it comes, rate falling linearly: {row['bits_256']:.3f} bits, "
        f"RMSE {row['rmse_256']:.4f}"
    )


def beside_pca(folder: str, pca: dict[str, Any], sesm: dict[str, Any]) -> None:
    """PCA's codes at five levels are nearly nothing, for nearly nothing; its figures recomputed by numpy
    alone."""
    at_most("PCA, 5 levels: bits a pixel", pca["bits_5"], 0.03)
    at_least("PCA, 5 levels: RMSE / the data's deviation", pca["rmse_std_5"], 0.85)
    at_most("PCA, 5 levels: RMSE / the data's deviation", pca["rmse_std_5"], 1)
    bits = pca["bits_256"]
    figure("PCA, 256 levels: bits a pixel (the paper: 1.08)", bits, "1.08 to 1.13", 1.08 <= bits <= 1.13)
    print(f"        5 levels: RMSE of PCA over SESM's {pca['rmse_5'] / sesm['rmse_5']:.2f}")
    for q, (bits, rmse) in pca_by_numpy(folder, (5, 256)).items():
        print(f"        PCA by numpy: {q} levels {bits:.3f} {rmse:.4f}")
        at_most(f"PCA, {q} levels: relative distance in bits", abs(bits / pca[f"bits_{q}"] - 1), 0.01)
        at_most(f"PCA, {q} levels: relative distance in RMSE", abs(rmse / pca[f"rmse_{q}"] - 1), 0.01)


def pca_by_numpy(folder: str, levels: tuple[int, ...]) -> dict[int, tuple[float, float]]:
    """Bits and RMSE of test digits by 200 components from a singular value decomposition; nothing of
    featlearn."""
    train, test = (pixels(os.path.join(folder, name)) for name in ("first.h5", "test.h5"))
    mean = train.mean(axis=0)
    components = np.linalg.svd(train - mean, full_matrices=False)[2][:200]
    H = (test - mean) @ components.T
    found = {}
    for q in levels:
        step = np.abs(H).max() / (q // 2)
        rounded = np.round(H / step)
        if q % 2 == 0:  # one level less on the shorter side
            rounded = (
                np.maximum(rounded, -(q // 2) + 1) if H.max() >= -H.min() else np.minimum(rounded, q // 2 - 1)
            )
        p = np.unique(rounded, return_counts=True)[1] / H.size
        rmse = np.sqrt(np.mean((rounded * step @ components + mean - test) ** 2))
        found[q] = (float(-(p * np.log2(p)).sum() * 200 / test.shape[1]), float(rmse))
    return found


def pixels(path: str) -> Any:
    """(n, 784) in 0..1."""
    with h5py.File(path) as file:
        return file["patches"][...] / 255.0


def classes(folder: str) -> None:
    """Errors by the labels that a linear classifier has."""
    how = (
        "--train",
        "digits.h5",
        "--per-class",
        ",".join(map(str, LABELS)),
        "--plot",
        "classes.png",
        "--force",
    )
    found = judged(folder, ["sesm-0.5", "linear", "rbm", "rbm-target", "pca"], "test.h5", *how)

    def error(name: str, n: int, what: str = "classifier_error") -> float:
        return 100 * float(found[name][f"{what}_{n}"])

    for name in found:
        spread = [100 * found[name][f"classifier_spread_{n}"] for n in LABELS]
        print(
            f"        {name}: "
            + " / ".join(f"{error(name, n):.2f} +- {s:.2f}" for n, s in zip(LABELS, spread, strict=True))
        )
    print("        raw: " + " / ".join(f"{error('pca', n, 'raw_error'):.2f}" for n in LABELS))
    for n, bar in ((100, 9.2), (1000, 5.8)):
        ours = error("sesm-0.5", n)
        at_most(f"a_s .5: error in % at {n} a class", ours, bar)
        at_least(f"points below the RBM at {n}", error("rbm", n) - ours, 0)
        at_least(f"points below raw at {n}", error("pca", n, "raw_error") - ours, 2.5)


def one_by_one(folder: str) -> None:
    """An update by every digit; and none relaxed."""
    run = sesm(
        folder,
        "single",
        "first.h5",
        "--hidden",
        200,
        "--sparsity-weight",
        0.2,
        "--batch-size",
        1,
        "--lr",
        0.025,
        "--epochs",
        3,
    )
    at_most("batch 1, a_s .2: seconds an epoch", run["seconds"] / 3, 5)
    at_most("batch 1, a_s .2: bits a pixel", judged(folder, ["single"], "test.h5")["single"]["bits_256"], 0.8)
    sesm(folder, "held", "first.h5", "--hidden", 200, "--epochs", 6, "--relax-steps", 0)
    at_least("no relaxation: share of unused units", unused(folder, "held"), 0.5)


def second_stage(folder: str) -> None:
    """Ten units on the codes of 200, four times."""
    purities = []
    for seed in range(4):
        sesm(
            folder,
            "stage",
            "first.h5",
            "--hidden",
            200,
            "--sparsity-weight",
            0.7,
            "--epochs",
            6,
            "--seed",
            seed,
        )
        for data, codes in (("first.h5", "codes.h5"), ("test.h5", "test-codes.h5")):
            featlearn("encode", "stage.h5", data, "-o", codes, "--force", cwd=folder)
        sesm(folder, "prototypes", "codes.h5", *SECOND, "--seed", seed)
        picture = f"prototypes-{seed}.png"
        how = ("--through", "stage.h5", "--columns", 5, "-o", picture, "--force")
        how = ("--through", "stage.h5", "--columns", 5, "-o", picture, "--force")
        featlearn("visualize", "prototypes.h5", *how, cwd=folder)
        purities.append(judged(folder, ["prototypes"], "test-codes.h5")["prototypes"]["purity"])
    print("        purities: " + " ".join(f"{p:.3f}" for p in purities))
    at_least("second stage: purity of the arg-max code, mean", sum(purities) / 4, 0.6)
    at_least("second stage: the least of them", min(purities), 0.6)


def faster(folder: str) -> None:
    """Seconds of training until a linear classifier with 1000 labels a class errs so little; runs of some
    lengths."""
    jobs = {
        "sesm": (("--model", "sesm"), (1, 2, 4, 6, 10)),
        "rbm": (("--model", "rbm", "--lr", 0.05, "--momentum", 0.5), (1, 2, 5, 10, 20, 40)),
    }
    seconds: dict[str, float] = {}
    for model, (options, lengths) in jobs.items():
        for epochs in lengths:
            name = f"{model}-after-{epochs}"  # the curve has a sesm-1 of its own
            out = ("--hidden", 200, "--epochs", epochs, "-o", f"{name}.h5", "--force")
            seconds[name] = featlearn("train", "first.h5", *options, *out, cwd=folder)["seconds"]
    how = ("--train", "digits.h5", "--per-class", 1000, "--draws", 3)
    errors = {
        name: row["classifier_error_1000"]
        for name, row in judged(folder, list(seconds), "test.h5", *how).items()
    }
    for name, error in errors.items():
        print(f"        {name} epochs: {seconds[name]:.2f} s, error {100 * error:.2f} %")
    for bar in (0.07, 0.065, 0.06, 0.055):
        first = [
            min((seconds[n] for n in errors if n.startswith(m) and errors[n] <= bar), default=None)
            for m in jobs
        ]
        words = (f"{m} {'never' if s is None else f'{s:.2f} s'}" for m, s in zip(jobs, first, strict=True))
        print(f"        to {100 * bar:g} %: " + ", ".join(words))


def natural(folder: str, images: str, photos: str) -> None:
    """Localised oriented filters, and the predecessor's job (NIPS 2006, under 30 minutes then)."""
    cut = ("--force", "-o")
    scaled = ("--whiten", "zca", "--clip", 3, "--to=-0.9,0.9")  # a spread about that of pixels
    featlearn(
        "extract-patches",
        images,
        "--size",
        8,
        "--count",
        30000,
        "--normalize",
        "none",
        *cut,
        "8.h5",
        cwd=folder,
    )
    featlearn("extract-patches", photos, "--size", 12, "--count", 100000, *scaled, *cut, "12.h5", cwd=folder)
    jobs = (("natural", "8.h5", 128, 2, 0.0003, 20), ("predecessor", "12.h5", 200, 2, 0.0003, 10))
    for name, data, hidden, sparsity, decay, epochs in jobs:
        options = (
            "--hidden",
            hidden,
            "--sparsity-weight",
            sparsity,
            "--decay-weight",
            decay,
            "--epochs",
            epochs,
        )
        run = sesm(folder, name, data, *options)
        featlearn("visualize", f"{name}.h5", "-o", f"{name}.png", "--force", cwd=folder)
        row = judged(folder, [name], data)[name]
        shape = f"edge share {row['edge_share']:.2f}, orientation {row['orientation']:.2f}"
        print(f"        {name}: {shape}, {run['seconds']:.0f} s")
    at_most("100,000 patches 12x12, 200 units: seconds", run["wall"], 300)


def main(mnist: str, images: str, photos: str, folder: str) -> None:
    for part, name in (("train", "digits.h5"), ("t10k", "test.h5")):
        files = [os.path.join(mnist, f"{part}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")]
        cut = ("extract-patches", files[0], "--labels", files[1], "--force", "-o")
        featlearn(*cut, name, cwd=folder)
        if part == "train":
            featlearn(*cut, "first.h5", "--first", 20000, cwd=folder)
    curve(folder)
    classes(folder)
    one_by_one(folder)
    second_stage(folder)
    faster(folder)
    natural(folder, os.path.abspath(images), os.path.abspath(photos))
    print(f"pictures in {folder}")
    finish()


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:4], sys.argv[4] if len(sys.argv) > 4 else tempfile.mkdtemp())

"""The blog's experiment: an RBM on 5000 photograph patches without decay, with L1 and with L2 weight decay.

    python bench/blog.py PHOTOS [FOLDER]

Measures what the three pictures look like (kurtosis, share of near-zero weights, lag-1 autocorrelation, total
variation), the error and the time, over three seeds of 1000 mini-batch updates and in one run of 300 epochs.
Pictures stay in FOLDER.
"""

import sys
import tempfile

from cli import at_least, at_most, evaluate, featlearn, figure, finish

DECAYS = ("none", "l1", "l2")


def main(photos: str, folder: str) -> None:
    for seed in range(3):
        data = f"p{seed}.h5"
        options = ("--size", 16, "--count", 5000, "--normalize", "standardize", "--seed", seed, "--force")
        featlearn("extract-patches", photos, "-o", data, *options, cwd=folder)
        common = ("--model", "rbm", "--hidden", 100, "--momentum", 0.9, "--seed", seed, "--force")
        m = {}
        for decay in DECAYS:
            name = f"short-{decay}-{seed}.h5"
            run = featlearn(
                "train", data, *common, "--epochs", 20, "--lr", 0.01, "--decay", decay, "-o", name, cwd=folder
            )
            m[decay] = evaluate(name, data, folder) | {"seconds": run["seconds"]}
            featlearn("visualize", name, "-o", name[:-3] + ".png", "--force", cwd=folder)
        short(seed, m)
    longer(folder)
    finish()


def short(seed: int, m: dict[str, dict[str, float]]) -> None:
    print(f"1000 updates, seed {seed}")
    at_least("kurtosis l1 / none", m["l1"]["kurtosis"] / m["none"]["kurtosis"], 4)
    at_least("near-zero weights, l1", m["l1"]["near_zero"], 0.5)
    at_most("near-zero weights, none and l2", max(m["none"]["near_zero"], m["l2"]["near_zero"]), 0.1)
    at_least("lag-1 l2 - none", m["l2"]["lag1"] - m["none"]["lag1"], 0.03)
    at_most("total variation l2 / none", m["l2"]["total_variation"] / m["none"]["total_variation"], 0.85)
    rmse = [m[decay]["rmse"] for decay in DECAYS]
    figure(
        "RMSE none " + " < ".join(f"{r:.3f}" for r in rmse), rmse[2], "none < l1 < l2", rmse == sorted(rmse)
    )
    at_most("seconds of the slowest run", max(m[decay]["seconds"] for decay in DECAYS), 1.5)


def longer(folder: str) -> None:
    print("300 epochs, learning rate .001")
    common = (
        "--model",
        "rbm",
        "--hidden",
        100,
        "--epochs",
        300,
        "--batch-size",
        100,
        "--lr",
        0.001,
        "--momentum",
        0.9,
    )
    m, refined = {}, {}
    for decay in DECAYS:
        for refine, into in ((0, m), (500, refined)):
            name = f"long-{decay}-{refine}.h5"
            settings = (*common, "--decay", decay, "--refine", refine, "-o", name, "--force")
            featlearn("train", "p0.h5", *settings, cwd=folder)
            into[decay] = evaluate(name, "p0.h5", folder)
            featlearn("visualize", name, "-o", name[:-3] + ".png", "--force", cwd=folder)
    at_most("Hoyer sparsity, none", m["none"]["hoyer"], 0.35)
    at_least("Hoyer sparsity, l1", m["l1"]["hoyer"], 0.70)
    at_most("near-zero weights, none", m["none"]["near_zero"], 0.15)
    at_least("near-zero weights, l1", m["l1"]["near_zero"], 0.80)
    at_least("lag-1, l2", m["l2"]["lag1"], 0.85)
    at_most("lag-1, none", m["none"]["lag1"], 0.78)
    at_most("RMSE, none", m["none"]["rmse"], 0.46)
    for decay in DECAYS:
        at_most(f"RMSE refined / not, {decay}", refined[decay]["rmse"] / m[decay]["rmse"], 0.9999)
    at_least("Hoyer sparsity, l1 refined: still spots", refined["l1"]["hoyer"], 0.70)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())

"""What deep nets come to on MNIST: stacks, fine-tuned, beside published figures and random beginnings.

    python bench/deep.py FOLDER [--work FOLDER] [--only dbn denoising ...] [--seeds 0 1 2] [--threads N]

FOLDER holds the four files of MNIST. Errors are of the test set; recipes were chosen on the last 10,000
training digits. Each is a chain of commands, and files that are there already are not made again. Beside each
figure stands the one asked for, and the published one: G. Hinton, R. Salakhutdinov, Science 313, 2006 (dbn:
1.2 %, autoencoder: 3.0 against 13.9 of PCA); P. Vincent et al., JMLR 11, 2010 (denoising: 1.28 %); A.
Makhzani, B. Frey, 2013 (k-sparse: 1.08 to 1.2 %); Y. Bengio et al., NIPS 2006 (narrow: 1.5 % against 5.0 of
one layer, 2.2 of a random net); the exercise of the UFLDL tutorial (lecture: 87.7 % right before, 97.6 %
after).
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from cli import at_least, at_most, featlearn, finish

GUIDE = ("--lr", 0.1, "--lr-schedule", "constant", "--momentum", 0.9, "--initial-momentum", 0.5)
GUIDE += ("--initial-epochs", 5, "--decay", "l2", "--decay-weight", 2e-4, "--batch-size", 100)
NOISE = ("--input-dropout", 0.2, "--label-smoothing", 0.1)
RBM = "lr=0.1,momentum=0.9,initial_momentum=0.5,initial_epochs=5,decay=l2,decay_weight=2e-4,epochs=10"


class Bench:
    """Commands in a folder, whose files are made once."""

    def __init__(self, mnist: str, work: str, threads: int | None) -> None:
        self.cwd = work
        self.more = () if threads is None else ("--threads", threads)
        for name, files in (("train", "train"), ("test", "t10k")):
            source = Path(mnist).resolve()
            like = ("--like", "train.h5") if name == "test" else ("--size", "whole")
            images, labels = (
                source / f"{files}-{part}.gz" for part in ("images-idx3-ubyte", "labels-idx1-ubyte")
            )
            self.make(f"{name}.h5", "extract-patches", images, "--labels", labels, *like)

    def make(self, output: str, *command: object) -> str:
        """Run a command with that output, unless it is there. -> the output"""
        if not Path(self.cwd, output).exists():
            more = self.more if command[0] in ("train", "finetune") else ()
            found = featlearn(*command, *more, "-o", output, cwd=self.cwd)
            print(f"        {output}: {found['wall']:.0f} s", flush=True)
        return output

    def error(self, net: str) -> float:
        """The error of a net on the test set, in percent."""
        found = featlearn("classify", net, "test.h5", "-o", "predictions.csv", "--force", cwd=self.cwd)
        return 100 * float(found["error_rate"])

    def tuned(self, stack: str, name: str, *options: object) -> float:
        """The error of a stack once it is fine-tuned."""
        return self.error(self.make(name, "finetune", stack, "train.h5", *options))

    def squared(self, model: str) -> float:
        """The squared error of a test image's reconstruction."""
        (row,) = featlearn("evaluate", model, "test.h5", cwd=self.cwd)["models"]
        return 784 * float(row["rmse"]) ** 2


def told(name: str, found: list[float], bar: float | None = None) -> None:
    """Print the mean over seeds, and each, beside the figure asked for."""
    words = f"{name} ({', '.join(f'{one:.2f}' for one in found)})"
    if bar is None:
        print(f"        {words}: {statistics.mean(found):.2f}", flush=True)
    else:
        at_most(words, statistics.mean(found), bar)


def dbn(bench: Bench, seeds: list[int]) -> None:
    plain, noise, relu = [], [], []
    for seed in seeds:
        common = ("--seed", seed, "--epochs", 15)
        stack = bench.make(
            f"dbn-{seed}.h5", "train", "train.h5", "--model", "dbn", "--hidden", "500,500,2000", *GUIDE,
            "--epochs", 10, "--seed", seed,
        )  # fmt: skip
        plain.append(bench.tuned(stack, f"dbn-plain-{seed}.h5", *common))
        noise.append(bench.tuned(stack, f"dbn-noise-{seed}.h5", *common, *NOISE))
        control = ("--random", "--activation", "relu")
        relu.append(bench.tuned(stack, f"dbn-relu-{seed}.h5", *common, *NOISE, *control))
    told("DBN, fine-tuned", plain, 1.5)
    told("DBN, input dropout and smoothing", noise, 1.3)
    told("random ReLU, the same", relu)


def denoising(bench: Bench, seeds: list[int]) -> None:
    found = []
    for seed in seeds:
        stack = bench.make(
            f"sda-{seed}.h5", "train", "train.h5", "--model", "stacked-autoencoder",
            "--layer", "denoising:noise=0.25", "--hidden", "500,500,2000", "--optimizer", "adam",
            "--batch-size", 100, "--epochs", 10, "--seed", seed,
        )  # fmt: skip
        found.append(bench.tuned(stack, f"sda-net-{seed}.h5", "--seed", seed, "--epochs", 15, *NOISE))
    told("stacked denoising, input dropout and smoothing", found, 1.7)


def k_sparse(bench: Bench, seeds: list[int]) -> None:
    alone, stacked = [], []
    for seed in seeds:
        common = ("--seed", seed, "--epochs", 15)
        one = bench.make(
            f"ks-{seed}.h5", "train", "train.h5", "--model", "k-sparse", "--hidden", 1000, "--k", 25,
            "--seed", seed,
        )  # fmt: skip
        alone.append(bench.tuned(one, f"ks-net-{seed}.h5", *common, *NOISE))
        stack = bench.make(
            f"kss-{seed}.h5", "train", "train.h5", "--model", "stacked-autoencoder",
            "--layer", "k-sparse:k=25", "--hidden", "1000,1000", "--seed", seed,
        )  # fmt: skip
        stacked.append(bench.tuned(stack, f"kss-net-{seed}.h5", *common, *NOISE))
    told("k-sparse, fine-tuned", alone)
    told("two k-sparse layers, fine-tuned", stacked)


def narrow(bench: Bench, seeds: list[int]) -> None:
    learned, sigmoid, relu = [], [], []
    for seed in seeds:
        common = ("--seed", seed, "--epochs", 15)
        stack = bench.make(
            f"narrow-{seed}.h5", "train", "train.h5", "--model", "dbn", "--hidden", "500,500,20", *GUIDE,
            "--epochs", 10, "--seed", seed,
        )  # fmt: skip
        learned.append(bench.tuned(stack, f"narrow-net-{seed}.h5", *common))
        sigmoid.append(bench.tuned(stack, f"narrow-sigmoid-{seed}.h5", *common, "--random"))
        control = ("--random", "--activation", "relu")
        relu.append(bench.tuned(stack, f"narrow-relu-{seed}.h5", *common, *control))
    told("20 units on top, DBN", learned, 2.5)
    told("20 units on top, random sigmoid", sigmoid)
    told("20 units on top, random ReLU", relu)


def lecture(bench: Bench, seeds: list[int]) -> None:
    before, after = [], []
    for seed in seeds:
        stack = bench.make(
            f"lecture-{seed}.h5", "train", "train.h5", "--model", "stacked-autoencoder",
            "--layer", "sparse-autoencoder", "--hidden", "200,200", "--seed", seed,
        )  # fmt: skip
        (row,) = featlearn("evaluate", stack, "test.h5", "--train", "train.h5", cwd=bench.cwd)["models"]
        before.append(100 - 100 * float(row["classifier_error"]))
        after.append(100 - bench.tuned(stack, f"lecture-net-{seed}.h5", "--seed", seed))
    at_least("784-200-200-10, right before fine-tuning", statistics.mean(before), 87)
    at_least("784-200-200-10, right after it", statistics.mean(after), 97.3)


def autoencoder(bench: Bench, seeds: list[int]) -> None:
    found = []
    for seed in seeds:
        layers = [f"rbm:hidden={units},{RBM}" for units in (1000, 500, 250)]
        layers.append("autoencoder:hidden=30,activation=linear")
        options = [word for layer in layers for word in ("--layer", layer)]
        stack = bench.make(
            f"deep-{seed}.h5", "train", "train.h5", "--model", "stack", *options, "--seed", seed
        )
        net = bench.make(f"deep-ae-{seed}.h5", "finetune", stack, "train.h5", "--unrolled", "--seed", seed)
        found.append(bench.squared(net))
    told("784-1000-500-250-30, squared error of an image", found, 6)
    pca = bench.make("pca-30.h5", "train", "train.h5", "--model", "pca", "--hidden", 30)
    told("PCA of 30, squared error of an image", [bench.squared(pca)])


PARTS = {part.__name__: part for part in (dbn, denoising, k_sparse, narrow, lecture, autoencoder)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mnist", metavar="FOLDER")
    parser.add_argument("--work", help="where files are kept (default: nowhere)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as nowhere:
        bench = Bench(args.mnist, args.work or nowhere, args.threads)
        for name in args.only:
            PARTS[name](bench, args.seeds)
    finish()


if __name__ == "__main__":
    main()

"""From MNIST as it is distributed to a Bernoulli RBM with 500 hidden units and its picture: three commands.

    python bench/mnist.py MNIST-FOLDER [FOLDER]

The test set goes the same way, and shows that the error is that of digits never seen. Files stay in FOLDER.
"""

import os
import sys
import tempfile

from cli import at_most, evaluate, featlearn, finish


def main(mnist: str, folder: str) -> None:
    for part, name in (("train", "digits.h5"), ("t10k", "test.h5")):
        images, labels = (
            os.path.join(mnist, f"{part}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")
        )
        run = featlearn("extract-patches", images, "--labels", labels, "-o", name, "--force", cwd=folder)
        print(f"{name}: {run['patches']} patches in {run['wall']:.1f} s")
    options = (
        "--model",
        "rbm",
        "--hidden",
        500,
        "--epochs",
        10,
        "--sparsity-target",
        0.05,
        "--sparsity-weight",
        0.1,
    )
    run = featlearn("train", "digits.h5", *options, "-o", "strokes.h5", "--force", cwd=folder)
    featlearn("visualize", "strokes.h5", "-o", "strokes.png", "--force", cwd=folder)
    print(f"10 epochs of 60,000 x 784 in {run['seconds']:.1f} s, with start-up and files {run['wall']:.1f} s")
    train, test = (evaluate("strokes.h5", name, folder)["rmse"] for name in ("digits.h5", "test.h5"))
    at_most("RMSE of the training digits", train, 0.12)
    at_most("RMSE of the test digits / training digits", test / train, 1.05)
    finish()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())

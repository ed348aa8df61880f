"""Denoising autoencoders on all of MNIST: corruption is worth more than a point, and filters become local.

    python bench/denoising.py MNIST-FOLDER [FOLDER]

500 tied sigmoid units, cross-entropy, 5 epochs with masking of 0, .25 and .5; then 1000 units and more epochs
(published with 20 % masking and 1000 units: 1.95 %). Errors are those of softmax regression on codes, whose
decay is chosen on a sixth of the training digits. The pictures stay in FOLDER: look at them.
"""

import os
import sys
import tempfile

from cli import at_least, at_most, featlearn, finish

SHORT = ("--hidden", 500, "--epochs", 5)
LONG = ("--hidden", 1000, "--epochs", 60, "--lr-schedule", "linear")


def measure(folder: str, noise: float, *options: object) -> dict:
    name = f"masking-{noise}-{options[1]}.h5"
    made = ("--model", "denoising", "--noise", noise, *options, "-o", name, "--force")
    run = featlearn("train", "digits.h5", *made, cwd=folder)
    featlearn("visualize", name, "-o", name.replace(".h5", ".png"), "--force", cwd=folder)
    row = dict(featlearn("evaluate", name, "test.h5", "--train", "digits.h5", cwd=folder)["models"][0])
    row["error"] = 100 * row["classifier_error"]
    print(
        f"masking {noise}, {options[1]} units: error {row['error']:.2f} %, "
        f"participation {row['participation']:.3f}, RMSE {row['rmse']:.3f}, {run['seconds']:.0f} s",
        flush=True,
    )
    return row


def main(mnist: str, folder: str) -> None:
    for part, name in (("train", "digits.h5"), ("t10k", "test.h5")):
        images, labels = (
            os.path.join(mnist, f"{part}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")
        )
        featlearn("extract-patches", images, "--labels", labels, "-o", name, "--force", cwd=folder)
    none, quarter, half = (measure(folder, noise, *SHORT) for noise in (0, 0.25, 0.5))
    at_most("500 units, masking .25: error in %", quarter["error"], 4.7)
    at_least("gain over no noise", none["error"] - quarter["error"], 1.0)
    at_least("fall of participation", none["participation"] - quarter["participation"], 0.1)
    at_least("reconstruction gets worse with noise: RMSE", quarter["rmse"] - none["rmse"], 0.0)
    at_least("and worse", half["rmse"] - quarter["rmse"], 0.0)
    at_most("1000 units, longer: error in %", measure(folder, 0.25, *LONG)["error"], 2.2)
    finish()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())

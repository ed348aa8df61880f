"""Filters that a gated RBM learns from pairs of random dots, shifted or rotated.

    python bench/gated.py [--work FOLDER] [--seeds 0 1] [--threads N]

Each is a chain of commands, and files that are there already are not made again; the pictures stay in FOLDER.

A filter of shifted dots shall be a grating: one wave that fills the window. Its measure is the share of the
filter's power (padded to twice its size) within two frequencies of the strongest one, and of the opposite
one, which is the main lobe of a wave so wide: .83 of a pure wave, .08 of noise. A filter counts as a grating
from .6 on, a factor where both of its filters do. Gratings come in pairs of one frequency; the distance
between the frequencies of a factor's two filters is measured, too.

A filter of rotated dots shall be polar: of one angular frequency, whatever its radial profile. The filter is
read on rings about the middle; the measure is the share of all rings' power in the angular frequency that has
most of it, where noise, too, has some. So the bar is what the largest of 2,000 noise filters has.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from cli import at_least, at_most, featlearn, finish

from featlearn.files.model import read_model

SIZE = 13
GRATING = 0.6
RINGS = np.arange(2, 6.01, 0.5)  # pixels from the middle
ANGLES = 64


def gratings(F: Any) -> tuple[Any, Any]:
    """Return the share of power about the strongest frequency (k,), and that frequency (k, 2), of filters
    F (k, h, w)."""
    k, h, w = F.shape
    G = F - F.mean(axis=(1, 2), keepdims=True)
    P = np.abs(np.fft.fft2(G, s=(2 * h, 2 * w))) ** 2
    peak = np.stack(np.unravel_index(P.reshape(k, -1).argmax(axis=1), (2 * h, 2 * w)), axis=1)
    y, x = np.arange(2 * h)[:, None], np.arange(2 * w)[None, :]
    found = np.empty(k)
    for i, (fy, fx) in enumerate(peak):
        near = np.zeros((2 * h, 2 * w), bool)
        for sign in (1, -1):
            dy, dx = ((a - sign * f + n) % (2 * n) - n for a, f, n in ((y, fy, h), (x, fx, w)))
            near |= dy**2 + dx**2 <= 4
        found[i] = P[i][near].sum() / P[i].sum()
    return found, peak


def polar(F: Any) -> Any:
    """Return the share of the rings' power in one angular frequency (k,) of filters F (k, h, w)."""
    middle = (F.shape[1] - 1) / 2
    angle = 2 * np.pi * np.arange(ANGLES) / ANGLES
    y, x = middle + np.outer(RINGS, np.sin(angle)), middle + np.outer(RINGS, np.cos(angle))
    top, left = (np.minimum(np.floor(a).astype(int), F.shape[1] - 2) for a in (y, x))
    down, right = y - top, x - left
    rings = sum(
        (down if dy else 1 - down) * (right if dx else 1 - right) * F[:, top + dy, left + dx]
        for dy in (0, 1)
        for dx in (0, 1)
    )
    power = (np.abs(np.fft.rfft(rings, axis=2)) ** 2 * RINGS[:, None]).sum(axis=1)[:, 1:]
    return power.max(axis=1) / power.sum(axis=1)


def filters(model: str) -> tuple[Any, Any]:
    """Return those of both pictures, (factors, h, w) each."""
    params = read_model(model).params
    return tuple(np.asarray(params[name], np.float64).T.reshape(-1, SIZE, SIZE) for name in ("Wx", "Wy"))


def learn(work: str, kind: str, seed: int, more: tuple[object, ...]) -> tuple[Any, Any]:
    """Make the data, learn, draw; the filters."""
    data, model = f"{kind}.h5", f"{kind}-{seed}.h5"
    if not Path(work, data).exists():
        featlearn("extract-patches", kind, "-o", data, cwd=work)
    if not Path(work, model).exists():
        found = featlearn("train", data, "--model", "gated-rbm", "--seed", seed, *more, "-o", model, cwd=work)
        print(f"        {model}: {found['wall']:.0f} s, RMSE {found['rmse']:.4f}", flush=True)
        featlearn("visualize", model, "-o", f"{kind}-{seed}.png", cwd=work)
    return filters(str(Path(work, model)))


def controls() -> float:
    """Hold noise and pure waves against the measures; the largest share of a polar frequency in noise."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2000, SIZE, SIZE))
    smooth = noise[:, 1:, 1:] + noise[:, 1:, :-1] + noise[:, :-1, 1:] + noise[:, :-1, :-1]
    y, x = np.mgrid[:SIZE, :SIZE]
    f, phase = rng.uniform(-0.45, 0.45, (200, 2)), rng.uniform(0, 2 * np.pi, 200)
    f = f[np.abs(f).max(axis=1) > 0.1]
    waves = np.cos(2 * np.pi * (f[:, :1, None] * y + f[:, 1:, None] * x) + phase[: len(f), None, None])
    at_most("share of gratings in 2,000 noise filters", float((gratings(noise)[0] > GRATING).mean()), 0)
    at_most("the same, noise smoothed by 2x2", float((gratings(smooth)[0] > GRATING).mean()), 0)
    at_least("share of gratings in 200 waves", float((gratings(waves)[0] > GRATING).mean()), 0.99)
    return float(polar(noise).max())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", help="where files are kept (default: nowhere)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    bar = controls()
    more = () if args.threads is None else ("--threads", args.threads)
    with tempfile.TemporaryDirectory() as nowhere:
        work = args.work or nowhere
        for seed in args.seeds:
            Fx, Fy = learn(work, "shifted-dots", seed, more)
            (sx, px), (sy, py) = gratings(Fx), gratings(Fy)
            both = np.minimum(sx, sy)
            at_least("factors of shifts whose filters are gratings", float((both > GRATING).mean()), 0.6)
            print(f"        median share of power: {np.median(both):.2f}")
            n = 2 * SIZE
            apart = np.min([np.abs((px - s * py + SIZE) % n - SIZE).max(axis=1) for s in (1, -1)], axis=0)
            at_least("factors whose two gratings have one frequency", float((apart <= 1).mean()), 0.6)
            Fx, Fy = learn(work, "rotated-dots", seed, more)
            both = np.minimum(polar(Fx), polar(Fy))
            at_least(f"factors of rotations above {bar:.2f} of one angle", float((both > bar).mean()), 0.6)
            print(f"        median share of one angular frequency: {np.median(both):.2f}")
    finish()


if __name__ == "__main__":
    main()

"""The looks of a sheet of filters in numbers: noise, spots and edges differ in them without overlap.

    kurtosis         fourth moment over squared variance of a filter's weights: 3 for Gaussian noise, more for
                     spots
    hoyer            (sqrt D - |w|_1 / |w|_2) / (sqrt D - 1): 0 all alike, 1 a single one (P. Hoyer, JMLR 5,
                     2004)
    participation    (sum w^2)^2 / (D sum w^4): the share of the patch that a filter fills; 1/3 for Gaussian
                     noise
    support          share of the patch where |w| exceeds half its largest: local strokes against whole digits
    lag1             autocorrelation of neighbouring weights, both directions, mean removed: smoothness
    total_variation  mean |difference of neighbours| / mean |weight|, over the sheet
    orientation      |sum P e^(2 i theta)| / sum P over the power spectrum P: 1 one orientation, 0 none
    orientation_gain orientation over that of random mixtures of the same filters, 8 at least: at most about 1
                     for noise, which mixtures leave as it is; edges and waves are lost in them
    gabor_r2         share of the variance that a fitted Gabor function explains (gabor.py)
    edge_share       share of filters with gabor_r2 >= .5 and orientation >= .3; spots have the first, not the
                     second
    near_zero        share of all |w| below 1 % of the sheet's largest

Kurtosis, participation, orientation and gabor_r2 of a sheet are medians over its filters, hoyer, support and
lag1 means; flat filters are left out there, and are no edges.
"""

import numpy as np

from featlearn import _core
from featlearn.analysis.gabor import gabor_r2
from featlearn.random import Purpose, Random
from featlearn.rows import Array

EDGE_R2, EDGE_ORIENTATION = 0.5, 0.3
MIXTURES = 200  # that filters are compared with
FEWEST = 8  # filters whose mixtures say something


def filter_statistics(F: Array, fits: bool = True) -> dict[str, float]:
    """The measures above of filters F (k, h, w, c); without `fits` those alone that cost next to nothing."""
    each = per_filter(F, fits)
    live = each["live"]
    out = {}
    for name, summary in (
        ("kurtosis", np.median),
        ("hoyer", np.mean),
        ("participation", np.median),
        ("support", np.mean),
        ("lag1", np.mean),
        ("orientation", np.median),
        ("gabor_r2", np.median),
    ):
        if name in each:
            out[name] = float(summary(each[name][live])) if live.any() else float("nan")
    size = np.abs(F)
    out["total_variation"] = _total_variation(F)
    if np.count_nonzero(live) >= FEWEST:
        out["orientation_gain"] = orientation_gain(F[live])
    out["near_zero"] = float(np.mean(size < 0.01 * size.max())) if live.any() else 1.0
    if fits:
        edges = (each["gabor_r2"] >= EDGE_R2) & (each["orientation"] >= EDGE_ORIENTATION)
        out["edge_share"] = float(np.mean(edges)) if len(F) else float("nan")
    return out


def per_filter(F: Array, fits: bool = True) -> dict[str, Array]:
    """Return measures of each filter of F (k, h, w, c), each (k,), and live (not flat); `fits`: gabor_r2."""
    k, h, w, c = F.shape
    W = F.reshape(k, h * w * c).astype(np.float64)
    scale = np.abs(W).max(axis=1, initial=0.0)
    live = np.ptp(W, axis=1) > 1e-6 * scale if W.shape[1] else np.zeros(k, bool)
    W = W / np.where(live, scale, 1.0)[:, None]
    D = h * w * c
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = W - W.mean(axis=1, keepdims=True)
        variance = np.square(centred).mean(axis=1)
        norm1, norm2 = np.abs(W).sum(axis=1), np.sqrt(np.square(W).sum(axis=1))
        out = {
            "kurtosis": (centred**4).mean(axis=1) / variance**2,
            "hoyer": (np.sqrt(D) - norm1 / norm2) / (np.sqrt(D) - 1),
            "participation": norm2**4 / (D * (W**4).sum(axis=1)),
            "support": (np.abs(W) > 0.5 * np.abs(W).max(axis=1, keepdims=True, initial=0.0)).mean(axis=1),
        }
    images = strongest_channel(W.reshape(k, h, w, c))
    out |= {"lag1": lag1(images), "orientation": orientation(images)}
    if fits:
        out["gabor_r2"] = gabor_r2(images)
    return {name: np.where(live, value, 0.0) for name, value in out.items()} | {"live": live}


def strongest_channel(F: Array) -> Array:
    """(k, h, w): of each filter F (k, h, w, c) the channel with the most energy."""
    best = np.square(F).sum(axis=(1, 2)).argmax(axis=1)
    return F[np.arange(len(F)), :, :, best]


def lag1(F: Array) -> Array:
    """(k,) sum of products of neighbours over sum of squares, mean removed, averaged over both directions."""
    G = F - F.mean(axis=(1, 2), keepdims=True)
    squares = np.square(G).sum(axis=(1, 2))
    products = (G[:, :, 1:] * G[:, :, :-1]).sum(axis=(1, 2)) + (G[:, 1:] * G[:, :-1]).sum(axis=(1, 2))
    return np.asarray(np.divide(products, 2 * squares, out=np.zeros(len(F)), where=squares > 0))


def orientation(F: Array) -> Array:
    """Return the concentration (k,) of the power spectrum's orientations.

    The mean-free filter is padded to twice its size before.
    """
    k, h, w = F.shape
    G = F - F.mean(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(G, s=(2 * h, 2 * w))) ** 2
    fy, fx = np.fft.fftfreq(2 * h)[:, None], np.fft.fftfreq(2 * w)[None, :]
    turn = np.exp(2j * np.arctan2(fy, fx))
    total = power.sum(axis=(1, 2))
    turned = np.abs((power * turn).sum(axis=(1, 2)))
    return np.asarray(np.divide(turned, total, out=np.zeros(k), where=total > 0))


def orientation_gain(F: Array) -> float:
    """Median orientation of filters F (k, h, w, c) over that of random mixtures of them; none may be flat.

    Mixtures have the spectrum of the sheet, so that smooth noise is compared with noise as smooth.
    """
    k = len(F)
    W = F.reshape(k, -1).astype(np.float64)
    norms = np.sqrt(np.square(W).sum(axis=1, keepdims=True))
    mixed = np.empty((MIXTURES, W.shape[1]))
    _core.gemm(mixed, Random(0).normal((MIXTURES, k), np.float64, Purpose.INIT), W / norms)
    own, chance = (np.median(orientation(strongest_channel(A.reshape(-1, *F.shape[1:])))) for A in (W, mixed))
    return float(own / chance)


def _total_variation(F: Array) -> float:
    steps = [np.abs(np.diff(F, axis=axis)) for axis in (1, 2) if F.shape[axis] > 1]
    size = float(np.abs(F).mean()) if F.size else 0.0
    return float(np.mean([step.mean() for step in steps])) / size if steps and size else float("nan")

"""Least-squares fit of a Gabor function to every filter at once.

    M = E(x, y) (a cos 2 pi (fx x + fy y) + b sin 2 pi (fx x + fy y))
    E = exp(-u^2 / 2 su^2 - v^2 / 2 sv^2),   (u, v) = (x - cx, y - cy) turned by phi

a and b follow from the rest by linear least squares, so the seven others are found by Adam on the residual
(variable projection: its gradient is that of the residual with a and b held). The share of a filter's
variance that M explains (D. Ringach, Spatial structure and symmetry of simple-cell receptive fields, J.
Neurophysiol. 88, 2002, fits the same function) tells oriented edges from noise; isotropic spots fit too, so
it is read beside the orientation index.
"""

import math

import numpy as np

from featlearn.rows import Array

CX, CY, LOG_SU, LOG_SV, PHI, FX, FY = range(7)
# of Adam: pixels, log pixels, radians, cycles a pixel
RATES = np.array([0.15, 0.15, 0.08, 0.08, 0.08, 0.01, 0.01])
TRIAL_STEPS = 30
STEPS = 110
FINALISTS = 2
CHUNK = 1 << 20  # numbers in a work array


def gabor_r2(F: Array) -> Array:
    """(k,) share of the variance of each filter F (k, h, w) that its Gabor explains; 0 for a flat filter."""
    k, h, w = F.shape
    out = np.zeros(k)
    size = max(1, CHUNK // max(1, 6 * h * w))
    for start in range(0, k, size):
        part = F[start : start + size].reshape(-1, h * w).astype(np.float64)
        part -= part.mean(axis=1, keepdims=True)
        norm = np.sqrt(np.square(part).sum(axis=1))
        live = norm > 0
        if live.any():
            targets = part[live] / norm[live, None]
            out[start : start + size][live] = _fit(targets.astype(np.float32), h, w)
    return out


def _fit(targets: Array, h: int, w: int) -> Array:
    """Best share over the starts, for targets (k, h w) of unit norm: all are tried, the best two run on."""
    k = len(targets)
    y, x = (g.ravel().astype(np.float32) for g in np.mgrid[:h, :w])
    starts = _starts(targets, h, w)
    tried, losses = _descend(
        starts.reshape(-1, 7), np.repeat(targets, starts.shape[1], axis=0), x, y, h, w, TRIAL_STEPS
    )
    best = np.argsort(losses.reshape(k, -1), axis=1, kind="stable")[:, :FINALISTS]
    chosen = np.take_along_axis(tried.reshape(k, -1, 7), best[:, :, None], axis=1)
    _, losses = _descend(chosen.reshape(-1, 7), np.repeat(targets, best.shape[1], axis=0), x, y, h, w, STEPS)
    share: Array = 1 - losses.reshape(k, -1).min(axis=1)
    return share


def _starts(targets: Array, h: int, w: int) -> Array:
    """(k, 6, 7): at the peak of the smoothed energy, three widths by the strongest frequency and its half."""
    k = len(targets)
    images = targets.reshape(k, h, w)
    energy = np.square(images)
    padded = np.pad(energy, ((0, 0), (1, 1), (1, 1)))
    smooth = sum(padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3))
    cy, cx = np.divmod(np.asarray(smooth).reshape(k, -1).argmax(axis=1), w)
    power = np.abs(np.fft.rfft2(images, s=(2 * h, 2 * w))) ** 2
    row, column = np.divmod(power.reshape(k, -1).argmax(axis=1), power.shape[2])
    fx, fy = column / (2 * w), np.where(row > h, row - 2 * h, row) / (2 * h)
    out = np.zeros((k, 6, 7))
    out[:, :, CX], out[:, :, CY] = cx[:, None], cy[:, None]
    out[:, :, PHI] = np.arctan2(fy, fx)[:, None]
    reach = min(h, w)
    for i, width in enumerate((max(0.8, reach / 12), max(1.0, reach / 6), max(1.5, reach / 3))):
        for j, factor in enumerate((1.0, 0.5)):
            start = out[:, 2 * i + j]
            start[:, LOG_SU] = start[:, LOG_SV] = math.log(width)
            start[:, FX], start[:, FY] = factor * fx, factor * fy
    return out


def _descend(p: Array, targets: Array, x: Array, y: Array, h: int, w: int, steps: int) -> tuple[Array, Array]:
    """Adam with a falling rate from p (n, 7). -> (the best p seen, its losses)"""
    p = p.copy()
    best, lowest = p.copy(), np.full(len(p), np.inf)
    m, v = np.zeros_like(p), np.zeros_like(p)
    low = np.array([-1, -1, math.log(0.4), math.log(0.4), -np.inf, -0.5, -0.5])
    high = np.array([w, h, math.log(2 * w), math.log(2 * h), np.inf, 0.5, 0.5])
    for step in range(steps + 1):
        loss, gradient = loss_and_gradient(p, targets, x, y)
        better = loss < lowest
        best[better], lowest[better] = p[better], loss[better]
        m = 0.9 * m + 0.1 * gradient
        v = 0.99 * v + 0.01 * gradient * gradient
        rate = RATES * (1 - step / (steps + 1))
        p -= rate * (m / (1 - 0.9 ** (step + 1))) / (np.sqrt(v / (1 - 0.99 ** (step + 1))) + 1e-12)
        np.clip(p, low, high, out=p)
    return best, lowest


def loss_and_gradient(p: Array, targets: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Return |target - M|^2 (n,) with the best a and b, and its gradient (n, 7).

    p (n, 7) are the parameters; x, y (h w,).
    """
    q = p.astype(targets.dtype)[:, :, None]
    X, Y = x - q[:, CX], y - q[:, CY]
    cos, sin = np.cos(q[:, PHI]), np.sin(q[:, PHI])
    u, v = X * cos + Y * sin, Y * cos - X * sin
    pu, pv = np.exp(-2 * q[:, LOG_SU]), np.exp(-2 * q[:, LOG_SV])
    uu, vv = u * pu, v * pv
    E = np.exp(-0.5 * (u * uu + v * vv))
    psi = np.asarray(2 * np.pi, targets.dtype) * (q[:, FX] * x + q[:, FY] * y)
    C, S = E * np.cos(psi), E * np.sin(psi)
    cc, ss, cs = (np.einsum("nd,nd->n", a, b) for a, b in ((C, C), (S, S), (C, S)))
    ct, st = np.einsum("nd,nd->n", C, targets), np.einsum("nd,nd->n", S, targets)
    ridge = 1e-6 * (cc + ss) + 1e-12  # at frequency 0 the sine vanishes
    cc, ss = cc + ridge, ss + ridge
    det = cc * ss - cs * cs
    a, b = ((ss * ct - cs * st) / det)[:, None], ((cc * st - cs * ct) / det)[:, None]
    M, N = a * C + b * S, b * C - a * S  # N is the derivative of M by psi
    R = M - targets
    RM, RN = R * M, R * N
    tau = 4 * np.pi
    gradient = np.stack(
        [
            2 * (RM * (uu * cos - vv * sin)).sum(1),
            2 * (RM * (uu * sin + vv * cos)).sum(1),
            2 * (RM * (u * uu)).sum(1),
            2 * (RM * (v * vv)).sum(1),
            2 * (RM * (u * vv - v * uu)).sum(1),
            tau * (RN * x).sum(1),
            tau * (RN * y).sum(1),
        ],
        axis=1,
    )
    return np.square(R).sum(1).astype(np.float64), gradient.astype(np.float64)

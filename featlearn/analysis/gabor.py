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
from dataclasses import dataclass

import numpy as np

from featlearn.rows import Array, Float64

CX, CY, LOG_SU, LOG_SV, PHI, FX, FY = range(7)
# of Adam: pixels, log pixels, radians, cycles a pixel
RATES = np.array([0.15, 0.15, 0.08, 0.08, 0.08, 0.01, 0.01])
TRIAL_STEPS = 30
STEPS = 110
FINALISTS = 2
CHUNK = 1 << 20  # numbers in a work array


@dataclass(frozen=True)
class Gabors:
    """The Gabor functions nearest to k filters, in pixels; nan throughout, but r2 0, of a flat filter.

    r2           (k,) share of the filter's variance that the function explains
    p            (k, 7) its parameters: CX, CY, LOG_SU, LOG_SV, PHI, FX, FY
    a, b         (k,) of its cosine and sine, in units of the filter
    """

    r2: Float64
    p: Float64
    a: Float64
    b: Float64

    def table(self) -> dict[str, Float64]:
        """Return what a person asks of them, (k,) each; the first pixel's centre is at 0, 0.

        frequency    cycles a pixel
        orientation  of the bars, in degrees counter-clockwise from horizontal, 0 to 180
        phase        degrees at the centre, -180 to 180: 0 a bright bar, 180 a dark one, +-90 an edge
        bandwidth    octaves between the half heights of its spectrum; inf where the lower one is not above 0
        width        standard deviation of the envelope along the wave, in pixels
        length       the same along the bars
        x, y         centre; y downwards
        amplitude    height of the wave at the centre
        """
        cx, cy, log_su, log_sv, phi, fx, fy = self.p.T
        flip = np.where((fy < 0) | ((fy == 0) & (fx < 0)), -1.0, 1.0)
        phase = 2 * np.pi * (fx * cx + fy * cy) - np.arctan2(self.b, self.a)
        frequency, across = np.hypot(fx, fy), np.arctan2(fy, fx)
        width, length = (
            np.sqrt(
                np.square(np.exp(log_su) * np.cos(turn - phi))
                + np.square(np.exp(log_sv) * np.sin(turn - phi))
            )
            for turn in (across, across + np.pi / 2)
        )
        half = math.sqrt(2 * math.log(2)) / (2 * np.pi * width)
        with np.errstate(divide="ignore", invalid="ignore"):
            octaves = np.log2((frequency + half) / (frequency - half))
        return {
            "r2": self.r2,
            "frequency": frequency,
            "orientation": np.degrees(np.pi / 2 - across) % 180,
            "phase": (np.degrees(flip * phase) + 180) % 360 - 180,
            "bandwidth": np.where(frequency > half, octaves, np.where(np.isnan(frequency), np.nan, np.inf)),
            "width": width,
            "length": length,
            "x": cx,
            "y": cy,
            "amplitude": np.hypot(self.a, self.b),
        }


def gabor_r2(F: Array) -> Array:
    """(k,) share of the variance of each filter F (k, h, w) that its Gabor explains; 0 for a flat filter."""
    return gabor_fits(F).r2


def gabor_fits(F: Array) -> Gabors:
    """The Gabor function nearest to each filter F (k, h, w), its mean removed, by least squares."""
    k, h, w = F.shape
    out = Gabors(np.zeros(k), np.full((k, 7), np.nan), np.full(k, np.nan), np.full(k, np.nan))
    size = max(1, CHUNK // max(1, 6 * h * w))
    for start in range(0, k, size):
        part = F[start : start + size].reshape(-1, h * w).astype(np.float64)
        part -= part.mean(axis=1, keepdims=True)
        norm = np.sqrt(np.square(part).sum(axis=1))
        live = np.flatnonzero(norm > 0)
        if len(live):
            targets = part[live] / norm[live, None]
            at = start + live
            out.r2[at], out.p[at], a, b = _fit(targets.astype(np.float32), h, w)
            out.a[at], out.b[at] = a * norm[live], b * norm[live]
    return out


def _fit(targets: Array, h: int, w: int) -> tuple[Float64, Float64, Float64, Float64]:
    """Best share over the starts, for targets (k, h w) of unit norm: all are tried, the best two run on.

    -> share (k,), parameters (k, 7), a and b (k,)
    """
    k = len(targets)
    y, x = (g.ravel().astype(np.float32) for g in np.mgrid[:h, :w])
    starts = _starts(targets, h, w)
    tried, losses = _descend(
        starts.reshape(-1, 7), np.repeat(targets, starts.shape[1], axis=0), x, y, h, w, TRIAL_STEPS
    )
    best = np.argsort(losses.reshape(k, -1), axis=1, kind="stable")[:, :FINALISTS]
    chosen = np.take_along_axis(tried.reshape(k, -1, 7), best[:, :, None], axis=1)
    ended, losses = _descend(
        chosen.reshape(-1, 7), np.repeat(targets, best.shape[1], axis=0), x, y, h, w, STEPS
    )
    losses = losses.reshape(k, -1)
    p = ended.reshape(k, -1, 7)[np.arange(k), losses.argmin(axis=1)]
    _, C, S = _waves(p.astype(np.float32)[:, :, None], x, y)
    a, b = _amplitudes(C, S, targets)
    return 1 - losses.min(axis=1), p, a[:, 0].astype(np.float64), b[:, 0].astype(np.float64)


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
    (u, v, uu, vv, cos, sin), C, S = _waves(q, x, y)
    a, b = _amplitudes(C, S, targets)
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


def _waves(q: Array, x: Array, y: Array) -> tuple[tuple[Array, ...], Array, Array]:
    """-> (u, v, u / su^2, v / sv^2, cos phi, sin phi), cosine and sine in their envelope, (n, h w) each."""
    X, Y = x - q[:, CX], y - q[:, CY]
    cos, sin = np.cos(q[:, PHI]), np.sin(q[:, PHI])
    u, v = X * cos + Y * sin, Y * cos - X * sin
    pu, pv = np.exp(-2 * q[:, LOG_SU]), np.exp(-2 * q[:, LOG_SV])
    uu, vv = u * pu, v * pv
    E = np.exp(-0.5 * (u * uu + v * vv))
    psi = np.asarray(2 * np.pi, q.dtype) * (q[:, FX] * x + q[:, FY] * y)
    return (u, v, uu, vv, cos, sin), E * np.cos(psi), E * np.sin(psi)


def _amplitudes(C: Array, S: Array, targets: Array) -> tuple[Array, Array]:
    """Return the a and b (n, 1) for which |targets - a C - b S|^2 is least."""
    cc, ss, cs = (np.einsum("nd,nd->n", a, b) for a, b in ((C, C), (S, S), (C, S)))
    ct, st = np.einsum("nd,nd->n", C, targets), np.einsum("nd,nd->n", S, targets)
    ridge = 1e-6 * (cc + ss) + 1e-12  # at frequency 0 the sine vanishes
    cc, ss = cc + ridge, ss + ridge
    det = cc * ss - cs * cs
    return ((ss * ct - cs * st) / det)[:, None], ((cc * st - cs * ct) / det)[:, None]

"""Choices of rows: for training and validation, for measures, and the order of an epoch."""

import math

import numpy as np

from featlearn.errors import ConfigError
from featlearn.random import Purpose, Random
from featlearn.rows import Float64, Index, Rows
from featlearn.training.config import TrainConfig

BLOCK = 1 << 16  # rows that are shuffled together: data larger than memory are read block by block
MEAN_ROWS = 100_000
PROBE = 1000  # at most so many training rows, spread over all, are measured after each epoch


def split_rows(n: int, config: TrainConfig, seed: int, last: int = 0) -> tuple[Index, Index]:
    """Return (training rows, validation rows) of n, in order. Raises ConfigError for too few of either.

    The `last` rows are for validation alone, in place of a share.
    """
    if last:
        return split_rows(n - last, config, seed)[0], np.arange(n - last, n)
    held_out = round(config.validation * n)
    if n - held_out < (config.batch_size if isinstance(config.batch_size, int) else 1):
        share = f" beside --validation {config.validation:g}" if held_out else ""
        raise ConfigError(
            f"--batch-size {config.batch_size or 1}: only {n - held_out} training rows{share}; take "
            + ("a smaller batch" if n > held_out else "a smaller --validation")
        )
    if config.validation and not held_out:
        raise ConfigError(f"--validation {config.validation:g} of {n} rows holds out none; take more")
    split = Random(seed).permutation(n, Purpose.SPLIT) if held_out else np.arange(n)
    return np.sort(split[held_out:]), np.sort(split[:held_out])


def spread(index: Index, most: int) -> Index:
    """Return at most so many of the rows, at equal distances."""
    return index[:: max(1, math.ceil(len(index) / most))]


def moments(rows: Rows, index: Index) -> tuple[Float64, Float64]:
    """Return (visible,) means and variances of those rows, or of MEAN_ROWS spread over them.

    A model begins with the mean. The sums are about the first row, where means far from 0 lose no digits.
    """
    index = spread(index, MEAN_ROWS)
    first = rows.take(index[:1])[0].astype(np.float64)
    total, squares = np.zeros_like(first), np.zeros_like(first)
    for start in range(0, len(index), PROBE):
        X = rows.take(index[start : start + PROBE]) - first
        total, squares = total + X.sum(axis=0), squares + np.square(X, out=X).sum(axis=0)
    mean = total / len(index)
    return first + mean, np.maximum(squares / len(index) - np.square(mean), 0)


def epoch_order(n: int, rng: Random, epoch: int) -> Index:
    """Return the rows (n,) in the order of an epoch: blocks in random order, and a random order within each.

    Up to BLOCK rows that is a full shuffle; above, reading stays sequential enough for data larger than
    memory.
    """
    keys = rng.bits(n, Purpose.ORDER, 2 * epoch)
    blocks = rng.permutation(math.ceil(n / BLOCK), Purpose.ORDER, 2 * epoch + 1)
    return np.concatenate(
        [b * BLOCK + np.argsort(keys[b * BLOCK : (b + 1) * BLOCK], kind="stable") for b in blocks]
    )

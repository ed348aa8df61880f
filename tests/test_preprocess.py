"""Preprocessing against plain numpy, its own inverse, and its promise that a row's bytes depend on the row
alone."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from featlearn import _core
from featlearn.errors import ConfigError, DataError
from featlearn.patches.fitter import Fitter
from featlearn.patches.normalize import CONTRAST
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.settings import PreprocessSpec
from featlearn.settings import to_dict

SPECS = [
    PreprocessSpec("none"),
    PreprocessSpec("center"),
    PreprocessSpec("contrast"),
    PreprocessSpec("standardize-patch"),
    PreprocessSpec("standardize"),
    PreprocessSpec("global"),
    PreprocessSpec("none", whiten="zca", epsilon=0.0),
    PreprocessSpec("center", whiten="zca"),
    PreprocessSpec("contrast", whiten="zca", epsilon=0.01),
    PreprocessSpec("standardize", whiten="zca"),
    PreprocessSpec("global", whiten="zca"),
    PreprocessSpec("standardize-patch", whiten="zca"),
    PreprocessSpec("none", whiten="pca", epsilon=0.0),
    PreprocessSpec("center", whiten="pca"),
    PreprocessSpec("none", clip=2.0),
    PreprocessSpec("global", clip=2.0),
    PreprocessSpec("center", clip=3.0, to=(0.1, 0.9)),
    PreprocessSpec("standardize", clip=1.5, to=(-1.0, 2.0)),
    PreprocessSpec("center", whiten="zca", clip=3.0, to=(0.0, 1.0)),
    PreprocessSpec("none", threshold=0.4),
    PreprocessSpec("standardize", threshold=0.6),
]
MODES = [spec for spec in SPECS if spec.clip is None]
WHITENED = [spec for spec in MODES if spec.whiten != "none"]


def name(spec):
    return f"{spec.normalize}-{spec.whiten}-{spec.epsilon:g}-{spec.clip}-{spec.to}-{spec.threshold}"


def patches(n=3000, d=24, dtype=np.uint8, seed=0):
    """Correlated pixels of unlike means and scales."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) @ (rng.standard_normal((d, d)) * 0.3 + np.eye(d))
    x = 1 / (1 + np.exp(-0.5 * x - np.linspace(-1, 1, d)))
    return x.astype(np.float32) if dtype == np.float32 else np.rint(x * np.iinfo(dtype).max).astype(dtype)


def unit(rows, spec=PreprocessSpec("none")):  # noqa: B008
    x = rows.astype(np.float64) / {"u1": 255, "u2": 65535, "f4": 1}[rows.dtype.str[1:]]
    return x if spec.threshold is None else np.where(x > spec.threshold, 1.0, 0.0)


def fit(spec, rows):
    fitter = Fitter(spec, rows.shape[1], rows.dtype)
    fitter.update(rows)
    return fitter.finish()


def normalized(spec, rows):
    """The first stages in plain numpy."""
    x = unit(rows, spec)
    if spec.normalize == "center":
        return x - x.mean(axis=1, keepdims=True)
    if spec.normalize == "contrast":
        return (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + CONTRAST)
    if spec.normalize == "standardize-patch":
        return (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    if spec.normalize == "standardize":
        return (x - x.mean(axis=0)) / x.std(axis=0)
    if spec.normalize == "global":
        return (x - x.mean()) / x.std()
    return x


def recomputed(spec, rows):
    """Everything in plain numpy (PCA up to the sign of its components)."""
    x = normalized(spec, rows)
    if spec.whiten != "none":
        x = x - x.mean(axis=0)
        values, V = np.linalg.eigh(x.T @ x / len(x))
        x = x @ V / np.sqrt(values + spec.epsilon * values.mean())
        x = x @ V.T if spec.whiten == "zca" else x[:, ::-1]
        x = x / x.std()
    if spec.clip is not None:
        middle, reach = x.mean(), spec.clip * x.std()
        x = np.clip(x, middle - reach, middle + reach)
        if spec.to is not None:
            x = spec.to[0] + (x - middle + reach) / (2 * reach) * (spec.to[1] - spec.to[0])
    return x


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("spec", SPECS, ids=name)
def test_the_same_as_plain_numpy(spec, dtype):
    rows = patches(dtype=dtype)
    found, wanted = fit(spec, rows).apply(rows, np.float64), recomputed(spec, rows)
    if spec.whiten == "pca":
        found, wanted = abs(found), abs(wanted)
    assert np.abs(found - wanted).max() < 1e-8
    single = fit(spec, rows).apply(rows)
    assert single.dtype == np.float32
    if spec.whiten != "pca":
        assert np.abs(single - wanted).max() < 2e-4 * abs(wanted).max()


@pytest.mark.parametrize("spec", MODES, ids=name)
def test_invert_undoes_apply(spec):
    rows = patches()
    done = fit(spec, rows)
    x, stats = done.apply_with_stats(rows, np.float64)
    assert np.abs(done.invert(x, stats) - unit(rows, spec)).max() < 1e-11
    x, stats = done.apply_with_stats(rows)
    back = done.invert(x, stats)
    assert back.dtype == np.float32
    assert np.abs(back - unit(rows, spec)).max() < 1e-4


def test_invert_without_stats_leaves_out_each_patch_s_own_mean():
    rows = patches()
    done = fit(PreprocessSpec("center", whiten="zca"), rows)
    found = done.invert(done.apply(rows, np.float64))
    assert np.abs(found - (unit(rows) - unit(rows).mean(axis=1, keepdims=True))).max() < 1e-12


def test_invert_of_clipped_values_is_the_clipped_pixel():
    rows = patches()
    done = fit(PreprocessSpec("none", clip=1.0, to=(-2.0, 5.0)), rows)
    x = unit(rows)
    wanted = np.clip(x, x.mean() - x.std(), x.mean() + x.std())
    assert np.abs(done.invert(done.apply(rows, np.float64)) - wanted).max() < 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spec", SPECS, ids=name)
def test_a_row_s_bytes_do_not_depend_on_its_neighbours_or_threads(spec, dtype):
    rows = patches(1000, 289)
    done = fit(PreprocessSpec(spec.normalize, spec.whiten, spec.epsilon or 0.1, spec.clip, spec.to), rows)
    threads = _core.get_threads()
    try:
        _core.set_threads(1)
        together = done.apply(rows, dtype)
        _core.set_threads(2)
        assert done.apply(rows, dtype).tobytes() == together.tobytes()
    finally:
        _core.set_threads(threads)
    assert done.apply(rows[500:537], dtype).tobytes() == together[500:537].tobytes()
    for i in (0, 1, 500, 999):
        assert done.apply(rows[i : i + 1], dtype).tobytes() == together[i].tobytes()
    assert done.apply(rows[:0], dtype).shape == (0, 289)


@pytest.mark.parametrize("spec", SPECS, ids=name)
def test_the_fit_does_not_depend_on_the_portions_it_comes_in(spec):
    rows = patches(1000)
    wanted = fit(spec, rows).to_dict()
    for portion in (1, 37, 256, 300):
        fitter = Fitter(spec, rows.shape[1], rows.dtype)
        for start in range(0, len(rows), portion):
            fitter.update(rows[start : start + portion])
        found = fitter.finish().to_dict()
        assert found.keys() == wanted.keys()
        assert all(np.asarray(found[key]).tobytes() == np.asarray(wanted[key]).tobytes() for key in wanted)


@pytest.mark.parametrize("spec", SPECS, ids=name)
def test_round_trip_through_plain_values(spec):
    rows = patches()
    done = fit(spec, rows)
    values = done.to_dict()
    assert all(isinstance(value, str | int | float | np.ndarray) for value in values.values())
    again = Preprocess.from_dict(values)
    assert again.spec == done.spec
    assert (again.n_pixels, again.n_visible, again.low, again.high) == (24, 24, done.low, done.high)
    assert again.constant_pixels == done.constant_pixels
    for dtype in (np.float32, np.float64):
        assert again.apply(rows, dtype).tobytes() == done.apply(rows, dtype).tobytes()
    assert again.invert(done.apply(rows)).tobytes() == done.invert(done.apply(rows)).tobytes()


@pytest.mark.parametrize("whiten", ["zca", "pca"])
@pytest.mark.parametrize("normalize", ["none", "standardize"])
def test_whitened_covariance_is_the_identity_without_epsilon(whiten, normalize):
    rows = patches()
    x = fit(PreprocessSpec(normalize, whiten, epsilon=0.0), rows).apply(rows, np.float64)
    assert np.abs(x.mean(axis=0)).max() < 1e-6
    assert np.abs(x.T @ x / len(x) - np.eye(24)).max() < 1e-6


@pytest.mark.parametrize("spec", WHITENED, ids=name)
def test_whitened_data_have_variance_one_in_all(spec):
    rows = patches()
    x = fit(spec, rows).apply(rows, np.float64)
    assert abs((x**2).mean() - 1) < 1e-6


def test_zca_is_symmetric_and_stays_closest_to_the_pixels():
    rows = patches()
    P = fit(PreprocessSpec("none", whiten="zca"), rows).whitening
    assert np.abs(P - P.T).max() < 1e-10
    assert (np.linalg.eigvalsh((P + P.T) / 2) > 0).all()


@pytest.mark.parametrize("normalize", ["center", "contrast"])
def test_each_patch_has_mean_zero_and_with_contrast_its_variance(normalize):
    rows = patches()
    rows[7] = 93  # a flat patch stays flat
    done = fit(PreprocessSpec(normalize), rows)
    x, stats = done.apply_with_stats(rows, np.float64)
    assert np.abs(x.mean(axis=1)).max() < 1e-12
    assert np.abs(x[7]).max() < 1e-12
    assert np.abs(stats.mean - unit(rows).mean(axis=1)).max() < 1e-12
    variance = unit(rows).var(axis=1)
    if normalize == "contrast":
        assert np.abs(x.var(axis=1) - variance / (variance + CONTRAST)).max() < 1e-12
        assert np.abs(stats.scale - np.sqrt(variance + CONTRAST)).max() < 1e-12
    else:
        assert (stats.scale == 1).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_standardized_patch_has_deviation_one_and_a_flat_one_is_zeros(dtype):
    """However small its contrast: nothing is added to the variance."""
    rows = patches(300, dtype=dtype)
    rows[3] = rows[7].max()
    rows[4] = 0
    rows[5] = rows[5, 0]
    rows[5, 0] += 1 if dtype == np.uint8 else 1e-3
    done = fit(PreprocessSpec("standardize-patch"), rows)
    x, stats = done.apply_with_stats(rows, np.float64)
    varied = np.arange(300)[(rows != rows[:, :1]).any(axis=1)]
    assert len(varied) == 298
    assert np.abs(x[varied].mean(axis=1)).max() < 1e-12
    assert np.abs(x[varied].std(axis=1) - 1).max() < 1e-12
    assert not x[3:5].any()
    assert np.abs(done.invert(x, stats) - unit(rows)).max() < 1e-12


def test_global_takes_one_mean_and_one_deviation():
    rows = patches()
    done = fit(PreprocessSpec("global"), rows)
    x = done.apply(rows, np.float64)
    assert abs(x.mean()) < 1e-12
    assert abs(x.std() - 1) < 1e-12
    assert len(set(done.mean)) == len(set(done.scale)) == 1
    assert np.ptp(x.mean(axis=0)) > 0.1  # the means of pixels stay unlike


def test_standardize_leaves_constant_pixels_and_counts_them():
    rows = patches()
    constant = np.arange(0, 24, 2)
    rows[:, constant] = constant * 11
    done = fit(PreprocessSpec("standardize"), rows)
    x = done.apply(rows, np.float64)
    assert done.constant_pixels == 12
    assert done.warnings == ["12 of 24 pixels never vary; they are left unscaled"]
    assert (x[:, constant] == 0).all()
    others = np.delete(x, constant, axis=1)
    assert np.abs(others.std(axis=0) - 1).max() < 1e-12
    changed = rows.copy()
    changed[:, 0] = 255
    assert np.abs(done.apply(changed, np.float64)[:, 0] - 1).max() < 1e-12


def test_a_rare_pixel_far_from_the_others_is_no_constant():
    rows = np.zeros((100_000, 2), np.uint16)
    rows[::2, 0] = 7
    rows[99_999, 1] = 1
    assert fit(PreprocessSpec("standardize"), rows).constant_pixels == 0


def test_sums_lose_no_digits_far_from_zero():
    rows = (1e4 + patches(dtype=np.float32)).astype(np.float32)
    x = fit(PreprocessSpec("standardize"), rows).apply(rows, np.float64)
    assert np.abs(x.std(axis=0) - 1).max() < 1e-9


@pytest.mark.parametrize("whiten", ["zca", "pca"])
def test_to_pixels_turns_components_back(whiten):
    rows = patches()
    done = fit(PreprocessSpec("center", whiten=whiten), rows)
    F = np.random.default_rng(0).standard_normal((5, 24))
    pixels = done.to_pixels(F)
    if whiten == "zca":
        assert np.array_equal(pixels, F)
    else:
        rotation = done.to_pixels(np.eye(24))
        assert np.abs(rotation @ rotation.T - np.eye(24)).max() < 1e-8
        assert np.abs(F @ rotation - pixels).max() < 1e-12
        assert np.abs(F - pixels @ rotation.T).max() < 1e-8
        x = normalized(done.spec, rows)
        scores = (x - x.mean(axis=0)) @ rotation.T  # components by falling variance, each of known sign
        assert (np.diff(scores.var(axis=0)) <= 1e-15).all()
        assert (rotation[np.arange(24), abs(rotation).argmax(axis=1)] > 0).all()


def test_the_range_is_that_of_the_pixels_seen_or_of_the_map():
    rows = patches()
    rows[rows < 10] = 10
    rows[5, 5] = 251
    done = fit(PreprocessSpec("none"), rows)
    assert (done.low, done.high) == (unit(rows).min(), 251 / 255)
    assert done.apply(rows, np.float64).max() == done.high
    mapped = fit(PreprocessSpec("center", whiten="zca", clip=0.7, to=(0.1, 0.9)), rows)
    x = mapped.apply(rows)
    assert (mapped.low, mapped.high) == (0.1, 0.9)
    assert x.min() == np.float32(0.1)
    assert x.max() == np.float32(0.9)
    for spec in SPECS:
        if spec.to is None and not spec.normalize == spec.whiten == "none":
            assert (fit(spec, rows).low, fit(spec, rows).high) == (-np.inf, np.inf)
    cut = fit(PreprocessSpec("none", clip=1.5), rows)
    assert (cut.low, cut.high) == (done.low, done.high)


def test_other_pixels_are_scaled_by_their_own_dtype():
    eight = patches()
    done = fit(PreprocessSpec("center", whiten="zca"), eight)
    wanted = done.apply(eight, np.float64)
    sixteen = eight.astype(np.uint16) * 257
    assert done.apply(sixteen, np.float64).tobytes() == wanted.tobytes()
    assert np.abs(done.apply((eight / 255).astype(np.float32), np.float64) - wanted).max() < 1e-5


def test_mapped_rows_are_taken_as_they_are(tmp_path):
    rows = patches()
    done = fit(PreprocessSpec("center", whiten="zca"), rows)
    rows.tofile(tmp_path / "rows")
    mapped = np.memmap(tmp_path / "rows", np.uint8, "r", shape=rows.shape)
    assert done.apply(mapped).tobytes() == done.apply(rows).tobytes()
    assert fit(done.spec, mapped).to_dict()["whitening"].tobytes() == done.to_dict()["whitening"].tobytes()


@pytest.mark.parametrize("spec", WHITENED, ids=name)
def test_few_patches_warn_and_need_epsilon(spec):
    rows = patches(20)
    if spec.epsilon == 0:
        with pytest.raises(DataError, match=r"--epsilon 0.*20 patches of 24 pixels.*above 0"):
            fit(spec, rows)
    else:
        (warning,) = fit(spec, rows).warnings
        assert "20 patches of 24 pixels" in warning
        assert not fit(spec, patches(100)).warnings


@pytest.mark.parametrize("normalize", ["center", "contrast", "standardize-patch"])
def test_without_epsilon_centred_patches_are_refused(normalize):
    with pytest.raises(DataError, match=rf"--epsilon 0.*--normalize {normalize} always"):
        fit(PreprocessSpec(normalize, "zca", 0.0), patches())


@pytest.mark.parametrize("spec", SPECS, ids=name)
def test_constant_data_are_refused(spec):
    with pytest.raises(DataError, match=r"flat|the same") as caught:
        fit(spec, np.full((500, 24), 77, np.uint8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", [PreprocessSpec("center"), PreprocessSpec("center", "zca")], ids=name)
def test_flat_patches_of_unlike_grey_are_nothing_once_centred(spec):
    rows = np.repeat(np.arange(200, dtype=np.uint8)[:, None], 24, axis=1)
    with pytest.raises(DataError, match="each of the 200 patches is flat"):
        fit(spec, rows)


@pytest.mark.parametrize("normalize", ["center", "contrast", "standardize-patch"])
def test_patches_that_a_threshold_makes_flat_are_nothing_once_centred(normalize):
    rows = patches(200) // 4 + np.repeat([0, 150], 100).astype(np.uint8)[:, None]
    fit(PreprocessSpec(normalize), rows)
    fit(PreprocessSpec("none", threshold=0.5), rows)
    with pytest.raises(DataError, match=r"each of the 200 patches is flat.*change --threshold"):
        fit(PreprocessSpec(normalize, threshold=0.5), rows)


def test_patches_that_differ_in_their_mean_alone_cannot_be_whitened_once_centred():
    rows = (np.arange(24) + np.arange(200)[:, None]).astype(np.uint8)
    with pytest.raises(DataError, match="do not differ after --normalize center"):
        fit(PreprocessSpec("center", "zca"), rows)


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(DataError, match="no patches"):
        Fitter(PreprocessSpec("none"), 9, np.uint8).finish()
    bad = patches(dtype=np.float32)
    bad[17, 3] = np.nan
    with pytest.raises(DataError, match="not finite"):
        fit(PreprocessSpec("standardize"), bad)
    with pytest.raises(DataError, match=r"at most 8192 pixels.*--size or --whiten none"):
        Fitter(PreprocessSpec("none", whiten="zca"), 8193, np.uint8)
    with pytest.raises(DataError, match="wanted uint8 of 24 pixels"):
        Fitter(PreprocessSpec("none"), 24, np.uint8).update(patches(d=23))
    with pytest.raises(DataError, match=r"patches of 23 pixels.*fitted on 24"):
        fit(PreprocessSpec("none"), patches()).apply(patches(d=23))


def test_very_wide_rows_are_fitted_in_small_blocks():
    rows = np.random.default_rng(0).integers(0, 255, (5, 1 << 20), np.uint8)
    done = fit(PreprocessSpec("standardize"), rows)
    assert np.abs(done.scale[:100] - unit(rows)[:, :100].std(axis=0)).max() < 1e-12


@pytest.mark.parametrize(
    "settings",
    [
        {"normalize": "centre"},
        {"whiten": "lda"},
        {"epsilon": -0.1},
        {"clip": 0.0},
        {"to": (0.0, 1.0)},
        {"clip": 3.0, "to": (1.0, 0.0)},
        {"clip": 3.0, "to": (0.0, float("inf"))},
    ],
)
def test_contradictions_are_refused(settings):
    with pytest.raises(ConfigError, match=r"^--[^\n]*$"):
        PreprocessSpec(**settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalize": None}, "normalize: is not said"),
        ({"to": np.ones(3)}, "--to: got .*, must be 2 numbers"),
        ({"clip": "3"}, "--clip: got '3', must be a number"),
        ({"threshold": np.ones(1)}, "--threshold: got .*, must be a number"),
        ({"normalize": "magic"}, "'magic'"),
        ({"n_pixels": "many"}, "many"),
        ({"whitening": None}, "'whitening' has the shape None, wanted .24, 24"),
        ({"whitening": np.eye(23)}, "wanted .24, 24"),
        ({"scale": np.ones(24)}, "'scale' has the shape .24,., wanted None"),
        ({"gamma": 2.2}, "unknown 'gamma'"),
    ],
)
def test_damaged_values_are_refused(change, message):
    values = {**fit(PreprocessSpec("center", "zca"), patches()).to_dict(), **change}
    with pytest.raises(DataError, match=message):
        Preprocess.from_dict({key: value for key, value in values.items() if value is not None})


@pytest.mark.parametrize("spread", [0.0, -1.0])
def test_a_range_to_clip_to_has_a_width(spread):
    values = fit(PreprocessSpec("center", clip=3.0, to=(0.1, 0.9)), patches()).to_dict()
    with pytest.raises(DataError, match=r"'spread' is .*, wanted above 0"):
        Preprocess.from_dict(values | {"spread": spread})


SCRIPT = """
import hashlib, numpy as np
from featlearn.patches.dead_leaves import NAMES, generate
from featlearn.patches.preprocess import Preprocess
from featlearn.patches.settings import PreprocessSpec
rng = np.random.default_rng(0)
rows, P = rng.integers(0, 255, (300, 70), np.uint8), rng.standard_normal((70, 70))
done = Preprocess(PreprocessSpec("contrast", "zca", clip=2.0, to=(0.0, 1.0)), 70, P[0].copy(), None, P, P)
digest = hashlib.sha256(done.apply(rows).tobytes() + done.apply(rows, np.float64).tobytes())
digest.update(done.invert(done.apply(rows)).tobytes())
for name in NAMES:
    digest.update(generate(name, 1, 40, 2).tobytes())
print(digest.hexdigest())
"""


def test_bytes_do_not_depend_on_the_instruction_set():
    found = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, **isa},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for isa in ({}, {"FEATLEARN_ISA": "plain"})
    }
    assert len(found) == 1


def test_every_setting_is_stored_under_its_own_name():
    """One declaration serves options and files, so a stored threshold cannot come back as something else."""
    said = {
        "normalize": "contrast",
        "whiten": "pca",
        "epsilon": 0.25,
        "clip": 2.0,
        "to": (0.25, 0.75),
        "threshold": 0.5,
    }
    assert said.keys() == {field.name for field in dataclasses.fields(PreprocessSpec)}
    for name in said:
        spec = PreprocessSpec(**{"normalize": "none", "clip": 3.0, name: said[name]})
        stored = fit(spec, patches()).to_dict()
        assert np.array_equal(stored[name], said[name])
        assert stored.keys() & said.keys() == {
            key for key, value in to_dict(spec).items() if value is not None
        }
        assert Preprocess.from_dict(stored).spec == spec


@pytest.mark.parametrize("size", [16, 28])
def test_whitening_does_not_depend_on_the_threads_of_blas(size):
    """As many threads as cores is what numpy takes by itself, and LAPACK's sums are others then."""
    rows = np.random.default_rng(0).integers(0, 256, (1500, size * size), np.uint8)
    found = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="blas"):
            done = fit(PreprocessSpec("center", "zca"), rows)
        found.append((done.whitening.tobytes(), done.unwhitening.tobytes()))
    assert found == [found[0]] * 3


def test_a_scale_that_no_fit_makes_is_refused():
    rows = patches()
    values = fit(PreprocessSpec("standardize"), rows).to_dict()
    for bad, message in (
        (0.0, "'scale' is 0 at a pixel, wanted above 0"),
        (-1.0, "'scale' is -1"),
        (np.nan, "NaN"),
    ):
        scale = values["scale"].copy()
        scale[3] = bad
        with pytest.raises(DataError, match=message):
            Preprocess.from_dict(values | {"scale": scale})


@pytest.mark.parametrize("spec", SPECS, ids=name)
def test_divided_values_are_the_same_in_other_units(spec):
    """Also after a file, within bounds that are divided too, and back to the same pixels."""
    rows = patches(500)
    whole = fit(spec, rows)
    halved = whole.divided(8.0).divided(0.5)
    assert Preprocess.from_dict(halved.to_dict()).divisor == 4
    assert "divisor" not in whole.to_dict()
    X, (Y, stats) = whole.apply(rows, np.float64), halved.apply_with_stats(rows, np.float64)
    np.testing.assert_array_equal(Y, X / 4)
    assert (halved.low, halved.high) == (whole.low / 4, whole.high / 4)
    np.testing.assert_allclose(halved.invert(Y, stats), whole.invert(X, stats), atol=1e-12)
    with pytest.raises(DataError, match="'divisor' is 0, wanted a number above 0"):
        Preprocess.from_dict(whole.to_dict() | {"divisor": 0.0})


@pytest.mark.parametrize(("n", "d"), [(1, 1), (3, 15), (5, 16), (200, 108)])
@pytest.mark.parametrize("floor", [-1.0, 0.0, 0.01])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_kernel_of_means_and_contrasts(n, d, floor, dtype, threads):
    X = np.random.default_rng(0).normal(3, 2, (n, d)).astype(dtype)
    X[0] += np.arange(d)
    mean, scale, found = np.empty(n), np.empty(n), X.copy()
    _core.normalize(found, mean, scale, max(floor, 0.1) if d == 1 and floor >= 0 else floor)
    wanted = X.astype(float)
    np.testing.assert_allclose(mean, wanted.mean(axis=1), rtol=1e-6)
    wanted -= wanted.mean(axis=1, keepdims=True)
    if floor < 0:
        assert (scale == 1).all()
    elif d > 1:
        np.testing.assert_allclose(scale, np.sqrt(np.square(wanted).mean(axis=1) + floor), rtol=1e-5)
        wanted /= scale[:, None]
    np.testing.assert_allclose(found, wanted, atol=1e-5 if dtype == "float32" else 1e-12)
    alone = X[-1:].copy()
    _core.normalize(alone, mean[:1], scale[:1], floor)
    assert d == 1 or alone.tobytes() == found[-1:].tobytes()


def test_wrong_arguments_of_that_kernel():
    for args, words in (
        ((np.zeros((2, 3)), np.zeros(3), np.zeros(2)), r"normalize: mean has shape \(3,\), wanted \(2,\)"),
        ((np.zeros((2, 0)), np.zeros(2), np.zeros(2)), "wanted at least one column"),
        ((np.zeros((2, 3)), *2 * [np.zeros(2)]), "shares memory"),
    ):
        with pytest.raises(ValueError, match=words):
            _core.normalize(*args)

"""Generated images have the statistics of photographs, the control has their spectrum alone.

Berkeley photographs measured the same way: slope -1.1, gradient kurtosis 22.
"""

import numpy as np
import pytest

from featlearn.errors import ConfigError
from featlearn.patches import dead_leaves
from featlearn.patches.dead_leaves import NAMES, Generated, cosine, generate
from featlearn.random import Purpose, Random

LEAVES = ("dead-leaves", "dead-leaves-photo")


def spectrum_slope(image):
    """Of log amplitude over log frequency between .02 and .2 cycles a pixel, each octave of equal weight."""
    n = len(image)
    window = np.hanning(n)
    amplitude = abs(np.fft.fft2((image - image.mean()) * window * window[:, None]))
    frequency = np.fft.fftfreq(n)
    ring = np.rint(np.hypot(frequency, frequency[:, None]) * n).astype(int).ravel()
    radial = np.bincount(ring, amplitude.ravel())[1:] / np.bincount(ring)[1:]
    x = np.linspace(np.log(0.02), np.log(0.2), 20)
    return np.polyfit(x, np.interp(x, np.log(np.arange(1, len(radial) + 1) / n), np.log(radial)), 1)[0]


def gradient_kurtosis(image):
    """Of the differences of neighbours; 3 for Gaussian noise."""
    g = np.concatenate([np.diff(image, axis=0).ravel(), np.diff(image, axis=1).ravel()])
    g = g - g.mean()
    return (g**4).mean() / (g**2).mean() ** 2


@pytest.fixture(scope="module")
def images():
    return {name: [generate(name, i, 256, 0)[:, :, 0].astype(float) for i in range(4)] for name in NAMES}


@pytest.mark.parametrize("name", LEAVES)
def test_leaves_have_the_statistics_of_photographs(images, name):
    slopes = [spectrum_slope(image) for image in images[name]]
    assert -1.6 <= np.mean(slopes) <= -1.0
    assert min(gradient_kurtosis(image) for image in images[name]) >= 8


def test_the_photo_preset_is_nearer_to_photographs(images):
    distance = {
        name: abs(np.mean([spectrum_slope(image) for image in images[name]]) + 1.1) for name in LEAVES
    }
    assert distance["dead-leaves-photo"] < distance["dead-leaves"]


def test_pink_noise_has_the_spectrum_but_no_edges(images):
    assert abs(np.mean([spectrum_slope(image) for image in images["pink-noise"]]) + 1) < 0.1
    assert abs(np.mean([gradient_kurtosis(image) for image in images["pink-noise"]]) - 3) < 0.2


@pytest.mark.parametrize("name", LEAVES)
def test_leaves_have_flat_insides_and_all_greys(images, name):
    grey = np.array(images[name])
    assert (np.diff(grey, axis=1) == 0).mean() > 0.3
    assert grey.min() < 15
    assert grey.max() > 240
    assert abs(grey.mean() - 127.5) < 40


def slow_discs(seed, i, n, r_min):
    """Each disc of the whole draw laid under those before it, pixel by pixel."""
    grey, y, x = np.full((n, n), np.nan), *(np.mgrid[:n, :n] + 0.5)
    for draw in range(99):
        u = Random(seed).uniform(4 * dead_leaves.DISCS, Purpose.IMAGES, (i << 16) | draw)
        for a, b, c, shade in u.reshape(4, -1).T:
            cx, cy = (t * (n + 2 * dead_leaves.R_MAX) - dead_leaves.R_MAX for t in (a, b))
            r2 = r_min**2 / (1 - c * (1 - (r_min / dead_leaves.R_MAX) ** 2))
            grey[np.isnan(grey) & ((x - cx) ** 2 + (y - cy) ** 2 < r2)] = shade
        if not np.isnan(grey).any():
            return grey
    raise AssertionError("holes are left")


@pytest.mark.parametrize("few", [0, 100, 10**6])
def test_the_first_disc_over_a_pixel_is_seen(monkeypatch, few):
    monkeypatch.setattr(dead_leaves, "FEW", few)
    monkeypatch.setattr(dead_leaves, "R_MAX", 20)
    monkeypatch.setattr(dead_leaves, "DISCS", 64)
    assert np.array_equal(dead_leaves._discs(Random(5), 2, 30, 4.0), slow_discs(5, 2, 30, 4.0))


@pytest.mark.parametrize("taps", [dead_leaves._SHARP, dead_leaves._BLURRED])
def test_shrinking_is_a_weighted_mean_around_each_pair_of_pixels(taps):
    painted = np.random.default_rng(0).random((20, 20))
    margin = len(taps) // 2 - 1
    padded = np.pad(painted, margin, mode="edge")
    wanted = [
        [(np.outer(taps, taps) * padded[r : r + len(taps), c : c + len(taps)]).sum() for c in range(0, 20, 2)]
        for r in range(0, 20, 2)
    ]
    assert sum(taps) == 1
    assert abs(dead_leaves._shrink(painted, taps) - wanted).max() < 1e-14


def test_the_blur_is_a_gaussian_of_seven_tenths_of_a_pixel():
    at = np.arange(len(dead_leaves._GAUSS)) - len(dead_leaves._GAUSS) // 2
    exact = np.exp(-0.5 * (at / 1.4) ** 2)
    assert abs(np.array(dead_leaves._GAUSS) / 1024 - exact / exact.sum()).max() < 0.6 / 1024


@pytest.mark.parametrize("name", NAMES)
def test_an_image_depends_on_its_kind_number_and_seed_alone(name):
    image = generate(name, 3, 64, 9)
    assert image.shape == (64, 64, 1)
    assert image.dtype == np.uint8
    assert np.array_equal(generate(name, 3, 64, 9), image)
    others = [
        generate(name, 4, 64, 9),
        generate(name, 3, 64, 8),
        *(generate(n, 3, 64, 9) for n in NAMES if n != name),
    ]
    assert not any(np.array_equal(other, image) for other in others)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 2, 33])
def test_any_size(name, size):
    assert generate(name, 0, size, 0).shape == (size, size, 1)


@pytest.mark.parametrize("n", [1, 2, 37, 256])
def test_cosine_of_integer_parts_of_a_turn(n):
    q = np.arange(-5 * n, 9 * n)
    assert abs(cosine(q, n) - np.cos(np.pi / 2 * q / n)).max() < 2e-14


def test_pink_noise_is_the_same_in_both_directions(images):
    power = [
        np.array([(np.diff(image, axis=a) ** 2).mean() for image in images["pink-noise"]]).mean()
        for a in (0, 1)
    ]
    assert abs(power[0] / power[1] - 1) < 0.05


def test_generated_images_are_a_source():
    source = Generated("dead-leaves", 3, size=32, seed=4)
    assert len(source) == 3
    assert source.names() == ["dead-leaves 0", "dead-leaves 1", "dead-leaves 2"]
    assert np.array_equal(source.read(2), generate("dead-leaves", 2, 32, 4))
    assert source.labels is None
    assert source.label_names is None
    assert not source.whole_by_default


@pytest.mark.parametrize("settings", [("leaves", 3), ("dead-leaves", 0), ("dead-leaves", 3, 0)])
def test_impossible_sources_are_refused(settings):
    with pytest.raises(ConfigError, match=r"^[^\n]*must be[^\n]*$"):
        Generated(*settings)


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'moss'.*dead-leaves, dead-leaves-photo, pink-noise"):
        generate("moss", 0, 8, 0)

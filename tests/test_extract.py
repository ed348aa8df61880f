"""Patches are what their origin says, wherever memory ends a stripe, and all places are equally likely."""

import tracemalloc

import numpy as np
import pytest

from featlearn.errors import ConfigError, DataError
from featlearn.patches import extract
from featlearn.patches.settings import Extraction
from featlearn.patches.survey import survey


class Fake:
    """A source of given images; None stands for one that cannot be read."""

    name = "fake"
    whole_by_default = False

    def __init__(self, images, labels=None, label_names=None, prefix="image"):
        self.images, self.labels, self.label_names, self.prefix = images, labels, label_names, prefix
        self.reads = 0

    def __len__(self):
        return len(self.images)

    def names(self):
        return [f"{self.prefix}{i}" for i in range(len(self.images))]

    def read(self, i):
        self.reads += 1
        if self.images[i] is None:
            raise DataError(f"{self.prefix}{i}: truncated; save it again")
        return self.images[i]


def noise(seed, *shape, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    if dtype == np.float32:
        return rng.random(shape, np.float32)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def photographs(channels=1, dtype=np.uint8):
    return [
        noise(i, h, w, channels, dtype=dtype)
        for i, (h, w) in enumerate(((40, 30), (25, 61), (12, 12), (33, 20)))
    ]


def collect(plan):
    """All blocks together, and that their sizes add up to what the plan says."""
    blocks = list(plan.blocks())
    patches = np.concatenate([block.patches for block in blocks])
    origin = np.concatenate([block.origin for block in blocks])
    labels = None if blocks[0].labels is None else np.concatenate([block.labels for block in blocks])
    assert patches.shape == (plan.n, plan.n_pixels) == (plan.n, np.prod(plan.shape))
    assert patches.dtype == plan.dtype
    assert origin.shape == (plan.n, 3)
    assert plan.n_bytes == patches.nbytes + origin.nbytes + (0 if labels is None else labels.nbytes)
    return patches, origin, labels


def at(images, origin, size):
    """Each patch cut anew from its origin."""
    return np.array([images[i][r : r + size[0], c : c + size[1]].reshape(-1) for i, r, c in origin])


@pytest.mark.parametrize(
    ("shapes", "like", "whole"),
    [
        ([(28, 28)] * 100, None, True),
        ([(28, 28)] * 99, None, False),
        ([(16, 13)] * 100, None, True),
        ([(64, 30)] * 100, None, True),
        ([(65, 30)] * 100, None, False),
        ([(30, 65)] * 100, None, False),
        ([(28, 28)] * 100 + [(28, 27)], None, False),
        ([(28, 28)] * 100 + [None], None, True),
        ([(28, 28)] * 99 + [None], None, False),
        ([(32, 32)] * 100, (28, 28), True),
        ([(32, 32)] * 99, (28, 28), False),
        ([(90, 80)] * 3, (90, 80), True),
        ([(90, 80)] * 2 + [(91, 80)], (90, 80), False),
    ],
)
def test_small_images_of_one_size_are_taken_whole(shapes, like, whole):
    """So are those of the size of the patches that they shall be like; what cannot be read does not count."""
    images = [None if shape is None else np.zeros((*shape, 1), np.uint8) for shape in shapes]
    plan = survey([Fake(images[:40]), Fake(images[40:])], Extraction(), like=like)
    assert plan.extraction.size == ("whole" if whole else like or (12, 12))
    assert plan.extraction.count == (None if whole else 40_000)
    kept = [shape for shape in shapes if shape is not None]
    assert plan.n == (len(kept) if whole else 40_000)
    for said in (Extraction((8, 8)), Extraction(count=5), Extraction(stride=8), Extraction(drop_flat=0.5)):
        cut = survey([Fake(images)], said, like=like).extraction
        assert cut.size == (said.size or like or (12, 12))
        assert cut.drop_flat in (said.drop_flat, None, 0.0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (5, 11), (12, 12), (1, 1)])
def test_random_patches_are_what_their_origin_says(channels, dtype, size):
    images = photographs(channels, dtype)
    plan = survey([Fake(images[:1]), Fake(images[1:], prefix="other")], Extraction(size, count=500, seed=3))
    patches, origin, labels = collect(plan)
    assert plan.shape == (*size, channels)
    assert plan.images == ["image0", "other0", "other1", "other2"]
    assert labels is None
    assert np.array_equal(patches, at(images, origin, size))


def test_a_row_is_counted_from_the_seed_and_its_number():
    source = [Fake(photographs())]
    long, long_origin, _ = collect(survey(source, Extraction((8, 8), count=900, seed=1)))
    short, _, _ = collect(survey(source, Extraction((8, 8), count=100, seed=1)))
    other, _, _ = collect(survey(source, Extraction((8, 8), count=100, seed=2)))
    assert np.array_equal(long[:100], short)
    assert not np.array_equal(short, other)
    assert (np.diff(long_origin[:, 0]) < 0).any()  # not sorted by image


def test_later_draws_do_not_repeat_earlier_ones(monkeypatch):
    monkeypatch.setattr(extract, "DRAW", 100)
    _, origin, _ = collect(survey([Fake(photographs())], Extraction((8, 8), count=300)))
    first, second, third = origin.reshape(3, 100, 3)
    assert (first != second).any(axis=1).mean() > 0.9
    assert (second != third).any(axis=1).mean() > 0.9


def test_all_places_of_all_images_are_equally_likely():
    images = [np.zeros((9, 13, 1), np.uint8), np.zeros((5, 5, 1), np.uint8)]
    _, origin, _ = collect(survey([Fake(images)], Extraction((4, 3), count=50_000, seed=5)))
    places = {(0, r, c) for r in range(6) for c in range(11)} | {
        (1, r, c) for r in range(2) for c in range(3)
    }
    seen, counts = np.unique(origin, axis=0, return_counts=True)
    assert {tuple(row) for row in seen.tolist()} == places
    expected = 50_000 / len(places)
    chi2 = ((counts - expected) ** 2 / expected).sum()
    freedom = len(places) - 1
    assert abs(chi2 - freedom) < 5 * np.sqrt(2 * freedom)
    image = origin[:, 0] - origin[:, 0].mean()
    # neighbours are independent
    assert abs((image[1:] * image[:-1]).mean() / image.var()) < 5 / np.sqrt(50_000)


@pytest.mark.parametrize("drop_flat", [0.0, 0.3])
def test_stripes_blocks_and_the_cache_change_nothing(monkeypatch, drop_flat):
    source = Fake([*photographs(), *photographs()], labels=np.arange(8))
    extraction = Extraction((8, 8), count=400, drop_flat=drop_flat, seed=7)
    wanted = collect(survey([source], extraction))
    for stripe, block, piece, draw in (
        (1, 1, 1, 1 << 16),
        (20_000, 3000, 700, 1 << 16),
        (1 << 20, 1 << 20, 64, 1 << 16),
    ):
        for name, value in (
            ("STRIPE", stripe),
            ("BLOCK", block),
            ("PIECE", piece),
            ("DRAW", draw),
            ("CACHE", 2000),
        ):
            monkeypatch.setattr(extract, name, value)
        found = collect(survey([source], extraction))
        assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_drop_flat_leaves_out_the_patches_of_least_variance(dtype, channels):
    images = photographs(channels, dtype)
    for image in images:
        image[::2] //= 2 if dtype != np.float32 else 1
        image[:, :14] = 0 if dtype != np.float32 else 0.25  # many patches without any variance: ties
    all_patches, all_origin, _ = collect(survey([Fake(images)], Extraction((6, 6), count=1000, seed=2)))
    plan = survey([Fake(images)], Extraction((6, 6), count=800, drop_flat=0.2, seed=2))
    patches, origin, _ = collect(plan)
    variance = all_patches.reshape(1000, 36, channels).astype(np.float64).var(axis=1).sum(axis=1)
    assert (variance < 1e-12).sum() > 200  # so that ties decide
    kept = np.sort(np.argsort(-np.round(variance, 9), kind="stable")[:800])
    assert np.array_equal(origin, all_origin[kept])
    assert np.array_equal(patches, all_patches[kept])


def test_grid_patches_come_row_by_row_and_image_by_image():
    images = photographs(3)
    patches, origin, _ = collect(survey([Fake(images)], Extraction((10, 7), stride=4)))
    wanted = [
        (i, r, c)
        for i, image in enumerate(images)
        for r in range(0, image.shape[0] - 9, 4)
        for c in range(0, image.shape[1] - 6, 4)
    ]
    assert origin.tolist() == [list(place) for place in wanted]
    assert np.array_equal(patches, at(images, origin, (10, 7)))


def test_whole_images_are_rows_and_other_shapes_are_skipped():
    images = [noise(0, 5, 4, 1), *(noise(i, 4, 5, 1) for i in range(1, 5))]
    said = []
    plan = survey([Fake(images, labels=np.array([9, 8, 7, 6, 5]))], Extraction("whole"), said.append)
    patches, origin, labels = collect(plan)
    assert (plan.n, plan.shape, plan.skipped) == (4, (4, 5, 1), 1)
    assert plan.images == ["image1", "image2", "image3", "image4"]
    assert np.array_equal(patches, np.array(images[1:]).reshape(4, 20))
    assert origin.tolist() == [[i, 0, 0] for i in range(4)]
    assert labels.tolist() == [8, 7, 6, 5]
    assert len(said) == 1
    assert "image0: 5x4 pixels, wanted of 4x5" in said[0]


def test_every_image_is_read_once_for_the_survey_and_cached_ones_never_again():
    source, ticks = Fake(photographs()), []
    plan = survey([source], Extraction((8, 8), count=100), tick=lambda: ticks.append(1))
    assert source.reads == len(ticks) == 4
    collect(plan)
    assert source.reads == 4


def test_unreadable_and_small_images_are_named_counted_and_skipped():
    images = photographs()
    source = Fake([None, images[0], images[2], None, images[1]], labels=np.arange(5))
    said = []
    plan = survey([source], Extraction((16, 16), count=300), said.append)
    patches, origin, labels = collect(plan)
    assert said == [
        "skipped: image0: truncated; save it again",
        "skipped: image3: truncated; save it again",
        "skipped: image2: 12x12 pixels, wanted at least 16x16",
    ]
    assert plan.skipped == 3
    assert plan.images == ["image1", "image4"]
    assert np.array_equal(patches, at([images[0], images[1]], origin, (16, 16)))
    assert np.array_equal(labels, np.array([1, 4])[origin[:, 0]])


def test_of_many_skipped_images_ten_are_named_and_all_counted():
    said = []
    survey([Fake([None] * 30 + photographs())], Extraction((8, 8), count=3), said.append)
    assert len(said) == 11
    assert said[-1] == "skipped 30 of 34 images in all"


@pytest.mark.parametrize("bad", [None, noise(0, 7, 30, 1)])
def test_strict_makes_a_skipped_image_an_error(bad):
    with pytest.raises(DataError, match=r"image1.*--strict"):
        survey([Fake([noise(1, 20, 20, 1), bad])], Extraction((8, 8), count=3), strict=True)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "no images"),
        ([None, None], "none of 2 images can be read: image0"),
        (
            [noise(0, 9, 40, 1), noise(0, 30, 8, 1)],
            "--size 16x16: larger than each of 2 images.*30.*40.*smaller --size",
        ),
        ([noise(0, 20, 20, 1), noise(0, 20, 20, 3)], "image1: grey and colour"),
    ],
)
def test_nothing_to_cut_is_one_line(images, message):
    with pytest.raises(DataError, match=message) as caught:
        survey([Fake(images)], Extraction((16, 16), count=3))
    assert "\n" not in str(caught.value)


def test_an_image_that_changes_meanwhile_is_an_error(monkeypatch):
    monkeypatch.setattr(extract, "CACHE", 0)
    source = Fake(photographs())
    plan = survey([source], Extraction((8, 8), count=50))
    source.images = [image[:-1] for image in source.images]
    with pytest.raises(DataError, match="has changed"):
        list(plan.blocks())


def test_the_widest_pixels_decide_and_greys_stay_the_same():
    eight, sixteen = noise(0, 9, 9, 1), noise(1, 9, 9, 1, dtype=np.uint16)
    real = noise(2, 9, 9, 1, dtype=np.float32)
    plan = survey([Fake([eight, sixteen])], Extraction("whole"))
    patches, _, _ = collect(plan)
    assert plan.dtype == np.uint16
    assert np.array_equal(patches[0], eight.reshape(-1).astype(np.uint16) * 257)
    assert np.array_equal(patches[1], sixteen.reshape(-1))
    patches, _, _ = collect(survey([Fake([eight, sixteen, real])], Extraction((9, 9), stride=1)))
    assert patches.dtype == np.float32
    assert np.array_equal(patches[0], (eight.reshape(-1) / 255).astype(np.float32))
    assert np.array_equal(patches[1], (sixteen.reshape(-1) / 65535).astype(np.float32))
    assert np.array_equal(patches[2], real.reshape(-1))


def test_label_names_of_several_sources_are_united():
    one = Fake(photographs()[:2], np.array([0, 1]), ["cat", "dog"])
    two = Fake(photographs()[2:], np.array([1, 0]), ["dog", "eel"], prefix="b")
    plan = survey([one, two], Extraction((8, 8), count=400))
    _, origin, labels = collect(plan)
    assert plan.label_names == ["cat", "dog", "eel"]
    assert np.array_equal(labels, np.array([0, 1, 2, 1])[origin[:, 0]])


def test_labels_of_some_inputs_only_are_refused():
    with pytest.raises(DataError, match="only some of the inputs have labels"):
        survey([Fake(photographs(), np.arange(4)), Fake(photographs())], Extraction((8, 8), count=4))


@pytest.mark.parametrize(
    "settings",
    [
        {"size": (8, 8), "count": 3, "stride": 2},
        {"size": "whole", "count": 3},
        {"size": "all"},
        {"size": (8, 8, 8)},
        {"size": (8, 2.5)},
        {"size": (0, 8), "count": 3},
        {"size": (8, 8), "count": 0},
        {"size": (8, 8), "stride": -1},
        {"size": "whole", "stride": 2},
        {"size": (8, 8), "stride": 2, "drop_flat": 0.2},
        {"size": (8, 8), "count": 3, "drop_flat": 1.0},
    ],
)
def test_contradictions_are_refused(settings):
    with pytest.raises(ConfigError, match=r"^--[^\n]*$"):
        Extraction(**settings)


@pytest.mark.parametrize(
    "extraction", [Extraction((16, 16), 200_000, drop_flat=0.2), Extraction((16, 16), stride=1)]
)
def test_memory_stays_bounded(monkeypatch, extraction):
    """50 MB of patches (100 on the grid) through stripes of 4 MB."""
    monkeypatch.setattr(extract, "STRIPE", 4 << 20)
    monkeypatch.setattr(extract, "BLOCK", 1 << 20)
    source = Fake([noise(i, 330, 330, 1) for i in range(4)])
    tracemalloc.start()
    try:
        n = sum(len(block.patches) for block in survey([source], extraction).blocks())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n * 256 > 50e6
    assert peak < 25e6

"""The settings of patches: what to cut out of images, and what to do with the pixels."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featlearn.errors import ConfigError
from featlearn.settings import check, fill, seed_setting, setting

WHOLE = "whole"
SIZE = (12, 12)  # the default, as the next two
COUNT = 40_000
DROP_FLAT = 0.2  # of patches that are whitened
ENOUGH = 10  # patches a pixel from which on they are whitened unasked
OVER_DATA = ("standardize", "global")  # normalisations whose means and deviations are those of the data set
WIDEST = 8192  # pixels up to which whitening is fitted: its matrices take pixels^2 of memory


@dataclass(frozen=True)
class Extraction:
    """What to cut out of images; a field None is not said, `resolve` decides it. Raises ConfigError."""

    size: tuple[int, int] | str | None = setting(
        None,
        "height and width of a patch in pixels, or whole  "
        "[default: 12; whole for IDX, CIFAR-10, rows, and for 100 or "
        "more images of one size of at most 64x64, unless they are cut by --count, --stride or --drop-flat]",
        low=1,
        high=65535,
        metavar=f"N|HxW|{WHOLE}",
    )
    count: int | None = setting(
        None,
        "cut N patches at random places  [default: 40000 without --stride]",
        low=1,
        off="every place of the grid, or every image",
    )
    stride: int | None = setting(None, "cut on a grid with this step", low=1, high=65535, off="random places")
    drop_flat: float | None = setting(
        None,
        "leave out this share of the random patches, those of lowest variance  "
        "[default: 0.2 of what is whitened, else 0]",
        low=0,
        below=1,
    )
    seed: int = seed_setting()

    def __post_init__(self) -> None:
        check(self)
        if isinstance(self.size, str) and self.size != WHOLE:
            raise ConfigError(f"--size: got {self.size!r}, must be height and width, or {WHOLE}")
        if self.count is not None and self.stride is not None:
            raise ConfigError("--count cuts at random places, --stride on a grid: give one of them")
        if self.whole and (self.count or self.stride or self.drop_flat):
            raise ConfigError(
                "--size whole takes each image once: leave out --count, --stride and --drop-flat"
            )
        if self.drop_flat and self.stride is not None:
            raise ConfigError("--drop-flat chooses among random patches: leave out --stride")

    @property
    def whole(self) -> bool:
        """Whether each image is one patch."""
        return self.size == WHOLE

    @property
    def is_left_open(self) -> bool:
        """Whether nothing was said of how images are cut."""
        return not (self.size or self.count or self.stride or self.drop_flat)

    def resolve(
        self, whole_images: bool = False, whitened: bool | None = None, like: tuple[int, int] | None = None
    ) -> "Extraction":
        """Return the extraction with all that is not said decided.

        `whole_images`: they come whole unless a cut is asked for. `whitened`: flat patches would rule the
        whitening; while that is not known, the share of them to drop stays open. `like`: the size of the
        patches of another data set.
        """
        if whole_images and self.is_left_open:
            return replace(self, size=WHOLE, drop_flat=0.0)
        random = not (self.whole or self.stride)
        usual: dict[str, Any] = {"size": like or SIZE, "count": COUNT if random else None}
        if whitened is not None or not random:
            usual["drop_flat"] = DROP_FLAT if whitened and random else 0.0
        return fill(self, usual)


@dataclass(frozen=True)
class PreprocessSpec:
    """What to do with the pixels. Raises ConfigError for values out of range and for contradictions."""

    normalize: str | None = setting(
        None,
        "center each patch; scale its contrast too, or standardize-patch: to mean 0 and deviation 1 exactly, "
        "a flat one to zeros; or by the data set: standardize each pixel, global for one mean and one "
        "deviation of all values  "
        "[default: center; none for whole images without --whiten and with --threshold]",
        choices=("none", "center", "contrast", "standardize-patch", "standardize", "global"),
    )
    whiten: str | None = setting(
        None,
        "decorrelate the pixels, keeping them pixels (zca) or not (pca)  "
        "[default: zca; none for whole images, with --normalize, --threshold and --to]",
        choices=("none", "zca", "pca"),
    )
    epsilon: float = setting(
        0.1, "whitening: added to the eigenvalues, in units of their mean", low=0, needs="whiten=zca|pca"
    )
    clip: float | None = setting(
        None, "cut values beyond this many standard deviations", above=0, off="nothing is cut"
    )
    to: tuple[float, float] | None = setting(
        None, "map the clipped values to this range: LOW,HIGH", off="not mapped"
    )
    threshold: float | None = setting(
        None, "first make pixels binary: 1 above this value, else 0", low=0, below=1, off="greys stay"
    )

    def __post_init__(self) -> None:
        check(self)
        if self.normalize is not None and self.whiten is None:
            object.__setattr__(self, "whiten", "none")  # who says how to normalize has said all
        if self.to is None:
            return
        if self.clip is None:
            raise ConfigError("--to: maps clipped values, so it needs --clip, e.g. --clip 3")
        if not (np.isfinite(self.to).all() and self.to[0] < self.to[1]):
            raise ConfigError(f"--to: got {self.to[0]:g},{self.to[1]:g}, wanted LOW,HIGH with LOW below HIGH")

    @property
    def is_left_open(self) -> bool:
        """Whether nothing was said of what is done to the pixels; to clip and to map comes after it."""
        return self.normalize is None and self.whiten is None and self.threshold is None

    def resolve(self, whole: bool = False, can_whiten: bool = True) -> "PreprocessSpec":
        """Return the spec with normalization and whitening decided, for cut patches or for `whole` images.

        Patches cut out of images are centred and ZCA-whitened where that `can_whiten` them; whole images and
        binary pixels stay as they are. What is whitened is centred. What is mapped to a range is centred
        alone, as in Ng's CS294A lecture: whitened so, hardly a model of units with a range learns from it
        (docs/images.md).
        """
        untouched = whole or self.threshold is not None
        whiten = self.whiten or ("zca" if can_whiten and not untouched and self.to is None else "none")
        return fill(
            self, {"normalize": "none" if untouched and whiten == "none" else "center", "whiten": whiten}
        )


def whitening_obstacle(n: int, d: int) -> str:
    """Return why n patches of d pixels are not whitened unasked, with the remedy; empty if they are.

    Whitening gives other patches of the same photographs the variance of those that it was fitted on only
    where there were enough of these: 1.3 times it at 10 patches a pixel, 2 to 3 times at 2, 4 to 6 times at 1
    (bench/patches.py).
    """
    if d > WIDEST:
        return f"{d:,} pixels are too many, at most {WIDEST:,} can be; take a smaller --size"
    if n < ENOUGH * d:
        return f"{n:,} patches are too few for {d:,} pixels; take at least {ENOUGH * d:,} or a smaller --size"
    return ""

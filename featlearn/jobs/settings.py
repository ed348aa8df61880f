"""Settings of jobs that are none of a model, its training, a preprocessing or a measure.

They import nothing that takes time: help pages are made of them.
"""

from dataclasses import dataclass

from featlearn.errors import ConfigError
from featlearn.files.limits import MAX_PIXELS
from featlearn.files.scale import parse_scale
from featlearn.settings import check, seed_setting, setting

WIDER = "input=larger_image"  # what is larger than a model's patches
QUADRANTS = (2, 2)


@dataclass(frozen=True)
class Checked:
    """Settings that are held against their ranges when they are made. Raises ConfigError."""

    def __post_init__(self) -> None:
        check(self)


def max_pixels_setting() -> int:
    """Return the field for the largest image that is decoded."""
    field: int = setting(
        MAX_PIXELS, "refuse images of more pixels; each may take 16 bytes while it is decoded", low=1
    )
    return field


@dataclass(frozen=True)
class Seed(Checked):
    """Where random numbers begin."""

    seed: int = seed_setting()


@dataclass(frozen=True)
class ImageFiles(Checked):
    """Which images are read out of files."""

    max_pixels: int = max_pixels_setting()
    labels: str | None = setting(None, "labels: an IDX file, or the folders' names", metavar="FILE|folders")
    first: int | None = setting(None, "use only the first N images", low=1)
    exclude: tuple[str, ...] = setting(
        (),
        "leave out files and folders whose name matches this pattern of the shell, or their path below the "
        "folder if it has a slash. Again for each other pattern",
        metavar="PATTERN",
    )
    strict: bool = setting(False, "an image that cannot be used is an error, not skipped", flag=True)


@dataclass(frozen=True)
class Images(ImageFiles):
    """Which images are read or made, and how."""

    color: str | None = setting(
        None, "color mode  [default: that of --like or of a data set, else gray]", choices=("gray", "rgb")
    )
    linear: bool = setting(
        False,
        "undo the gamma of sRGB: 16-bit values proportional to light; greys are its luminance",
        flag=True,
    )
    resize: str | float | None = setting(
        None,
        "shrink each image by averaging areas before anything is cut: to a width and height, or by a factor "
        "below 1. One that would be enlarged is skipped  [default: that of --like, else none]",
        metavar="WxH|FACTOR",
        off="images keep their size",
    )
    shuffle: bool = setting(False, "take the images, or the rows of a data set, in random order", flag=True)
    pairs: bool = setting(
        False,
        "make pairs of each image and the next of its folder, array or file of several frames, "
        "which are cut at one place; for --model gated-rbm",
        flag=True,
    )
    images: int | None = setting(
        None,
        "how many 256x256 images to generate  [default: a thousandth of --count, 8 to 64]",
        low=1,
        high=65535,
    )

    def __post_init__(self) -> None:
        check(self)
        if self.resize is not None:
            parse_scale(self.resize)

    @property
    def scale(self) -> str | None:
        """The text of --resize."""
        return None if self.resize is None else str(self.resize)


@dataclass(frozen=True)
class RunSettings(Checked):
    """Settings of a run beside those of its training; only the last two change what is learned."""

    checkpoint_every: float = setting(
        60.0, "how often to write OUTPUT.ckpt while training", low=0, metavar="SECONDS", infinite=True
    )
    log: str | None = setting(
        None, "write each epoch's measures to this file as they come, a line of JSON each", metavar="FILE"
    )
    keep_optimizer: bool = setting(
        False,
        "keep what more epochs need in the model's file: the same command with more --epochs and --resume "
        "goes on with the finished model",
        flag=True,
    )
    seed: int = seed_setting()
    dtype: str = setting("float32", "precision of the computation", choices=("float32", "float64"))


@dataclass(frozen=True)
class Reconstruction(Checked):
    """What to reconstruct of an input."""

    count: int = setting(
        100, "how many patches of a data set to draw", low=1, high=10_000, needs="input=data_set"
    )
    stride: int = setting(1, "step between the patches of a photograph", low=1, needs="input=photograph")
    alone: bool = setting(
        False,
        "draw the reconstruction of a photograph alone, pixel for pixel, not beside the photograph",
        flag=True,
        needs="input=photograph",
    )
    labels: bool = setting(True, "write which is which and how large the error is", without="alone")
    max_pixels: int = max_pixels_setting()


NO_POOL = "none"


@dataclass(frozen=True)
class OneLayer(Checked):
    """Which layer of a stack is used as if it were the top one."""

    layer: int | None = setting(
        None, "write the codes of this layer of a stack, 1 the lowest  [default: the top one]", low=1
    )


@dataclass(frozen=True)
class Sliding(Checked):
    """How a model slides over whole images, and what becomes of its codes."""

    stride: int = setting(1, "step between the places of a model in an image", low=1, high=65535, needs=WIDER)
    pool: tuple[int, int] | str | None = setting(
        None,
        "pool the codes of each cell of a grid over the image, e.g. 3x2 for 3 rows and 2 columns of cells; "
        "none keeps the codes of all places  [default: 2x2, its quadrants]",
        low=1,
        high=65535,
        needs=WIDER,
        metavar=f"N|HxW|{NO_POOL}",
    )
    pooling: str = setting(
        "sum", "what is kept of the codes of a cell", choices=("sum", "mean", "max"), needs=WIDER
    )
    normalize: str = setting(
        "none",
        "standardize: each value of the codes over the data set, when they are read",
        choices=("none", "standardize"),
    )

    def __post_init__(self) -> None:
        check(self)
        if isinstance(self.pool, str) and self.pool != NO_POOL:
            raise ConfigError(f"--pool: got {self.pool!r}, must be rows and columns, or {NO_POOL}")

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of cells; None where all places are kept."""
        return None if isinstance(self.pool, str) else self.pool or QUADRANTS


@dataclass(frozen=True)
class Chains(Checked):
    """Which Markov chains to run."""

    count: int | None = setting(
        None,
        "how many chains to run, of each --class  [default: 100; of several classes 10]",
        low=1,
        high=10_000,
    )
    steps: int = setting(1000, "steps of each chain", low=1)
    every: int | None = setting(
        None,
        "draw all chains every N steps: one column per chain, one line per time, --data first  "
        "[default: the last step alone]",
        low=1,
    )
    data: str | None = setting(
        None,
        "begin the chains at the first rows of this data set  [default: noise]",
        metavar="DATASET",
    )
    class_: str | None = setting(
        None,
        "hold the chains to these classes, one line of the picture each: 7, several as 3,5, or all  "
        "[default: classes are drawn too]",
        metavar="CLASSES",
    )
    labels: bool = setting(
        False, "write below each sample its class, or which chain it is of, and with --every which step"
    )
    seed: int = seed_setting()

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes; None for all."""
        return None if self.class_ in (None, "all") else tuple(str(self.class_).split(","))

    @property
    def several(self) -> bool:
        """Whether there are lines of more than one class."""
        return self.class_ is not None and (self.classes is None or len(self.classes) > 1)

    @property
    def each(self) -> int:
        """The number of chains, of each class."""
        return self.count or (10 if self.several else 100)


@dataclass(frozen=True)
class GradientCheck(Checked):
    """How closely gradients are looked at."""

    tolerance: float = setting(
        1e-7, "exit 1 when a difference exceeds this", low=0, metavar="X", infinite=True
    )
    epsilon: float = setting(
        4e-3,
        "step of the differences; their error is of its sixth power, that of rounding grows as it shrinks",
        low=1e-9,
        high=1,
        metavar="X",
        infinite=True,
    )
    problems: int = setting(3, "random problems for each loss", low=1)
    seed: int = seed_setting()

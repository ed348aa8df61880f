"""Settings of jobs that are none of a model, its training, a preprocessing or a measure.

They import nothing that takes time: help pages are made of them.
"""

from dataclasses import dataclass

from featlearn.errors import ConfigError
from featlearn.files.limits import MAX_PIXELS
from featlearn.settings import check, seed_setting, setting

WIDER = "input=larger_image"  # what is larger than a model's patches
QUADRANTS = (2, 2)
TILES = "what=filters|patches"  # what has tiles


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
    first: int | None = setting(None, "use only the first so many of the images", low=1)
    strict: bool = setting(False, "an image that cannot be used is an error, not skipped", flag=True)


@dataclass(frozen=True)
class Images(ImageFiles):
    """Which images are read or made, and how."""

    color: str | None = setting(
        None, "color mode  [default: that of --like, else gray]", choices=("gray", "rgb")
    )
    images: int | None = setting(
        None,
        "how many 256x256 images to generate  [default: a thousandth of --count, 8 to 64]",
        low=1,
        high=65535,
    )


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
class Finetuning(Checked):
    """What a net begins as."""

    random: bool = setting(
        False, "begin at random weights of the same shape, as a control for what was learned", flag=True
    )
    activation: str | None = setting(
        None,
        "hidden units of a net with random weights; one for all layers, or one each (sigmoid,linear)  "
        "[default: the model's]",
        needs="random",
    )
    unlabelled: str | None = setting(
        None,
        "learn from this data set, too, without its classes: each row's likeliest class is its target, "
        "the more weight the longer it has learned",
        metavar="DATASET",
        off="no such rows",
        without="unrolled",
    )
    unrolled: bool = setting(
        False, "fine-tune encoder and decoder to give rows back, which needs no labels", flag=True
    )
    refit: bool = setting(
        False,
        "at the end begin again, with the held-out rows too, for as many epochs as were best",
        flag=True,
    )
    code: str | None = setting(
        None, "units of the code  [default: the model's]", choices=("linear", "sigmoid"), needs="unrolled"
    )
    up_down: bool = setting(
        False,
        "fine-tune a deep belief net with classes in its top by the up-down algorithm instead, so that it "
        "goes on to make rows, too",
        flag=True,
    )
    cd: int = setting(3, "Gibbs steps of the top at each update", low=1, high=255, needs="up_down")


@dataclass(frozen=True)
class FewLabels(Checked):
    """Which nets learn the few labelled rows of each draw."""

    finetune: bool = setting(
        False, "fine-tune each model on the rows of each draw, as featlearn finetune does", flag=True
    )
    random: str | None = setting(
        None,
        "beside it, the same net from random weights, with such hidden units; several nets as sigmoid,relu",
        needs="finetune",
        off="no such net",
        metavar="UNITS",
    )
    pseudo_labels: bool = setting(
        False,
        "these nets learn from all rows of --train, too, without their classes: each row's likeliest class "
        "is its target, the more weight the longer they have learned",
        flag=True,
        needs="finetune",
    )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The hidden units of the nets with random weights."""
        return tuple(dict.fromkeys(self.random.split(","))) if self.random else ()


@dataclass(frozen=True)
class Drawing(Checked):
    """What to draw, and how; `what` None is decided by the file."""

    what: str | None = setting(
        None,
        "what to draw  [default: filters of a model, patches of a data set]",
        choices=("filters", "curve", "patches"),
    )
    through: tuple[str, ...] = setting(
        (),
        "the model whose codes FILE has learned from: draw FILE's filters as sums of its filters. "
        "Again for each model further down",
        metavar="MODEL",
        needs="what=filters",
    )
    layer: int | None = setting(
        None,
        "draw this layer of a stack, 1 the lowest  [default: the top one]",
        low=1,
        needs="what=filters",
    )
    maximize: bool = setting(
        False,
        "draw the rows that make each unit most active, found by ascent, instead of its filter: "
        "what units of upper layers want is no sum of filters",
        needs="what=filters",
        without="through",
    )
    sort: str = setting(
        "trained", "order of the filters", choices=("trained", "norm", "use"), needs="what=filters"
    )
    data: str | None = setting(
        None,
        "the data set whose mean activations --sort use goes by",
        metavar="DATASET",
        needs="sort=use",
    )
    contrast: str | None = setting(
        None,
        "scale each tile by its own largest value, or all by one  [default: filter; pixels have their own]",
        choices=("filter", "common"),
        needs=TILES,
    )
    columns: int | None = setting(
        None, "tiles in a row  [default: nearly square]", low=1, high=10_000, needs=TILES
    )
    scale: int | None = setting(
        None, "screen pixels to a pixel  [default: by size]", low=1, high=64, needs=TILES
    )
    count: int | None = setting(
        None,
        "how many filters, the first of their order, or how many patches  "
        "[default: all filters; 100 patches]",
        low=1,
        high=100_000,
        needs=TILES,
    )


@dataclass(frozen=True)
class Reconstruction(Checked):
    """What to reconstruct of an input."""

    count: int = setting(
        100, "how many patches of a data set to draw", low=1, high=10_000, needs="input=data_set"
    )
    stride: int = setting(1, "step between the patches of a photograph", low=1, needs="input=photograph")
    max_pixels: int = max_pixels_setting()


NO_POOL = "none"


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
        "draw all chains after each so many steps: one column a chain, one line a time, --data first  "
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

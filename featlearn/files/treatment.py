"""What is done to every image between its file and the patches: colours, light, size.

A data set remembers it, and so does a model, so that other images are read in the same way.
"""

from collections.abc import Callable
from dataclasses import dataclass

from featlearn.errors import DataError, show
from featlearn.files.color import to_light
from featlearn.files.resize import shrink
from featlearn.files.scale import parse_scale
from featlearn.files.sources import Source
from featlearn.rows import Array


@dataclass(frozen=True)
class Treatment:
    """The treatment of images: `color` "gray" or "rgb"; None leaves it to the source.

    `linear` makes 16-bit values that are proportional to light, of levels of sRGB. `resize` is a text that
    parse_scale reads.
    """

    color: str | None = None
    linear: bool = False
    resize: str | None = None

    @property
    def read_as(self) -> str | None:
        """The colour mode in which the file is read: luminance is that of colours."""
        return "rgb" if self.linear else self.color

    def resize_to(self, shape: tuple[int, int, int]) -> str | None:
        """Return `resize`, None where it makes images of that shape: those that have it stay as they are."""
        whole = self.resize is not None and parse_scale(self.resize).size == shape[:2]
        return None if whole else self.resize

    @property
    def words(self) -> str:
        """How images were read, in words."""
        words = ["with --linear"] * self.linear
        words += [f"with --resize {self.resize}"] if self.resize else []
        return " and ".join(words) or "as they are"

    def of(self, image: Array, name: Callable[[], str]) -> Array:
        """Treat an image (h, w, c) that was read as `read_as`. Raises DataError, with its `name`."""
        if self.linear:
            if image.dtype.kind == "f":
                raise DataError(
                    f"{show(name())}: holds floats, which do not say what light they stand for; "
                    "leave out --linear"
                )
            image = to_light(image, self.color or "gray")
        if self.resize is not None:
            height, width = image.shape[:2]
            size = parse_scale(self.resize).of(height, width)
            if size[0] > height or size[1] > width:
                raise DataError(
                    f"{show(name())}: has {width}x{height} pixels, --resize {self.resize} would enlarge it"
                )
            image = shrink(image, *size) if size != (height, width) else image
        return image


@dataclass
class Treated:
    """A source whose images are treated when they are read."""

    source: Source
    treatment: Treatment

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def labels(self) -> Array | None:
        return self.source.labels

    @property
    def label_names(self) -> list[str] | None:
        return self.source.label_names

    @property
    def whole_by_default(self) -> bool:
        return self.source.whole_by_default

    @property
    def lost_color(self) -> bool:
        return self.source.lost_color

    def __len__(self) -> int:
        return len(self.source)

    def names(self) -> list[str]:
        return self.source.names()

    def read(self, i: int) -> Array:
        return self.treatment.of(self.source.read(i), lambda: self.source.names()[i])

"""Facts about pictures, each looked at once: sizes, modes, colour, texture, and what makes repeats recognisable."""

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from statistics import median
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ...data.datasets import NEARLY_BLACK, NEARLY_CONSTANT
from ...data.decoding import Progress, go_through, sample_range
from ...data.deep_files import is_tiff, open_deep, page_numbers
from ...data.images import (
    bombs_are_errors,
    fit_picture,
    load_picture,
    open_picture,
    to_pixels,
    upright_size,
    with_channels,
)
from ...data.value_range import FIND, ValueRange, Wanted
from .parts import DataPart

THUMB = 16
"""Side of the squeezed pictures by which repeats are found."""
VIEW = 64
"""Side of the centred square, in pixels, on which colour and texture are measured."""
GRAY_CHROMA = 2.0
"""A picture of three channels whose mean chroma is less shows gray; a JPEG's rounding leaves about 1."""
CHANNELS = {1: "gray", 3: "colour", 4: "transparent"}
"""What a picture of so many channels is."""
_LARGEST_TERM = 9  # of an aspect: 1.499 is 3:2


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What one file is."""

    part: DataPart
    name: str
    class_name: str | None = None
    width: int
    height: int
    channels: int
    """As training counts: 1 gray, 3 colour, 4 where some pixel is transparent."""
    mode: str
    """How Pillow calls what the file stores, or the type of values of more than 8 bits."""
    is_deep: bool
    """Whether it has 16 bits a value, or floats."""
    is_animated: bool
    """Whether it has several frames or pages."""
    digest: bytes
    """Of the file's bytes."""
    thumb: UInt8[np.ndarray, "t t 3"]
    """The whole picture, squeezed."""
    colour: tuple[float, float, float]
    """Mean red, green and blue, from 0 to 255."""
    chroma: float
    """Mean difference of the largest and the smallest of the three, from 0 (gray) to 255."""
    darkest: float
    brightest: float
    """Percentiles 1 and 99 of the luma, from 0 to 255."""
    texture: float
    """RMS of what a 2 x 2 mean takes from the luma, from 0 (smooth) to 127.5."""

    @property
    def full_name(self) -> str:
        """The name with that of its part."""
        return f"{self.part.name}: {self.name}"

    @property
    def is_flat(self) -> bool:
        """Whether it is nearly of one value, and not black."""
        return self.brightest - self.darkest < NEARLY_CONSTANT and self.brightest > NEARLY_BLACK

    @property
    def shows_gray(self) -> bool:
        """Whether it is gray, or is stored in colour and shows gray."""
        return self.channels == 1 or (self.channels == 3 and self.chroma < GRAY_CHROMA)


@dataclass(frozen=True)
class PartFacts:
    """What the pictures of a part are."""

    part: DataPart
    pictures: list[Picture]
    """Those that can be read."""
    unreadable: list[tuple[str, str]]
    """Names of the other files, with the reason."""
    value_range: ValueRange | None = None
    """What training takes for black and white in files of more than 8 bits a value."""

    @property
    def classes(self) -> dict[str, int]:
        """Readable images of each class."""
        counts = Counter(picture.class_name for picture in self.pictures if picture.class_name is not None)
        return dict(sorted(counts.items()))

    @property
    def aspects(self) -> dict[str, int]:
        """How many pictures have which width to height, most frequent first."""
        counts = Counter(_aspect(picture) for picture in self.pictures)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    @property
    def usual_channels(self) -> int:
        """What training would take: the most frequent count, the larger of two as frequent."""
        counts = Counter(picture.channels for picture in self.pictures)
        return max(counts, key=lambda count: (counts[count], count))

    @property
    def shorter_side(self) -> float:
        """Median, in pixels."""
        return float(median(min(picture.width, picture.height) for picture in self.pictures))

    def mean(self, name: str) -> float:
        """Of a number that each picture has."""
        return float(np.mean([getattr(picture, name) for picture in self.pictures]))

    def cropped(self, ratio: float = 1.0) -> float:
        """Mean share of pixels outside the largest box of this width to height."""
        own = np.array([picture.width / picture.height for picture in self.pictures])
        return float(np.mean(1 - np.minimum(own, ratio) / np.maximum(own, ratio)))

    def to_json(self) -> dict[str, Any]:
        """The facts as JSON values; what a part without a readable picture lacks is null."""
        pictures = self.pictures
        sizes = sorted(([picture.width, picture.height] for picture in pictures), key=lambda size: (prod(size), size))
        return {
            "name": self.part.name,
            "split": self.part.split,
            "domain": self.part.domain or None,
            "files": len(self.part.names),
            "images": len(pictures),
            "unreadable": [{"name": name, "reason": reason} for name, reason in self.unreadable],
            "passed_over": dict(sorted(self.part.passed_over.items())),
            "classes": self.classes,
            "smallest": sizes[0] if sizes else None,
            "median": sizes[len(sizes) // 2] if sizes else None,
            "largest": sizes[-1] if sizes else None,
            "aspects": self.aspects,
            "channels": dict(Counter(CHANNELS[picture.channels] for picture in pictures)),
            "modes": dict(Counter(picture.mode for picture in pictures)),
            "gray_as_colour": sum(picture.channels == 3 and picture.shows_gray for picture in pictures),
            "value_range": self.value_range.to_json() if self.value_range else None,
            "sixteen_bit": sum(picture.is_deep for picture in pictures),
            "animated": sum(picture.is_animated for picture in pictures),
            "mean_colour": np.mean([each.colour for each in pictures], axis=0).round(2).tolist() if pictures else None,
            "chroma": round(self.mean("chroma"), 2) if pictures else None,
            "texture": round(self.mean("texture"), 2) if pictures else None,
            "cropped_to_square": round(self.cropped(), 4) if pictures else None,
        }


def scan(part: DataPart, progress: Progress | None = None, value_range: Wanted = FIND) -> PartFacts:
    """Look at every picture of a part; a broken one becomes a reason."""
    with bombs_are_errors():
        ranged = range_of_part(part) if value_range == FIND else value_range
        found = go_through(lambda index: look(part, index, ranged), len(part.names), progress)
    pictures = [picture for picture in found if isinstance(picture, Picture)]
    if part.find_classes is not None:
        labels, names = part.find_classes([picture.name for picture in pictures])
        if labels is not None:
            pictures = [replace(each, class_name=names[label]) for each, label in zip(pictures, labels, strict=True)]
    unreadable = [(name, why) for name, why in zip(part.names, found, strict=True) if isinstance(why, str)]
    return PartFacts(part, pictures, unreadable, ranged)


def range_of_part(part: DataPart) -> ValueRange | None:
    """The range that training would find in these files."""
    numbers = {name: number for number, name in enumerate(part.names)}

    def read(name: str, most: int) -> bytes:
        source = part.read(numbers[name])
        return source[:most] if isinstance(source, bytes) else b""

    return sample_range(part.names, read)


def look(part: DataPart, index: int, value_range: ValueRange | None = None) -> Picture:
    """The facts of one picture of a part; raises `UnreadableImage` as training would."""
    source = part.read(index)
    deep = None
    if isinstance(source, Image.Image):
        head, picture, content = source, source, source.tobytes()
    else:
        picture, content, deep = load_picture(source, VIEW, value_range or "own"), source, open_deep(source)
        head = picture if deep else open_picture(source)
    width, height = upright_size(head)
    seen = fit_picture(picture, VIEW, 3).astype(np.float32)
    thumb = with_channels(picture, 3).resize((THUMB, THUMB), Image.Resampling.BOX)
    luma = np.tensordot(np.array([0.299, 0.587, 0.114], np.float32), seen, 1)
    blocks = luma.reshape(VIEW // 2, 2, VIEW // 2, 2)
    red, green, blue = seen.mean(axis=(1, 2)).tolist()
    return Picture(
        part=part,
        name=part.names[index],
        class_name=None if part.classes is None else part.classes[index],
        width=width,
        height=height,
        channels=len(picture.getbands()),
        mode=deep.dtype.name if deep else head.mode,
        is_deep=deep is not None,
        is_animated=len(page_numbers(content)) > 1 if is_tiff(content) else _is_animated(head),
        digest=hashlib.sha256(content).digest(),
        thumb=np.ascontiguousarray(to_pixels(thumb).transpose(1, 2, 0)),
        colour=(red, green, blue),
        chroma=float((seen.max(axis=0) - seen.min(axis=0)).mean()),
        darkest=float(np.percentile(luma, 1)),
        brightest=float(np.percentile(luma, 99)),
        texture=float(np.sqrt(np.square(blocks - blocks.mean(axis=(1, 3), keepdims=True)).mean())),
    )


def _is_animated(head: Image.Image) -> bool:
    if head.format == "MPO":  # a photograph with a preview or a second view behind it, as phones write them
        return False
    try:
        return bool(getattr(head, "is_animated", False))
    except Exception:  # the first frame was decoded, and no other matters
        return False


def _aspect(picture: Picture) -> str:
    """Width to height in small numbers."""
    shorter, longer = sorted((picture.width, picture.height))
    ratio = Fraction(longer, shorter).limit_denominator(_LARGEST_TERM)
    small, large = ratio.denominator, ratio.numerator
    return f"{large}:{small}" if picture.width >= picture.height else f"{small}:{large}"

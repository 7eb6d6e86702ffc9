"""Image sets: an array, or the files of a folder or zip, as one indexable set of uint8 images of one size."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, final

import numpy as np
import torch
from jaxtyping import Int, Int64, UInt8

from ..errors import UserError
from ..tensors import Bytes, Side, height_and_width
from .classes import find_classes
from .decoding import Looked, Progress, decode_all, look_at_heads, sample_channels, sample_range, usual_channels
from .endings import is_image, nothing_found
from .images import UnreadableImage, bombs_are_errors, fit_picture, load_picture, to_picture
from .storage import Storage
from .value_range import FIND, ValueRange, Wanted

logger = logging.getLogger("ganshift")

NEARLY_BLACK, NEARLY_CONSTANT = 16, 4
"""Levels of 255: up to the first (12 bits in 16), or within the second, lie the values of images that are warned of."""
_LOOKED_AT = 16  # images of which it is found out
Third = Literal["1/3", "2/3", "3/3"]
"""One of three parts of a set."""
MEMORY_BUDGET_BYTES = 2e9
"""Sets whose decoded images fit into this many bytes are kept in memory."""


@final
@dataclass(eq=False, kw_only=True)
class ImageSet:
    """Images of one size and channel count, in a fixed order, with or without classes.

    Either all pixels are in memory, or a place of files is, and reading decodes them. It can be pickled, so that
    worker processes can read.
    """

    names: tuple[str, ...]
    labels: Int64[np.ndarray, " n"] | None
    classes: tuple[str, ...]
    channels: int
    size: Side
    """The side of square images, or height and width."""
    content_hash: str
    """Changes with names, classes, contents, size or channels; the same on every machine."""
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    """Files set aside, as (name, reason)."""
    pixels: Bytes | None = field(default=None, repr=False)
    place: Storage | None = field(default=None, repr=False)
    value_range: ValueRange | None = None
    """What became 0 and 255, where files have more than 8 bits a value."""
    _broken: set[str] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        assert (self.pixels is None) != (self.place is None), "pixels or a place"
        assert self.labels is None or len(self.labels) == len(self.names), "one label per image"

    def __len__(self) -> int:
        return len(self.names)

    @property
    def streams(self) -> bool:
        """Whether images are decoded when they are read."""
        return self.place is not None

    def read(self, indices: Sequence[int] | Int[np.ndarray, " k"]) -> Bytes:
        """The images of these numbers, as a tensor of its own."""
        if self.pixels is not None:
            # NumPy copies in this thread; torch would wake its thread pool, which costs milliseconds on a busy machine.
            return torch.from_numpy(self.pixels.numpy()[np.asarray(indices, dtype=np.int64)])
        images = np.empty((len(indices), self.channels, *height_and_width(self.size)), dtype=np.uint8)
        with bombs_are_errors():
            for row, index in enumerate(indices):
                images[row] = self._decode(int(index))
        return torch.from_numpy(images)

    def select(self, indices: Int[np.ndarray, " k"]) -> "ImageSet":
        """A set of these images alone, with all the classes; its quarantine is that of the whole."""
        names = tuple(self.names[index] for index in indices)
        return replace(
            self,
            names=names,
            labels=None if self.labels is None else self.labels[indices],
            content_hash=hashlib.sha256(repr((self.content_hash, names)).encode()).hexdigest(),
            quarantined=list(self.quarantined),
            pixels=None if self.pixels is None else self.pixels[torch.from_numpy(indices)],
        )

    def set_aside(self, name: str, reason: str) -> None:
        """Quarantine a file that turned out broken after opening; says so once."""
        if name not in self._broken:
            self._broken.add(name)
            self.quarantined.append((name, reason))
            logger.warning("%s: %s; the next image replaces it from now on", name, reason)

    def _decode(self, index: int) -> UInt8[np.ndarray, "c h w"]:
        """The image, or the next readable one of its class, so that order and labels do not depend on the past."""
        assert self.place is not None
        for offset in range(len(self)):
            other = (index + offset) % len(self)
            if self.labels is not None and self.labels[other] != self.labels[index]:
                continue
            name = self.names[other]
            if name in self._broken:
                continue
            try:
                return fit_picture(
                    load_picture(self.place.read(name), self.size, self.value_range), self.size, self.channels
                )
            except UnreadableImage as error:
                self.set_aside(name, str(error))
        raise UserError(f"{self.place.where}: no readable image is left to replace {self.names[index]}; restore it")


@final
@dataclass(frozen=True)
class Domains:
    """The image sets of two unpaired domains, A and B, which may differ in length and channels.

    Images of the same name in `val_a` and `val_b` are true pairs.
    """

    train_a: ImageSet
    train_b: ImageSet
    val_a: ImageSet | None = None
    val_b: ImageSet | None = None


def draw_subset(images: ImageSet, count: int, seed: int = 0) -> ImageSet:
    """So many of the images, as a function of the seed and of the set's content.

    The images of a smaller subset are all in a larger one of the same seed. With classes, the classes take turns as
    long as they have images left, so that a subset has as many of each as can be. Raises a `UserError` if there are
    not enough images.
    """
    if count > len(images):
        raise UserError(f"subset must be at most the number of images, {len(images):,}, got {count:,}")
    random = np.random.default_rng([seed, int(images.content_hash[:16], 16)])
    order = random.permutation(len(images))
    if images.labels is not None:
        order = order[np.argsort(_turns(images.labels[order]), kind="stable")]  # in a turn, classes in random order
    return images.select(np.sort(order[:count]))


def without_third(images: ImageSet, third: Third) -> tuple[ImageSet, ImageSet]:
    """The images but for one third of each class, and that third, as a function of the set's content."""
    order = np.random.default_rng(int(images.content_hash[:16], 16)).permutation(len(images))
    turns = np.arange(len(images)) if images.labels is None else _turns(images.labels[order])
    out = turns % 3 == int(third[0]) - 1
    return images.select(np.sort(order[~out])), images.select(np.sort(order[out]))


def _turns(labels: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """How many images of its class come before each image."""
    turns = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        of_class = labels == label
        turns[of_class] = np.arange(of_class.sum())
    return turns


def open_array(
    images: UInt8[np.ndarray, "n c h w"],
    labels: Int[np.ndarray, " n"] | None = None,
    classes: tuple[str, ...] = (),
    names: Sequence[str] | None = None,
    size: Side | None = None,
    channels: int | None = None,
) -> ImageSet:
    """An image set from memory, resized to `size` unless that is left out; `channels` converts, as for files."""
    assert len(images) > 0, "at least one image"
    size = images.shape[2:] if size is None else height_and_width(size)
    channels = images.shape[1] if channels is None else channels
    if images.shape[1:] != (channels, *size):
        images = np.stack([fit_picture(to_picture(image), size, channels) for image in images])
    names = [f"{index:05d}" for index in range(len(images))] if names is None else names
    labels = None if labels is None else labels.astype(np.int64)
    digest = hashlib.sha256(images.tobytes()).hexdigest()
    pixels = torch.from_numpy(np.ascontiguousarray(images))
    return _image_set(tuple(names), labels, classes, [digest], size, channels, pixels=pixels)


def open_place(
    place: Storage,
    size: Side,
    channels: int | None,
    memory_budget_bytes: int | float,
    progress: Progress | None,
    *,
    with_classes: bool,
    value_range: Wanted = FIND,
) -> ImageSet:
    """An image set of all image files of a place; those that cannot be read are set aside with one warning.

    `channels` is the most frequent natural channel count unless given. `value_range` is found in the files unless it is
    given; None reads them as 0.1.0 did. Warnings say if the images are nearly black or nearly of one value, and which
    files have pages that are not used.
    """
    height, width = height_and_width(size)
    files = [name for name in place.names if is_image(name)]
    if not files:
        raise UserError(nothing_found(place))

    def streams(channels: int) -> bool:
        return len(files) * channels * height * width > memory_budget_bytes

    def look(channels: int) -> tuple[list[Looked | str], Bytes | None]:
        if streams(channels):
            return look_at_heads(place, files, ranged, progress), None
        return decode_all(place, files, size, channels, ranged, progress)

    with bombs_are_errors():
        ranged = _range_of(place, files, value_range)
        wanted = sample_channels(place, files, ranged) if channels is None else channels
        found, pixels = look(wanted)
        usual = usual_channels(found)
        if channels is None and usual not in (None, wanted):
            wanted = usual
            if not (pixels is None and streams(wanted)):  # then nothing else would be found
                found, pixels = look(wanted)
    quarantined = [(name, looked) for name, looked in zip(files, found, strict=True) if isinstance(looked, str)]
    names = tuple(name for name, looked in zip(files, found, strict=True) if isinstance(looked, Looked))
    if not names:
        (name, reason) = quarantined[0]
        raise UserError(
            f"{place.where}: none of {len(files)} image files can be read (the first: {name}, {reason}); replace them"
        )
    if quarantined:
        first = "; ".join(f"{name}: {reason}" for name, reason in quarantined[:3])
        more = "; ..." if len(quarantined) > 3 else ""
        logger.warning("%s: left out %d of %d files (%s%s)", place.where, len(quarantined), len(files), first, more)
    if several := [
        name for name, looked in zip(files, found, strict=True) if isinstance(looked, Looked) and looked.pages > 1
    ]:
        logger.warning(
            "%s: %d of %d files have several pages; only the first is used (%s)",
            *(place.where, len(several), len(files), ", ".join(several[:3]) + ", ..." * (len(several) > 3)),
        )
    labels, classes = find_classes(place, names) if with_classes else (None, ())
    digests = [looked.digest for looked in found if isinstance(looked, Looked)]
    source = {"place": place} if pixels is None else {"pixels": pixels}
    about: dict[str, Any] = {"quarantined": quarantined, "value_range": ranged, **source}
    images = _image_set(names, labels, classes, digests, size, wanted, **about)
    _warn_of_flat(images, place)
    return images


def _range_of(place: Storage, files: Sequence[str], wanted: Wanted) -> ValueRange | None:
    """What is wanted, found in the files as far as it is not known."""
    given = wanted if isinstance(wanted, ValueRange) else None
    if wanted is None or (given and given.dtype):
        return given
    found = sample_range(files, place.read, given)
    if given and not found:
        logger.warning("%s: the range %s is ignored: its files have 8 bits a value, 0 to 255", place.where, given)
    return found


def _warn_of_flat(images: ImageSet, place: Storage) -> None:
    """Say that there is little to learn from images that are nearly black, or nearly of one value."""
    spread = np.linspace(0, len(images) - 1, min(len(images), _LOOKED_AT)).astype(int)
    sample = images.select(spread)  # a set of its own, so that what is broken is set aside when it is read in training
    levels = sample.read(range(len(sample)))[:, :3].numpy()
    low, high = np.percentile(levels, (1, 99))
    if high <= NEARLY_BLACK or high - low < NEARLY_CONSTANT:
        what = "nearly black" if high <= NEARLY_BLACK else "nearly of one value"
        logger.warning(
            "%s: the images are %s: 98 %% of their values lie within %.0f to %.0f of 255: little can be learned",
            *(place.where, what, low, high),
        )


def _image_set(
    names: tuple[str, ...],
    labels: Int64[np.ndarray, " n"] | None,
    classes: tuple[str, ...],
    digests: Sequence[str],
    size: Side,
    channels: int,
    **more: Any,
) -> ImageSet:
    """An image set with the hash of these contents, which is the same for squares however the size was given."""
    height, width = height_and_width(size)
    size = height if height == width else (height, width)
    content = (size, channels, classes, names, None if labels is None else labels.tolist(), list(digests))
    content_hash = hashlib.sha256(repr(content).encode()).hexdigest()
    return ImageSet(
        names=names, labels=labels, classes=classes, channels=channels, size=size, content_hash=content_hash, **more
    )

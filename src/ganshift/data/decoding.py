"""Go through all files of a set once, in threads: decode them into one tensor, or only check their heads."""

import hashlib
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Int64
from torch.utils.data import Dataset

from ..tensors import Bytes, Side, height_and_width
from .deep_files import open_deep, page_numbers
from .images import (
    MAX_FILE_BYTES,
    UnreadableImage,
    bombs_are_errors,
    decoding,
    fit_picture,
    load_picture,
    probe_channels,
    read_deep,
)
from .storage import Storage
from .value_range import ValueRange, range_of_values
from .workers import read_ahead

Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with (files done, files in all), from the calling thread."""

HEAD_BYTES = 64 * 1024
"""So much of a file is read to check it without decoding, and tells its contents from others."""
_SAMPLE = 32  # files looked at to guess the channel count before going through all of them
_CHUNK = 64  # files per task of the thread pool
_MANY, _PART = 20_000, 1000  # of so many files heads are looked at in processes, so many at a time
_MOST_RANGED = 256  # files, spread over the set, in which its range of values is looked for
_MOST_VALUES = 10_000  # of each of them
_DEEP_SUFFIXES = (".png", ".tif", ".tiff")


class Looked(NamedTuple):
    """What was found of a file that can be used."""

    channels: int
    """Its natural count: 1 for gray, 3 for colour, 4 for colour with transparency."""
    digest: str
    """A fingerprint of its contents."""
    pages: int = 1
    """How many pictures it holds; the first is used."""


def sample_channels(place: Storage, files: Sequence[str], value_range: ValueRange | None) -> int:
    """A guess at the usual channel count from a few files spread over the set; 3 if none of them can be read."""
    return usual_channels(look_at_heads(place, _spread(files, _SAMPLE), value_range, progress=None)) or 3


def sample_range(
    names: Sequence[str], read: Callable[[str, int], bytes], given: ValueRange | None = None
) -> ValueRange | None:
    """The range of the files of more than 8 bits a value, from many of them spread over the set; None without any.

    Where their types differ, it is that of the most frequent. A range that is given only gets their type.
    """
    files = _spread([name for name in names if name.lower().endswith(_DEEP_SUFFIXES)], _MOST_RANGED)

    def look(index: int) -> np.ndarray | None:
        name = files[index]
        if name.lower().endswith(".png") and open_deep(read(name, HEAD_BYTES)) is None:
            return None
        deep = open_deep(read(name, MAX_FILE_BYTES))
        if deep is None:
            return None
        with decoding(deep):
            values = read_deep(deep)[0].ravel()
            return values[np.random.default_rng(index).integers(0, values.size, min(values.size, _MOST_VALUES))]

    found = [values for values in go_through(look, len(files), None) if isinstance(values, np.ndarray)]
    if not found:
        return None
    types = Counter(values.dtype.name for values in found)
    usual = max(types, key=lambda name: (types[name], name))
    if given is not None:
        return replace(given, dtype=usual)
    return range_of_values([values for values in found if values.dtype.name == usual])


def usual_channels(found: Iterable[Looked | str]) -> int | None:
    """The most frequent natural channel count; of two as frequent, the larger, which loses nothing."""
    counts = Counter(looked.channels for looked in found if isinstance(looked, Looked))
    return max(counts, key=lambda count: (counts[count], count), default=None)


def decode_all(
    place: Storage,
    files: Sequence[str],
    size: Side,
    channels: int,
    value_range: ValueRange | None,
    progress: Progress | None,
) -> tuple[list[Looked | str], Bytes]:
    """Decode every file: what is found of each, or why it cannot be used, and the images of the usable ones."""
    images = np.empty((len(files), channels, *height_and_width(size)), dtype=np.uint8)

    def decode(index: int) -> Looked:
        data = place.read(files[index])
        picture = load_picture(data, size, value_range)
        images[index] = fit_picture(picture, size, channels)
        return Looked(len(picture.getbands()), fingerprint(len(data), data), len(page_numbers(data)))

    found = go_through(decode, len(files), progress)
    good = [index for index, looked in enumerate(found) if isinstance(looked, Looked)]
    for row, index in enumerate(good):
        if row != index:  # close the gaps in place: a copy would need the memory twice
            images[row] = images[index]
    return found, torch.from_numpy(images[: len(good)])


def look_at_heads(
    place: Storage, files: Sequence[str], value_range: ValueRange | None, progress: Progress | None
) -> list[Looked | str]:
    """Check the head of every file: what is found of each, or why it cannot be used."""

    heads = _Heads(place, files, value_range)
    # Processes that are not forked would run a script without a main guard again.
    if len(files) < _MANY or multiprocessing.get_start_method() != "fork":
        return go_through(heads.look, len(files), progress)
    found: list[Looked | str] = []
    parts = np.array_split(np.arange(len(files)), len(files) // _PART)
    for results in read_ahead(heads, parts, _workers()):
        found += results
        if progress is not None:
            progress(len(found), len(files))
    return found


class _Heads(Dataset[Any]):
    """What is found of each file's head."""

    def __init__(self, place: Storage, files: Sequence[str], value_range: ValueRange | None):
        self.place, self.files, self.value_range = place, files, value_range

    def look(self, index: int) -> Looked:
        name = self.files[index]
        head = self.place.read(name, HEAD_BYTES)
        try:
            channels = probe_channels(head, self.value_range)
        except UnreadableImage:  # the head may be longer than usual, or the file may need all of its bytes
            channels = probe_channels(self.place.read(name), self.value_range)
        num_bytes = len(head) if len(head) < HEAD_BYTES else self.place.num_bytes(name)
        return Looked(channels, fingerprint(num_bytes, head))

    def __getitems__(self, indices: Int64[np.ndarray, " n"]) -> list[Looked | str]:
        """What `DataLoader` calls, in a process of its own."""
        with bombs_are_errors():
            return [_or_reason(self.look, int(index)) for index in indices]


def _spread(files: Sequence[str], most: int) -> list[str]:
    """At most so many, evenly spread."""
    return [files[index] for index in np.linspace(0, len(files) - 1, min(len(files), most)).astype(int)]


def fingerprint(num_bytes: int, head: bytes) -> str:
    """Tells contents apart by their length and first bytes, so that a large set need not be read in full."""
    return f"{num_bytes} {hashlib.sha256(head[:HEAD_BYTES]).hexdigest()}"


def go_through(look: Callable[[int], Result], total: int, progress: Progress | None) -> list[Result | str]:
    """What `look` returns for each number, or the reason of its `UnreadableImage`; in a thread pool."""
    found: list[Result | str] = []

    def look_at(start: int) -> list[Result | str]:
        return [_or_reason(look, index) for index in range(start, min(start + _CHUNK, total))]

    pool = ThreadPoolExecutor(_workers())
    try:
        for results in pool.map(look_at, range(0, total, _CHUNK)):
            found += results
            if progress is not None:
                progress(len(found), total)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt must not wait for the files still queued
    return found


def _or_reason(look: Callable[[int], Result], index: int) -> Result | str:
    try:
        return look(index)
    except UnreadableImage as error:
        return str(error)  # not the error, which holds on to what it was decoding


def _workers() -> int:
    return min(8, os.cpu_count() or 1)

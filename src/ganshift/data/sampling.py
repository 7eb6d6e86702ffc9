"""Which image comes when: pure functions of the seed and of how many images were shown, so resuming needs no replay.

Everything random here comes from one integer hash (splitmix64, Steele et al. 2014) written out below, not from a
generator of NumPy's: their streams may change between versions, and then a resumed run would see other images.
"""

import itertools
import math
import zlib
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64, UInt64
from torch.utils.data import Dataset

from ..errors import UserError
from ..tensors import Bytes, Labels
from .datasets import ImageSet
from .workers import read_ahead

_ORDER, _FLIP = 1, 2  # what a hash is for, so that order and flips of one seed have nothing to do with each other
_MASK = 2**64 - 1
LARGE = 2**17
"""Of sets of fewer images an epoch's order is sorted by hashes, which a set of many has no memory for."""
_BLOCK, _ROUNDS = 4096, 6
ORDER = "order_of_large"
"""The key of `config.json` that says how larger sets are ordered."""
OrderOfLarge = Literal["computed", "sorted"]
"""0.1.0 sorted them too, so its runs go on with that."""
Arrays = tuple[np.ndarray, np.ndarray | None]
"""Pixels and labels of a batch."""


@dataclass(frozen=True)
class Batch:
    """Images of one set, with their classes if it has any."""

    images: Bytes
    labels: Labels | None


def order(
    positions: Int[np.ndarray, " n"], num_images: int, seed: int, order_of_large: OrderOfLarge = "computed"
) -> Int64[np.ndarray, " n"]:
    """The image shown at each position, where position p counts the images shown before.

    Each epoch shows every image once, in a permutation that depends on the seed and the epoch's number alone.
    """
    epochs, places = np.divmod(positions.astype(np.int64), num_images)
    indices = np.empty(len(places), dtype=np.int64)
    is_sorted = num_images < LARGE or order_of_large == "sorted"
    blocks = places // (num_images if is_sorted else _BLOCK)
    for epoch, block in sorted(set(zip(epochs.tolist(), blocks.tolist(), strict=True))):
        here = (epochs == epoch) & (blocks == block)
        if is_sorted:
            indices[here] = _permutation(num_images, seed, epoch)[places[here]]
        else:
            indices[here] = _block(num_images, seed, epoch, block)[places[here] - block * _BLOCK]
    return indices


def permute(indices: Int64[np.ndarray, " n"], total: int, key: int) -> Int64[np.ndarray, " n"]:
    """Where a permutation of 0 to total - 1 takes each index; it is computed, and takes no memory of the total's size.

    A number is a row and a column of the smallest square that has as many fields. Each round of a Feistel network (Luby
    and Rackoff 1988) moves the one by a hash of the other. What leaves 0 to total - 1 goes on until it is back there.
    """
    side = math.isqrt(total - 1) + 1
    keys = _hash(key, np.arange(_ROUNDS, dtype=np.uint64)).tolist()
    permuted, left = indices.copy(), np.arange(len(indices))
    while len(left):
        row, column = np.divmod(permuted[left].astype(np.uint64), np.uint64(side))
        for each in keys:
            row, column = column, (row + _hash(each, column) % np.uint64(side)) % np.uint64(side)
        permuted[left] = row * np.uint64(side) + column
        left = left[permuted[left] >= total]
    return permuted


def flips(positions: Int[np.ndarray, " n"], seed: int) -> Bool[np.ndarray, " n"]:
    """Whether the image at each position is mirrored: one fair coin per position, whatever the batches are."""
    coins = _hash(_stream(seed, _FLIP), positions.astype(np.uint64))
    return np.asarray(coins >> np.uint64(63), dtype=bool)


def batches(
    sets: Mapping[str, ImageSet],
    *,
    batch: int,
    start: int,
    seed: int,
    flip: bool,
    workers: int,
    steps: int = 1,
    part: slice = slice(None),
    order_of_large: OrderOfLarge = "computed",
) -> Generator[dict[str, Batch], None, None]:
    """For ever, the next `steps` batches of each set as one, from position `start` on, in an order of its own per set.

    Of each batch of `batch` images only `part` is read, the same for all, so that several processes can share the work.
    Sets in memory are read directly; if one streams, `workers` processes read ahead, with the same result. Close the
    iterator to end them.
    """
    reader = _Reader(dict(sets), seed, flip, order_of_large)
    if not any(images.streams for images in sets.values()):
        for positions in _positions(batch, steps, part, start):
            yield reader.read(positions)
    for found, set_aside in read_ahead(reader, _positions(batch, steps, part, start), workers):
        for name, files in set_aside.items():  # what a worker found out, the parent must know and say
            for file, reason in files:
                sets[name].set_aside(file, reason)
        if isinstance(found, UserError):
            raise found
        yield {name: _from_numpy(*each) for name, each in found.items()}


class _Reader(Dataset[Any]):
    """Reads the batch at given positions, here or in a worker process."""

    def __init__(self, sets: dict[str, ImageSet], seed: int, flip: bool, order_of_large: OrderOfLarge):
        self.sets = sets
        self.seed = seed
        self.flip = flip
        self.order_of_large = order_of_large

    def read(self, positions: Int64[np.ndarray, " n"]) -> dict[str, Batch]:
        """The batch of each set."""
        return {name: _from_numpy(*self._read_one(name, positions)) for name in self.sets}

    def __getitems__(
        self, positions: Int64[np.ndarray, " n"]
    ) -> tuple[dict[str, Arrays] | UserError, dict[str, list[tuple[str, str]]]]:
        """What DataLoader calls: the batch, and the files found broken on the way.

        Arrays go to the parent through a pipe. Tensors would go through /dev/shm, which is small in containers.
        """
        known = {name: len(images.quarantined) for name, images in self.sets.items()}
        found: dict[str, Arrays] | UserError
        try:
            found = {name: self._read_one(name, positions) for name in self.sets}
        except UserError as error:  # raised here, it would reach the user wrapped in a worker's traceback
            found = error
        return found, {name: images.quarantined[known[name] :] for name, images in self.sets.items()}

    def _read_one(self, name: str, positions: Int64[np.ndarray, " n"]) -> Arrays:
        images = self.sets[name]
        seed = self.seed ^ zlib.crc32(name.encode()) << 64  # above the bits that a seed uses, so no two sets can meet
        indices = order(positions, len(images), seed, self.order_of_large)
        pixels = images.read(indices).numpy()
        if self.flip:
            mirrored = flips(positions, seed)
            pixels[mirrored] = pixels[mirrored, ..., ::-1]  # in place
        return pixels, None if images.labels is None else images.labels[indices]


def _positions(batch: int, steps: int, part: slice, start: int) -> Iterator[Int64[np.ndarray, " n"]]:
    """Endless lists of positions: a part of each of some batches, which follow one another."""
    wanted = np.arange(batch * steps, dtype=np.int64).reshape(steps, batch)[:, part].ravel()
    for first in itertools.count(start, batch * steps):
        yield first + wanted


def _from_numpy(pixels: np.ndarray, labels: np.ndarray | None) -> Batch:
    return Batch(torch.from_numpy(pixels), None if labels is None else torch.from_numpy(labels))


@lru_cache(maxsize=8)
def _block(num_images: int, seed: int, epoch: int, block: int) -> Int64[np.ndarray, " n"]:
    """Some neighbours in the computed order at once, which takes hardly longer than for one."""
    places = np.arange(block * _BLOCK, min((block + 1) * _BLOCK, num_images))
    return permute(places, num_images, _stream(seed, _ORDER, epoch))


@lru_cache(maxsize=8)
def _permutation(num_images: int, seed: int, epoch: int) -> Int64[np.ndarray, " n"]:
    """Sorting by hashes shuffles fairly; equal hashes (one in 2^64 pairs) keep their order."""
    keys = _hash(_stream(seed, _ORDER, epoch), np.arange(num_images, dtype=np.uint64))
    shuffled = np.argsort(keys, kind="stable").astype(np.int64)
    shuffled.flags.writeable = False  # it is shared with every later caller
    return shuffled


def _stream(*parts: int) -> int:
    """One 64-bit key from numbers of any size and sign, in which their order matters."""
    key = 0
    for part in parts:
        for word in (part & _MASK, part >> 64 & _MASK):
            key = int(_hash(key, np.array([word], dtype=np.uint64))[0])
    return key


def _hash(key: int, counters: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """The finaliser of splitmix64 on key + (counter + 1) * golden ratio; arithmetic wraps at 2^64."""
    z = np.uint64(key) + (counters + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return cast("np.ndarray", z ^ z >> np.uint64(31))

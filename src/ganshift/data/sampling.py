"""Which image comes when: pure functions of the seed and of how many images were shown, so resuming needs no replay.

Everything random here comes from one integer hash (splitmix64, Steele et al. 2014) written out below, not from a
generator of NumPy's: their streams may change between versions, and then a resumed run would see other images.
"""

import itertools
import logging
import os
import signal
import threading
import time
import zlib
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64, UInt64
from torch.utils.data import DataLoader, Dataset

from ..errors import UserError, first_line
from ..tensors import Bytes, Labels
from .datasets import ImageSet
from .stop_signals import STOP_SIGNALS

_ORDER, _FLIP = 1, 2  # what a hash is for, so that order and flips of one seed have nothing to do with each other
_MASK = 2**64 - 1
LOOK_SECONDS, LONGEST_WAIT = 5, 600
"""How often it is looked whether workers are alive; and seconds for one batch: a disk that takes longer is gone."""
Arrays = tuple[np.ndarray, np.ndarray | None]
"""Pixels and labels of a batch."""


@dataclass(frozen=True)
class Batch:
    """Images of one set, with their classes if it has any."""

    images: Bytes
    labels: Labels | None


def order(positions: Int[np.ndarray, " n"], num_images: int, seed: int) -> Int64[np.ndarray, " n"]:
    """The image shown at each position, where position p counts the images shown before.

    Each epoch shows every image once, in a permutation that depends on the seed and the epoch's number alone.
    """
    epochs, places = np.divmod(positions.astype(np.int64), num_images)
    indices = np.empty(len(places), dtype=np.int64)
    for epoch in np.unique(epochs).tolist():
        here = epochs == epoch
        indices[here] = _permutation(num_images, seed, epoch)[places[here]]
    return indices


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
) -> Generator[dict[str, Batch], None, None]:
    """For ever, the next `steps` batches of each set as one, from position `start` on, in an order of its own per set.

    Of each batch of `batch` images only `part` is read, the same for all, so that several processes can share the work.
    Sets in memory are read directly; if one streams, `workers` processes read ahead, with the same result. Close the
    iterator to end them.
    """
    reader = _Reader(dict(sets), seed, flip)
    if not any(images.streams for images in sets.values()):
        for positions in _positions(batch, steps, part, start):
            yield reader.read(positions)
    before = signal.getsignal(signal.SIGCHLD)
    loader = iter(
        DataLoader(
            reader,
            batch_sampler=_positions(batch, steps, part, start),  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=_as_it_is,
            worker_init_fn=_leave_to_parent,
            timeout=LOOK_SECONDS if workers else 0,
            generator=torch.Generator(),  # or else starting it would draw from the global one, which training uses
        )
    )
    if signal.getsignal(signal.SIGCHLD) is not before:  # torch would raise wherever the program is when a worker ends
        signal.signal(signal.SIGCHLD, before)
    while True:
        found, set_aside = _patiently(loader)
        for name, files in set_aside.items():  # what a worker found out, the parent must know and say
            for file, reason in files:
                sets[name].set_aside(file, reason)
        if isinstance(found, UserError):
            raise found
        yield {name: _from_numpy(*each) for name, each in found.items()}


def _patiently(loader: Iterator[Any]) -> Any:
    """The next batch of workers; a `UserError` if they are gone, or take for ever."""
    for _ in range(LONGEST_WAIT // LOOK_SECONDS):
        try:
            return next(loader)
        except RuntimeError as error:
            if "DataLoader timed out" in str(error):
                reason = f"none in {LONGEST_WAIT} seconds: the disk does not answer"
            elif "DataLoader worker" in str(error):
                reason = f"no more ({first_line(error)}): they may have run out of memory"
                break
            else:
                raise
    raise UserError(f"the processes that read images ahead gave {reason}; --workers 0 reads in the main process")


class _Reader(Dataset[Any]):
    """Reads the batch at given positions, here or in a worker process."""

    def __init__(self, sets: dict[str, ImageSet], seed: int, flip: bool):
        self.sets = sets
        self.seed = seed
        self.flip = flip

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
        indices = order(positions, len(images), seed)
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


def _as_it_is(found: Any) -> Any:
    return found


def _leave_to_parent(worker: int) -> None:
    """The parent says what workers find, and ends them: a signal may reach the whole group of processes."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    logging.getLogger("ganshift").setLevel(logging.ERROR)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End a worker whose parent was killed: it would wait for ever for somebody to read its batches."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


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

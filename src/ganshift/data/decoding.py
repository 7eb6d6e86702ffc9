"""Go through all files of a set once, in threads: decode them into one tensor, or only check their heads."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from ..tensors import Bytes, Side, height_and_width
from .images import UnreadableImage, fit_picture, load_picture, natural_channels, probe_channels
from .storage import Storage

Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with (files done, files in all), from the calling thread."""

HEAD_BYTES = 64 * 1024
"""So much of a file is read to check it without decoding, and tells its contents from others."""
_SAMPLE = 32  # files looked at to guess the channel count before going through all of them
_CHUNK = 64  # files per task of the thread pool


@dataclass(frozen=True)
class Found:
    """What was found, one entry per file in each list."""

    reasons: list[str | None]
    """Why the file cannot be used, or None."""
    natural: list[int]
    """Its natural channel count, 0 if it cannot be used."""
    digests: list[str]
    """A fingerprint of its contents."""
    pixels: Bytes | None
    """The images of the usable files alone, if they were decoded."""

    @property
    def usual_channels(self) -> int | None:
        """The most frequent natural channel count; of two as frequent, the larger, which loses nothing."""
        counts = Counter(count for count in self.natural if count)
        return max(counts, key=lambda count: (counts[count], count)) if counts else None


def sample_channels(place: Storage, files: Sequence[str]) -> int:
    """A guess at the usual channel count from a few files spread over the set; 3 if none of them can be read."""
    spread = np.linspace(0, len(files) - 1, min(len(files), _SAMPLE)).astype(int)
    found = probe_all(place, [files[index] for index in spread], size=1, channels=0, progress=None)
    return found.usual_channels or 3


def decode_all(place: Storage, files: Sequence[str], size: Side, channels: int, progress: Progress | None) -> Found:
    """Decode every file to `channels` channels."""
    images = np.empty((len(files), channels, *height_and_width(size)), dtype=np.uint8)

    def decode(index: int) -> tuple[int, str]:
        data = place.read(files[index])
        picture = load_picture(data, for_size=size)
        images[index] = fit_picture(picture, size, channels)
        return natural_channels(picture), fingerprint(len(data), data)

    reasons, looks = go_through(decode, len(files), progress)
    good = [index for index, reason in enumerate(reasons) if reason is None]
    for row, index in enumerate(good):
        if row != index:  # close the gaps in place: a copy would need the memory twice
            images[row] = images[index]
    return _found(reasons, looks, torch.from_numpy(images[: len(good)]))


def probe_all(place: Storage, files: Sequence[str], size: Side, channels: int, progress: Progress | None) -> Found:
    """Check the head of every file. Size and channels change nothing; they are there to match `decode_all`."""

    def probe(index: int) -> tuple[int, str]:
        name = files[index]
        head = place.read(name, HEAD_BYTES)
        try:
            natural = probe_channels(head)
        except UnreadableImage:  # the head may be longer than usual, or the file may need all of its bytes
            natural = probe_channels(place.read(name))
        return natural, fingerprint(place.num_bytes(name), head)

    return _found(*go_through(probe, len(files), progress), pixels=None)


def _found(reasons: list[str | None], looks: list[tuple[int, str] | None], pixels: Bytes | None) -> Found:
    known = [(0, "") if look is None else look for look in looks]
    return Found(reasons, [natural for natural, _ in known], [digest for _, digest in known], pixels)


def fingerprint(num_bytes: int, head: bytes) -> str:
    """Tells contents apart by their length and first bytes, so that a large set need not be read in full."""
    return f"{num_bytes} {hashlib.sha256(head[:HEAD_BYTES]).hexdigest()}"


def go_through(
    look: Callable[[int], Result], total: int, progress: Progress | None
) -> tuple[list[str | None], list[Result | None]]:
    """Call `look` for each number in a thread pool; in order, why each was refused, if it was, and what was found."""
    reasons: list[str | None] = []
    found: list[Result | None] = []

    def look_at(start: int) -> list[tuple[str | None, Result | None]]:
        results: list[tuple[str | None, Result | None]] = []
        for index in range(start, min(start + _CHUNK, total)):
            try:
                results.append((None, look(index)))
            except UnreadableImage as error:
                results.append((str(error), None))
        return results

    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        for results in pool.map(look_at, range(0, total, _CHUNK)):
            for reason, result in results:
                reasons.append(reason)
                found.append(result)
            if progress is not None:
                progress(len(reasons), total)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt must not wait for the files still queued
    return reasons, found

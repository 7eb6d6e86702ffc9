"""Pictures that are there more than once: files of the same bytes, and pictures that look the same.

A picture is summed up by a difference hash: whether each of 8 x 8 means is darker than the next, along rows and along
columns. Sorting by the hash, turned by several amounts so that each run of its bits comes first once, brings pictures
of nearly the same hash together, and only neighbours in these orders are compared (after Charikar 2002): the cost
grows as n log n. What the hash finds must also look the same in small.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

THUMB = 16
"""Side of the squeezed pictures that are compared."""
_STEP = 2  # levels of 255; smaller differences are noise of compression
_TURNS = 8
_NEIGHBOURS = 8
_FEW_BITS = 14  # of 112 that may differ
# RMS difference in levels of 255: at most a share of the picture's own contrast (and a level, for those without any),
# since pale pictures differ little, and at most so many levels, since strong strokes in slightly other places do too.
_ALIKE_SHARE, _ALIKE_MOST = 0.22, 14.0
_ROWS = 8192  # pairs compared at once


@dataclass(frozen=True)
class Alike:
    """Pictures by number, in groups."""

    exact: list[list[int]]
    """Groups of the same bytes."""
    near: list[list[int]]
    """Groups that look the same and are not all of the same bytes; copies are in them too."""
    group: Int64[np.ndarray, " n"]
    """A number that pictures which are the same or look so share."""


def find_alike(digests: Sequence[bytes], thumbs: UInt8[np.ndarray, "n t t 3"]) -> Alike:
    """Group pictures by their content and their look."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not digests:
        return Alike([], [], np.empty(0, np.int64))
    _, first, content = np.unique(np.array(digests, dtype="V32"), return_index=True, return_inverse=True)
    left, right = near_pairs(thumbs[first])
    links = coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(len(first), len(first)))
    _, look = connected_components(links, directed=False)
    group = look[content].astype(np.int64)
    exact = _groups(content)
    near = [members for members in _groups(group) if len(set(content[members].tolist())) > 1]
    return Alike(exact, near, group)


def near_pairs(thumbs: UInt8[np.ndarray, "n t t 3"]) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
    """Numbers of two pictures each that look the same; of three that do, some pair may be missing."""
    bits = difference_hash(thumbs)
    lefts, rights = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for turn in range(0, bits.shape[1], bits.shape[1] // _TURNS):
        packed = np.packbits(np.roll(bits, -turn, axis=1), axis=1)
        order = packed.view(f"S{packed.shape[1]}").ravel().argsort(kind="stable")
        for shift in range(1, _NEIGHBOURS + 1):
            one, other = order[:-shift], order[shift:]
            close = np.bitwise_count(packed[one] ^ packed[other]).sum(axis=1) <= _FEW_BITS
            lefts.append(np.minimum(one[close], other[close]))
            rights.append(np.maximum(one[close], other[close]))
    pairs = np.unique(np.stack([np.concatenate(lefts), np.concatenate(rights)], axis=1), axis=0)
    parts = np.array_split(pairs, max(1, len(pairs) // _ROWS))
    same = np.concatenate([_look_alike(thumbs[part[:, 0]], thumbs[part[:, 1]]) for part in parts])
    return pairs[same, 0], pairs[same, 1]


def difference_hash(thumbs: UInt8[np.ndarray, "n t t 3"]) -> Bool[np.ndarray, "n 112"]:
    """Whether each of 8 x 8 means of the gray picture is clearly darker than the next, across and down."""
    block = THUMB // 8
    means = thumbs.reshape(len(thumbs), 8, block, 8, block, 3).mean(axis=(2, 4, 5), dtype=np.float32)
    across, down = np.diff(means, axis=2) > _STEP, np.diff(means, axis=1) > _STEP
    return np.concatenate([across.reshape(len(thumbs), -1), down.reshape(len(thumbs), -1)], axis=1)


def _look_alike(ones: UInt8[np.ndarray, "k t t 3"], others: UInt8[np.ndarray, "k t t 3"]) -> Bool[np.ndarray, " k"]:
    first, second = (pictures.reshape(-1, THUMB * THUMB * 3).astype(np.float32) for pictures in (ones, others))
    return _rms(first - second) <= np.minimum(_ALIKE_MOST, 1 + _ALIKE_SHARE * first.std(axis=1))


def _rms(values: Float[np.ndarray, "k v"]) -> Float[np.ndarray, " k"]:
    root: np.ndarray = np.sqrt(np.square(values).mean(axis=1))
    return root


def _groups(numbers: Int64[np.ndarray, " n"]) -> list[list[int]]:
    """The positions of each number that is there twice or more, in order of their first."""
    order = np.argsort(numbers, kind="stable")
    cuts = np.flatnonzero(np.diff(numbers[order])) + 1
    return sorted(part.tolist() for part in np.split(order, cuts) if len(part) > 1)

"""The emoji that ship: Microsoft's Fluent Emoji, in three dimensions and flat (emoji.txt says from where)."""

from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np

from ..tensors import Side
from .containers import open_storage
from .datasets import Domains, ImageSet, open_place
from .folders import Split, enter_split

EMOJI = Path(__file__).with_name("emoji.zip")
EMOJI_FLAT = Path(__file__).with_name("emoji_flat.zip")
SIDE = 128
"""Side of the pictures in both zips, which `benchmarks/emoji.py` makes."""


def emoji(size: Side = 64, *, split: Split = "train") -> ImageSet:
    """Emoji in three dimensions, in colour with opacity; classes are their groups. Names end in their code points."""
    return _open(EMOJI, size, split, with_classes=True)


def emoji_food(size: Side = 64, *, split: Split = "train") -> ImageSet:
    """Food and drink of `emoji` alone, without classes: what a model of the others has not seen."""
    every = emoji(size, split=split)
    return replace(every.select(np.flatnonzero(every.labels == _food(every))), classes=(), labels=None)


def emoji_others(size: Side = 64, *, split: Split = "train") -> ImageSet:
    """`emoji` without food and drink, in seven classes."""
    every = emoji(size, split=split)
    food, chosen = _food(every), every.select(np.flatnonzero(every.labels != _food(every)))
    assert chosen.labels is not None, "its folders are classes"
    classes = every.classes[:food] + every.classes[food + 1 :]
    return replace(chosen, classes=classes, labels=chosen.labels - (chosen.labels > food))


def emoji_pair(size: Side = 64) -> Domains:
    """Flat emoji (A) and emoji in three dimensions (B), with opacity; no emoji to be learned is in both.

    The val pairs have the same name in A and B. They are the test split of `emoji`, and seen in no training.
    """
    flat, solid = _open(EMOJI_FLAT, size, "train"), _open(EMOJI, size, "train")
    others = np.array([index for index, name in enumerate(solid.names) if name not in set(flat.names)])
    return Domains(flat, solid.select(others), _open(EMOJI_FLAT, size, "test"), _open(EMOJI, size, "test"))


def _food(images: ImageSet) -> int:
    return images.classes.index("food-drink")


def _open(file: Path, size: Side, split: Split, *, with_classes: bool = False) -> ImageSet:
    place = enter_split(open_storage(file), split)
    return open_place(place, size, 4, inf, None, with_classes=with_classes, value_range=None)

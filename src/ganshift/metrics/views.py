"""What of an image an extractor sees: the whole of it, brought to the extractor's side, or crops at full resolution.

Bringing 256 pixels to 32 averages 64 of them into one: what generators get wrong in fine detail is gone before anything
is compared. Crops keep it, and lose where in the image it is.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from ..tensors import Bytes

View = Literal["crops", "whole"]
"""Crops where an image is larger than the extractor's side, and the whole of it where not; or always the whole."""
MOST_ALONG_A_SIDE = 4
"""So many crops in a row and in a column at most: 16 of an image."""
CHOICE_SEED = 0
"""Of the crop that speaks for an image."""


def corners(height: int, width: int, side: int) -> list[tuple[int, int]]:
    """Top and left of the crops of `side` x `side` pixels: a grid from edge to edge, the same for every image.

    It covers the image if that takes no more than `MOST_ALONG_A_SIDE` either way. Empty where an image is not larger:
    then the whole of it is looked at.
    """
    if min(height, width) < side or height == width == side:
        return []
    rows, columns = (
        np.linspace(0, length - side, min(-(-length // side), MOST_ALONG_A_SIDE)).round().astype(int).tolist()
        for length in (height, width)
    )
    return [(top, left) for top in rows for left in columns]


def cropped(images: Bytes, side: int) -> UInt8[Tensor, "m c i j"]:
    """The crops of all images, those of each one after the other; the images themselves where there are none."""
    height, width = images.shape[2:]
    places = corners(height, width, side)
    if not places:
        return images
    return torch.stack([images[:, :, top : top + side, left : left + side] for top, left in places], 1).flatten(0, 1)


def one_of_each(rows: Float32[Tensor, "n d"], crops: int) -> Float32[Tensor, "m d"]:
    """One row an image of rows that have `crops` an image: drawn at random, the same of every set of that many."""
    if crops == 1:
        return rows
    chosen = np.random.default_rng(CHOICE_SEED).integers(crops, size=len(rows) // crops)
    return rows[torch.from_numpy(np.arange(len(chosen)) * crops + chosen)]


def rule(crops: int, side: int, whole: str) -> str:
    """What a record says of how an extractor of this side looked at images; of the whole of them it says `whole`."""
    return whole if crops == 1 else f"none: {crops} crops of {side} x {side} of each image"

"""A part of an image set, drawn so that runs on more images have seen those of runs on fewer."""

import numpy as np

from ..errors import UserError
from .datasets import ImageSet


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
        labels = images.labels[order]
        turns = np.empty(len(order), dtype=np.int64)
        for label in np.unique(labels):
            of_class = labels == label
            turns[of_class] = np.arange(of_class.sum())
        order = order[np.argsort(turns, kind="stable")]  # within a turn, classes come in random order
    return images.select(np.sort(order[:count]))

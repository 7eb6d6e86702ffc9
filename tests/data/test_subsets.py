"""Subsets of image sets: nested, balanced over classes, and a function of seed and content."""

import numpy as np
import pytest
import torch
from data.builders import many, write

from ganshift.data.bundled import digits, faces
from ganshift.data.datasets import draw_subset
from ganshift.data.open import open_images
from ganshift.errors import UserError


def test_smaller_subsets_lie_within_larger_ones():
    images = faces(32)
    drawn = [set(draw_subset(images, count).names) for count in (1, 10, 50, 100)]
    assert [len(names) for names in drawn] == [1, 10, 50, 100]
    assert drawn[0] < drawn[1] < drawn[2] < drawn[3] == set(images.names)


def test_seed_and_content_choose():
    images = faces(32)
    subset, again, other = (draw_subset(images, 10, seed) for seed in (0, 0, 1))
    assert subset.names == again.names
    assert subset.content_hash == again.content_hash
    assert set(subset.names) != set(other.names)
    assert len({images.content_hash, subset.content_hash, other.content_hash}) == 3
    resized = draw_subset(faces(64), 10)
    assert resized.names != subset.names  # other content


def test_classes_take_turns():
    images = digits(32, classes=range(3), part=slice(100))
    smallest = int(np.bincount(images.labels).min())
    for count in (3, 30, 3 * smallest):
        subset = draw_subset(images, count)
        assert np.bincount(subset.labels).tolist() == [count // 3] * 3
        assert subset.classes == images.classes
    assert set(draw_subset(images, 30).names) < set(draw_subset(images, 31).names)


def test_images_and_labels_stay_together(tmp_path):
    """In memory, and decoded when read."""
    folder = write(tmp_path / "images", {**many(6, "a/"), **many(6, "b/")})
    for budget in (1e9, 0):
        images = open_images(folder, 8, memory_budget_bytes=budget)
        assert images.streams == (budget == 0)
        subset = draw_subset(images, 4)
        assert subset.streams == images.streams
        numbers = [images.names.index(name) for name in subset.names]
        assert numbers == sorted(numbers)
        assert torch.equal(subset.read([3, 0]), images.read([numbers[3], numbers[0]]))
        assert subset.labels.tolist() == images.labels[numbers].tolist()


def test_too_many():
    with pytest.raises(UserError, match="subset must be at most the number of images, 100, got 101"):
        draw_subset(faces(32), 101)

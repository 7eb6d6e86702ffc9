"""How often a generator that is measured draws each of its classes."""

import numpy as np
import pytest
import torch

from ganshift.data.datasets import open_array
from ganshift.inference.generator_scores import class_labels
from ganshift.metrics.score_record import AS_IN_REFERENCE, IN_TURN


def reference(*counts, classes=("a", "b", "c")):
    """So many images of each class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return open_array(np.zeros((len(labels), 1, 4, 4), np.uint8), labels, classes[: len(counts)])


def test_classes_are_drawn_as_often_as_in_the_reference():
    labels, how = class_labels(200, ("a", "b", "c"), reference(150, 10, 40), "reference")
    assert how == AS_IN_REFERENCE
    assert labels.bincount().tolist() == [150, 10, 40]
    for part in labels.split(20):  # evenly, so that groups of images have about the same classes
        assert part.bincount(minlength=3).tolist() == [15, 1, 4]


@pytest.mark.parametrize("count", [1, 7, 20, 300])
def test_equal_numbers_are_in_turn_as_in_runs_of_earlier_versions(count):
    labels, _ = class_labels(count, ("a", "b", "c"), reference(9, 9, 9), "reference")
    assert torch.equal(labels, torch.arange(count) % 3)


def test_a_class_that_the_reference_lacks_is_not_drawn():
    labels, how = class_labels(30, ("c", "b", "a"), reference(5, 10), "reference")
    assert labels.bincount().tolist() == [0, 20, 10]
    assert how == AS_IN_REFERENCE


def test_all_equally_often_where_asked_for_or_where_the_reference_tells_nothing():
    in_turn = torch.arange(10) % 2
    unlabelled = open_array(np.zeros((3, 1, 4, 4), np.uint8))
    for real, wanted in ((reference(9, 1), "uniform"), (None, "reference"), (unlabelled, "reference")):
        labels, how = class_labels(10, ("a", "b"), real, wanted)
        assert torch.equal(labels, in_turn)
        assert how == IN_TURN
    labels, how = class_labels(10, ("x", "y"), reference(9, 1), "reference")
    assert torch.equal(labels, in_turn)
    assert how == IN_TURN
    assert class_labels(10, (), reference(9, 1), "reference") == (None, None)

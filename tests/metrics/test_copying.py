"""Copies are found, and fair images are not accused."""

import pytest
import torch

from ganshift.metrics.copying import ALARM_PROBABILITY, copying, is_alarm, nearest


def draw(count, seed, dim=8):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def compared(generated, training, held_out):
    """Both probabilities, from features."""
    return copying(nearest(generated, training)[0], nearest(held_out, training)[0])


def test_nearest_has_distance_and_number():
    training = torch.tensor([[0.0, 0.0], [3.0, 4.0], [10.0, 0.0]])
    distances, indices = nearest(torch.tensor([[3.0, 4.0], [9.0, 0.0]]), training)
    assert distances.tolist() == [0.0, 1.0]
    assert indices.tolist() == [1, 2]


def test_a_few_planted_copies_among_fair_images():
    training, held_out, generated = draw(500, 1), draw(500, 2), draw(500, 3)
    generated[100:112] = training[:12] + 0.01
    all_nearer, nearest_generated = compared(generated, training, held_out)
    assert is_alarm(all_nearer, nearest_generated)
    assert all_nearer > 0.01  # the rank test alone does not see so few
    distances, indices = nearest(generated, training)
    assert sorted(distances.argsort()[:12].tolist()) == list(range(100, 112))
    assert indices[100:112].tolist() == list(range(12))


def test_all_a_little_too_near():
    training, held_out = draw(500, 1), draw(500, 2)
    generated = 0.7 * draw(500, 3) + 0.3 * training
    found = compared(generated, training, held_out)
    assert found[0] < 1e-6
    assert is_alarm(*found)


def test_fair_images_raise_few_alarms():
    drawn = ([draw(200, 3 * seed + part) for part in range(3)] for seed in range(200))
    alarms = sum(is_alarm(*compared(*sets)) for sets in drawn)
    assert alarms <= 200 * ALARM_PROBABILITY * 3


def test_ties_and_small_sets_raise_none():
    same = torch.zeros(30, 2)
    assert not is_alarm(*compared(same, same, same))
    assert nearest(same, same)[0].tolist() == [0.0] * 30
    assert compared(draw(1, 1), draw(5, 2), draw(1, 3))[1] == pytest.approx(1)

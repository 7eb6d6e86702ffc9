"""Copies are found, and fair images are not accused."""

import pytest
import torch

from ganshift.metrics.copying import ALARM_PROBABILITY, copying, nearest


def draw(count, seed, dim=8):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def test_nearest_has_distance_and_number():
    training = torch.tensor([[0.0, 0.0], [3.0, 4.0], [10.0, 0.0]])
    distances, indices = nearest(torch.tensor([[3.0, 4.0], [9.0, 0.0]]), training)
    assert distances.tolist() == [0.0, 1.0]
    assert indices.tolist() == [1, 2]


def test_a_few_planted_copies_among_fair_images():
    training, held_out, generated = draw(500, 1), draw(500, 2), draw(500, 3)
    generated[100:112] = training[:12] + 0.01
    found = copying(generated, training, held_out)
    assert found.alarm
    assert found.all_nearer > 0.01  # the rank test alone does not see so few
    assert sorted(found.most_suspicious(12).tolist()) == list(range(100, 112))
    assert found.indices[100:112].tolist() == list(range(12))


def test_all_a_little_too_near():
    training, held_out = draw(500, 1), draw(500, 2)
    generated = 0.7 * draw(500, 3) + 0.3 * training
    found = copying(generated, training, held_out)
    assert found.all_nearer < 1e-6
    assert found.alarm


def test_fair_images_raise_few_alarms():
    alarms = sum(copying(draw(200, 3 * s), draw(200, 3 * s + 1), draw(200, 3 * s + 2)).alarm for s in range(200))
    assert alarms <= 200 * ALARM_PROBABILITY * 3


def test_ties_and_small_sets_raise_none():
    same = torch.zeros(30, 2)
    found = copying(same, same, same)
    assert not found.alarm
    assert found.distances.tolist() == [0.0] * 30
    assert copying(draw(1, 1), draw(5, 2), draw(1, 3)).nearest_generated == pytest.approx(1)

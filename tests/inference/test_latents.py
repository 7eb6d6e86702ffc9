"""Truncation and interpolation of latents: known values and properties."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from ganshift import UserError
from ganshift.inference.latents import draw_latents, slerp, truncate

SEEDS = st.integers(0, 2**63 - 1)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.floats(1e-3, 10), SEEDS)
def test_truncated_numbers_are_within(count, threshold, seed):
    latents = draw_latents(count, seed)
    within = truncate(latents, threshold, seed)
    assert within.abs().max() <= threshold
    kept = latents.abs() <= threshold
    assert torch.equal(within[kept], latents[kept])
    assert not torch.equal(within[~kept], latents[~kept].clamp(-threshold, threshold)) or kept.all()


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(0.1, 3), SEEDS)
def test_more_latents_start_with_the_same(count, more, threshold, seed):
    few, many = draw_latents(count, seed, threshold), draw_latents(count + more, seed, threshold)
    assert torch.equal(few, many[:count])
    assert torch.equal(few, draw_latents(count, seed, threshold))


def test_no_truncation_changes_nothing():
    latents = torch.randn(4, 128, generator=torch.Generator().manual_seed(7))
    assert torch.equal(draw_latents(4, 7), latents)
    assert torch.equal(draw_latents(4, 7, None), latents)
    assert torch.equal(truncate(latents, math.inf, 0), latents)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 1.0, 1.5, 2.0])
def test_truncated_numbers_follow_the_truncated_normal(threshold):
    """Mean 0, and the variance of the closed form 1 - 2 t pdf(t) / (cdf(t) - cdf(-t)), in all and in those redrawn."""
    latents = torch.randn(4000, 128, generator=torch.Generator().manual_seed(1))
    within = truncate(latents, threshold, seed=1)
    density = math.exp(-(threshold**2) / 2) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * threshold * density / math.erf(threshold / math.sqrt(2))
    for values in (within, within[latents.abs() > threshold]):
        error = 6 / math.sqrt(values.numel())
        assert abs(values.mean().item()) < error * math.sqrt(variance)
        assert abs(values.var().item() / variance - 1) < error * math.sqrt(2)


def test_redrawn_numbers_depend_on_the_seed_only():
    far = torch.full((3, 8), 9.0)
    assert torch.equal(truncate(far, 1.0, 5), truncate(-far, 1.0, 5))
    assert not torch.equal(truncate(far, 1.0, 5), truncate(far, 1.0, 6))
    ranks = torch.corrcoef(torch.stack([truncate(far, 1.0, 5).flatten(), draw_latents(1, 5)[0, :24]]))
    assert ranks[0, 1].abs() < 0.6


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.nan, -math.inf])
def test_threshold_must_be_positive(threshold):
    with pytest.raises(UserError, match=r"truncation.* must be (more than 0 standard deviations|a number), got"):
        truncate(torch.zeros(1, 2), threshold, 0)


def test_slerp_on_the_unit_circle():
    """A quarter turn in three steps of thirty degrees."""
    turns = slerp(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 4)
    angles = torch.tensor([0, math.pi / 6, math.pi / 3, math.pi / 2])
    assert_close(turns, torch.stack([angles.cos(), angles.sin()], dim=1)[None])


def test_slerp_of_other_lengths_is_the_published_formula():
    start, end = torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([[2.0, 2 * math.sqrt(3), 0.0]])  # 60 degrees apart
    middle = slerp(start, end, 3)[0, 1]
    assert_close(middle, (start + end)[0] * math.sin(math.pi / 6) / math.sin(math.pi / 3))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(2, 6), SEEDS)
def test_slerp_between_latents(count, steps, seed):
    start, end = draw_latents(2 * count, seed).split(count)
    path = slerp(start, end, steps)
    assert path.shape == (count, steps, 128)
    assert torch.equal(path[:, 0], start)
    assert torch.equal(path[:, -1], end)
    assert_close(slerp(end, start, steps).flip(1), path, rtol=0, atol=1e-5)
    on_sphere = slerp(start / start.norm(dim=1, keepdim=True), end / end.norm(dim=1, keepdim=True), steps)
    assert_close(on_sphere.norm(dim=2), torch.ones(count, steps))
    cosines = (on_sphere[:, 1:] * on_sphere[:, :-1]).sum(2)
    assert_close(cosines, cosines[:, :1].expand_as(cosines), rtol=0, atol=1e-5)  # equal steps of angle


@settings(deadline=None, max_examples=40)
@given(st.floats(-1e-3, 1e-3), st.sampled_from([-3.0, -1.0, 0.0, 1.0, 2.0]), st.integers(2, 5), SEEDS)
def test_slerp_of_nearly_equal_and_opposite_is_finite(tilt, factor, steps, seed):
    start, other = draw_latents(2, seed).split(1)
    end = factor * start + tilt * other
    path = slerp(start, end, steps)
    assert path.isfinite().all()
    assert_close(path[:, 0], start)
    assert_close(path[:, -1], end)


def test_slerp_without_an_arc_is_straight():
    one = torch.ones(1, 5)
    for end in (one, -one, 3 * one, 0 * one):
        path = slerp(one, end, 3)
        assert_close(path[:, 0], one)
        assert_close(path[:, 2], end)
        assert path.isfinite().all()
    assert torch.equal(slerp(one, one, 3)[0], one.expand(3, 5))
    assert torch.equal(slerp(one, -one, 3)[0, 1], torch.zeros(5))
    assert torch.equal(slerp(0 * one, 0 * one, 2), torch.zeros(1, 2, 5))


@pytest.mark.parametrize("steps", [1, 0, -3])
def test_slerp_needs_both_ends(steps):
    with pytest.raises(UserError, match=f"its two ends among them, must be at least 2, got {steps}"):
        slerp(torch.ones(1, 2), torch.ones(1, 2), steps)

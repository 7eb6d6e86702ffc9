"""Augmentations: what they may change, what they must not, and that gradients pass."""

import pytest
import torch
from torch.testing import assert_close

from ganshift.methods.augment import POLICIES, augment, color, cutout, translation
from ganshift.methods.transfer.config import AUGMENTATIONS


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("policy", ["color", "translation", "cutout", "color,translation,cutout"])
def test_shape_dtype_and_gradient(policy, channels):
    torch.manual_seed(0)
    images = (torch.rand(5, channels, 16, 12) * 2 - 1).requires_grad_()
    changed = augment(images, policy)
    assert changed.shape == images.shape
    assert changed.dtype == images.dtype
    assert not torch.equal(changed, images)
    changed.sum().backward()
    assert images.grad.abs().sum() > 0


def test_no_policy_changes_nothing():
    images = torch.rand(2, 3, 8, 8)
    assert augment(images, "") is images


def test_names_are_those_of_the_settings():
    assert tuple(POLICIES) == AUGMENTATIONS


def test_color_is_affine_in_gray_and_keeps_transparency():
    torch.manual_seed(1)
    images = torch.rand(64, 4, 8, 8) * 2 - 1
    changed = color(images)
    assert torch.equal(changed[:, 3:], images[:, 3:])
    gray, other = images[:, :3].mean(dim=1).flatten(1), changed[:, :3].mean(dim=1).flatten(1)
    contrast = (other - other.mean(dim=1, keepdim=True)) / (gray - gray.mean(dim=1, keepdim=True))
    assert_close(contrast.std(dim=1), torch.zeros(64), atol=1e-2, rtol=0)
    factors = contrast.median(dim=1).values
    assert 0.5 <= factors.min() < 0.6
    assert 1.4 < factors.max() <= 1.5
    brightness = other.mean(dim=1) - gray.mean(dim=1)
    assert brightness.abs().max() <= 0.5 + 1e-5
    assert brightness.min() < -0.4
    assert brightness.max() > 0.4


def test_translation_moves_by_whole_pixels_and_fills_with_gray():
    torch.manual_seed(2)
    images = torch.zeros(200, 1, 16, 24)
    images[:, :, 8, 12] = 1.0
    moved = translation(images)
    places = moved.flatten(1).argmax(dim=1)
    rows, columns = places // 24, places % 24
    assert set((rows - 8).tolist()) == set(range(-2, 3))
    assert set((columns - 12).tolist()) == set(range(-3, 4))
    assert_close(moved.flatten(1).sum(dim=1), torch.ones(200))
    assert (translation(torch.ones(50, 1, 16, 16)) == 0).any()


def test_cutout_blanks_one_square():
    torch.manual_seed(3)
    kept = cutout(torch.ones(300, 2, 16, 16))
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(kept[:, 0], kept[:, 1])
    blank = (kept[:, 0] == 0).flatten(1).sum(dim=1)
    assert blank.max() == 64
    assert blank.min() >= 9  # a corner of the square is always inside
    for hole in kept[:, 0] == 0:
        rows, columns = hole.any(dim=1).nonzero().flatten(), hole.any(dim=0).nonzero().flatten()
        assert hole.sum() == len(rows) * len(columns)
        assert rows[-1] - rows[0] + 1 == len(rows)


def test_images_are_changed_each_by_their_own_draw():
    torch.manual_seed(4)
    for change in POLICIES.values():
        images = (torch.rand(1, 3, 16, 16) * 2 - 1).expand(8, -1, -1, -1)
        assert len({tuple(image.flatten().tolist()) for image in change(images)}) > 1

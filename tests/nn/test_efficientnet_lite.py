"""EfficientNet-Lite0 against numbers of the published code (benchmarks/efficientnet_lite.py), and on photographs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from sklearn.datasets import load_sample_image
from torch.nn import functional as F

from benchmarks.efficientnet_lite import images as formula
from ganshift.nn.efficientnet_lite import WIDTHS, open_efficientnet_lite0
from ganshift.tensors import from_uint8

STORED = np.load(Path(__file__).with_name("efficientnet_lite0.npz"))


@pytest.fixture(scope="module")
def network():
    return open_efficientnet_lite0()


@pytest.mark.parametrize("side", [224, 33])
def test_it_is_the_published_network(network, side):
    for name, ours in zip(("features", "logits"), network(formula(side)), strict=True):
        torch.testing.assert_close(ours, torch.from_numpy(STORED[f"rounded_{name}_{side}"]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [224, 33])
def test_float16_weights_cost_half_a_percent(network, side):
    """Each weight is rounded by up to 2^-12 of itself, and 48 layers add up what that changes."""
    for name, ours in zip(("features", "logits"), network(formula(side)), strict=True):
        published = torch.from_numpy(STORED[f"published_{name}_{side}"])
        assert (ours - published).norm() < 0.006 * published.norm()


@pytest.mark.parametrize(
    ("photograph", "number"),
    [
        (data.coffee, 967),  # espresso
        (data.chelsea, 285),  # Egyptian cat
        (lambda: load_sample_image("flower.jpg"), 985),  # daisy
        (lambda: load_sample_image("china.jpg"), 698),  # palace
    ],
)
def test_it_knows_photographs(network, photograph, number):
    stored = torch.from_numpy(np.array(photograph())).permute(2, 0, 1)[None]
    side = min(stored.shape[2:])
    top, left = ((length - side) // 2 for length in stored.shape[2:])
    square = from_uint8(stored[:, :, top : top + side, left : left + side])
    small = F.interpolate(square, (224, 224), mode="bicubic", antialias=True)
    assert network(small)[1].argmax() == number


@pytest.mark.parametrize("shape", [(32, 32), (64, 64), (37, 50), (1, 1)])
def test_levels_halve_images_of_any_shape(network, shape):
    images = torch.rand(2, 3, *shape) * 2 - 1
    found = network.features(images)
    for number, (maps, width) in enumerate(zip(found, WIDTHS, strict=True), 1):
        assert maps.shape == (2, width, *(-(-side // 2**number) for side in shape))
    for level, alone in enumerate(network.features(images, 3)):
        torch.testing.assert_close(alone, found[level])


def test_gradients_reach_the_images_and_stop_there(network):
    images = formula(32).requires_grad_()
    sum(maps.square().mean() for maps in network.features(images)).backward()
    assert (images.grad.flatten(1).norm(dim=1) > 0).all()
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())


def test_opening_draws_no_random_numbers():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    open_efficientnet_lite0()
    assert torch.equal(torch.get_rng_state(), before)

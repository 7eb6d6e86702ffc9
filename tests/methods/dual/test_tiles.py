"""Large pictures in tiles: the result of doing them at once."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from ganshift.methods.dual import tiles
from ganshift.methods.dual.pix2pix import NestedUNet
from ganshift.methods.dual.resnet import ResNetTranslator
from ganshift.methods.dual.tiles import translate_in_tiles
from ganshift.nn.norm import image_statistics

NETWORKS = {
    "resnet": lambda: ResNetTranslator(3, 3, 4, blocks=2, norm="batch"),
    "blurred": lambda: ResNetTranslator(3, 1, 4, blocks=3, norm="batch", blur_down=True, blur_up=True),
    "no norm": lambda: ResNetTranslator(3, 3, 4, blocks=2, norm="none", blur_up=True),
    "unet": lambda: NestedUNet(3, 3, 2, levels=5, norm="batch"),
}


def settled(network):
    """With weights that tell one pixel from another, and running statistics of their maps."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=1.4 / module.weight[0].numel() ** 0.5)
    with torch.no_grad():
        for _ in range(8):
            network.train()(2 * torch.rand(2, 3, 64, 64) - 1)
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(150, 203), (340, 64)])
@torch.no_grad()
def test_tiles_are_exact(name, shape, monkeypatch):
    """Whatever the sides; no tile sees the whole."""
    network, image = settled(NETWORKS[name]()), 2 * torch.rand(1, 3, *shape) - 1
    expected, sizes = network(image), []
    network.register_forward_pre_hook(lambda module, given: sizes.append(given[0].shape[2:].numel()))
    monkeypatch.setattr(tiles, "TILE", 32)
    assert_close(network.translate_large(image), expected, rtol=0, atol=1e-5)
    if name != "unet":  # which looks too far around for so small a picture
        assert len(sizes) > 1
        assert max(sizes) < image[0, 0].numel()


@torch.no_grad()
def test_a_smaller_margin_would_not_do():
    network, image = settled(NETWORKS["blurred"]()), 2 * torch.rand(1, 3, 150, 203) - 1
    assert (translate_in_tiles(network, image, margin=24, tile=32) - network(image)).abs().max() > 1e-3


@torch.no_grad()
def test_norms_that_look_at_the_whole_image_get_it_at_once():
    image = 2 * torch.rand(1, 3, 150, 203) - 1
    by_instance, by_image = ResNetTranslator(3, 3, 4, blocks=1).eval(), settled(NETWORKS["resnet"]())
    image_statistics(by_image, True)
    for network in (by_instance, by_image):
        assert torch.equal(translate_in_tiles(network, image, margin=8, tile=32), network(image))

"""Plain layers give what the layers give that they stand for."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from ganshift.nn.conv import Conv2d
from ganshift.nn.norm import InstanceNorm
from ganshift.nn.plain import Exportable, plain_copy
from ganshift.nn.same_conv import DownConv, UpConv


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("biased", [True, False])
def test_same_convolutions(kernel, biased):
    maps, side = torch.randn(2, 3, 6, 8), (12, 16)
    down, up = DownConv(3, 4, kernel), UpConv(3, 4, kernel)
    for layer in (down, up):
        nn.init.normal_(layer.bias)
    assert_close(down.plain()(maps, biased), down(maps, biased))
    assert_close(up.plain()(maps, side, biased), up(maps, side, biased))


@pytest.mark.parametrize("layer", [Conv2d(3, 4, 3, "up"), Conv2d(3, 4, 3, "down"), Conv2d(3, 4, 1), InstanceNorm(3)])
@pytest.mark.parametrize("side", [2, 8])
def test_other_layers(layer, side):
    maps = torch.randn(2, 3, side, side)
    assert_close(layer.plain()(maps), layer(maps))


def test_instance_norm_of_one_pixel():
    layer, maps = InstanceNorm(3), torch.randn(2, 3, 1, 1)
    assert_close(layer.plain()(maps), layer(maps))


def test_a_copy_shares_its_weights_and_leaves_the_network_alone():
    network = nn.Sequential(nn.Sequential(Conv2d(3, 4, 3), nn.ReLU()), InstanceNorm(4))
    plain = plain_copy(network)
    assert not any(isinstance(layer, Exportable) for layer in plain.modules())
    assert isinstance(network[0][0], Conv2d)
    assert {id(weight) for weight in plain[1].parameters()} == {id(weight) for weight in network[1].parameters()}
    assert plain[0][0].weight.data_ptr() == network[0][0].weight.data_ptr()
    images = torch.randn(2, 3, 8, 8)
    assert_close(plain(images), network(images))

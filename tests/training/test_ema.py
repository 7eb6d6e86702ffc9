"""The moving average against its formula."""

import pytest
import torch
from torch import nn

from ganshift.training.ema import Ema


def constant(value):
    layer = nn.BatchNorm1d(1)
    for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
        tensor.data.fill_(value)
    layer.num_batches_tracked = layer.num_batches_tracked.float()
    return layer


def fill(layer, value):
    for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
        tensor.data.fill_(value)


def test_half_life():
    """After one half-life of images the old weights count half, in however many steps."""
    for steps in (1, 4):
        network = constant(0.0)
        ema = Ema(network, half_life=100)
        fill(network, 1.0)
        for step in range(steps):
            ema.update(images_seen=10_000 + step, images=100 // steps)
        assert ema.average.weight.item() == pytest.approx(0.5)
        assert ema.average.running_var.item() == pytest.approx(0.5)


def test_early_on_the_half_life_is_a_tenth_of_the_images_seen():
    network = constant(0.0)
    ema = Ema(network, half_life=1_000_000)
    fill(network, 1.0)
    ema.update(images_seen=40, images=4)
    assert ema.average.weight.item() == pytest.approx(0.5)


def test_no_half_life_holds_nothing_and_copies_when_asked():
    network = constant(0.0).train()
    ema = Ema(network, half_life=0)
    fill(network, 3.0)
    ema.update(images_seen=5, images=5)
    assert ema.state_dict() == {}
    average = ema.average
    fill(network, 4.0)
    assert average.weight.item() == 3.0
    assert not average.training
    assert not average.weight.requires_grad
    ema.load_state_dict({})
    assert ema.average.weight.item() == 4.0


def test_average_is_a_copy_in_evaluation_mode():
    network = constant(2.0).train()
    ema = Ema(network, half_life=10)
    network.weight.data.fill_(5.0)
    assert ema.average.weight.item() == 2.0
    assert not ema.average.training
    assert not ema.average.weight.requires_grad
    assert network.training


def test_state_round_trip():
    ema, other = Ema(constant(1.0), 10), Ema(constant(0.0), 10)
    other.load_state_dict(ema.state_dict())
    assert torch.equal(other.average.weight, ema.average.weight)

"""The literal baseline does what ours does: the same losses and weights from the same weights and draws.

In double precision, where a difference of method would stand out from rounding by many orders of magnitude.
"""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from benchmarks.literal import dual as literal_dual
from benchmarks.literal import transfer as literal_transfer
from ganshift.methods.dual.config import DualConfig
from ganshift.methods.dual.trainer import new_algorithm, new_optimizer
from ganshift.methods.transfer.algorithm import WGANGP
from ganshift.methods.transfer.config import PRESETS, TransferConfig
from ganshift.methods.transfer.networks import ResNetCritic, ResNetGenerator
from ganshift.training.update import PlainUpdate

BATCH = 3


def images(channels, size):
    return torch.rand(BATCH, channels, size, size, dtype=torch.float64) * 2 - 1


def randomise(network):
    """Gains, biases and all: a fresh network's ones and zeros would hide where they go."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


def assert_same_weights(ours, literal, before):
    ours = {name: value for name, value in ours.state_dict().items() if "running" not in name}
    assert_close(ours, dict(literal.state_dict()), rtol=1e-8, atol=1e-10)
    assert any(not torch.equal(value, before[name]) for name, value in ours.items())


def copied(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("size", [32, 64])
def test_transfer(size, num_classes):
    torch.manual_seed(0)
    preset = PRESETS["cifar10" if size == 32 else "authors64"]
    config = TransferConfig(**preset | {"data": Path("x"), "out": Path("x"), "as_published": True})
    shape = {"size": size, "width": 4, "channels": 3, "num_classes": num_classes}
    generator = ResNetGenerator(**shape).double()
    critic = ResNetCritic(**shape, norm=size == 64, class_head=num_classes > 0).double()
    randomise(generator)
    randomise(critic)
    update = PlainUpdate(
        {
            network: torch.optim.Adam(network.parameters(), rate, betas=(0.0, 0.9))
            for network, rate in ((generator, config.generator_learning_rate), (critic, config.critic_learning_rate))
        }
    )
    ours = WGANGP(generator, critic, config)
    literal = literal_transfer.Training(config, **shape)
    literal.generator.double()
    literal.critic.double()
    literal.load(generator, critic)
    before = copied(generator), copied(critic)

    real, latents = images(3, size), torch.randn(2, BATCH, 128, dtype=torch.float64)
    labels = torch.tensor([[0, 1, 2], [2, 2, 0]]) if num_classes else [None, None]
    mixtures = 2 if size == 32 else 1
    alpha = torch.rand(BATCH, mixtures, dtype=torch.float64)
    with torch.no_grad():
        fake = generator(latents[0], labels[1])
    draws = real, labels[0], latents[0], labels[1], alpha.t().flatten()
    terms = update(critic, ours.critic_loss, real, fake, labels[0], labels[1], alpha)
    assert_close(terms, literal.critic_step(*draws))
    assert_same_weights(critic, literal.critic, before[1])
    draws = latents[1], labels[1]
    assert_close(update(generator, ours.generator_loss, *draws), literal.generator_step(*draws))
    assert_same_weights(generator, literal.generator, before[0])


def test_dual():
    torch.manual_seed(0)
    config = DualConfig(
        data=Path("x"), out=Path("x"), images=1, size=256, generator_width=2, critic_width=2, as_published=True
    )
    ours = new_algorithm(config, 3, 1)
    generators, critics = ours.generators.double(), ours.critics.double()
    randomise(generators)
    randomise(critics)
    literal = literal_dual.Training(config, 3, 1)
    literal.generators.double()
    literal.critics.double()
    literal.load(generators, critics)
    before = copied(generators), copied(critics)

    a, b = images(3, 256), images(1, 256)
    mixes = torch.rand(2, BATCH, dtype=torch.float64)
    update = PlainUpdate({networks: new_optimizer(config, networks) for networks in (generators, critics)})
    fakes = ours.translate(a, b)
    detached = [fake.detach() for fake in fakes]
    terms = update(critics, ours.critic_loss, a, b, *detached, *mixes)
    assert_close(terms, literal.critic_step(a, b, *mixes))
    assert_same_weights(critics, literal.critics, before[1])
    assert_close(update(generators, ours.generator_loss, a, b, *fakes), literal.generator_step(a, b))
    assert_same_weights(generators, literal.generators, before[0])

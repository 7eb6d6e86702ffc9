"""What a step moves, and what its settings do."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from ganshift.methods.transfer.algorithm import TransferState, critic_step, generator_step
from ganshift.methods.transfer.config import TransferConfig
from ganshift.methods.transfer.networks import ResNetCritic, ResNetGenerator
from ganshift.training.grad_accumulation import Shares
from ganshift.training.memory import LivePeak
from ganshift.training.optim import NonFiniteLoss


def new_state(num_classes=0):
    torch.manual_seed(0)
    generator = ResNetGenerator(size=32, width=4, num_classes=num_classes)
    critic = ResNetCritic(size=32, width=4, num_classes=num_classes, class_head=num_classes > 0)
    adams = [torch.optim.Adam(network.parameters(), 1e-3, (0.0, 0.9)) for network in (generator, critic)]
    return TransferState(generator, critic, *adams)


def new_config(**settings):
    return TransferConfig(data=Path("x"), out=Path("x"), images=1, **settings)


def weights(network):
    return {name: value.clone() for name, value in network.named_parameters()}


def changed(before, network):
    return {name for name, value in network.named_parameters() if not torch.equal(before[name], value)}


def draws(num_classes=0):
    labels = torch.tensor([0, 1, 2]) if num_classes else None
    return torch.rand(3, 3, 32, 32) * 2 - 1, labels, torch.randn(3, 128), labels, torch.rand(3)


@pytest.mark.parametrize("num_classes", [0, 3])
def test_critic_step_moves_only_the_critic(num_classes):
    state = new_state(num_classes)
    generator, critic = weights(state.generator), weights(state.critic)
    terms = critic_step(state, *draws(num_classes), new_config())
    assert changed(generator, state.generator) == set()
    assert changed(critic, state.critic) == set(critic) - {"to_score.bias"}  # real minus fake cancels it
    assert set(terms) == {"critic/distance", "critic/penalty"} | ({"critic/classes"} if num_classes else set())


@pytest.mark.parametrize("num_classes", [0, 3])
def test_generator_step_moves_only_the_generator(num_classes):
    state = new_state(num_classes)
    generator, critic = weights(state.generator), weights(state.critic)
    labels = torch.tensor([0, 1]) if num_classes else None
    terms = generator_step(state, torch.randn(2, 128), labels, new_config())
    assert changed(critic, state.critic) == set()
    assert {"start.weight", "to_image.weight"} <= changed(generator, state.generator)
    assert all(parameter.requires_grad for parameter in state.critic.parameters())
    assert set(terms) == {"generator/adversarial"} | ({"generator/classes"} if num_classes else set())


def test_weights_of_terms():
    """Each setting scales its own term and no other."""
    arguments = draws(3)
    plain = critic_step(new_state(3), *arguments, new_config())
    scaled = critic_step(new_state(3), *arguments, new_config(penalty=20.0, acgan_scale=3.0))
    assert_close(scaled["critic/penalty"], 2 * plain["critic/penalty"])
    assert_close(scaled["critic/classes"], 3 * plain["critic/classes"])
    assert_close(scaled["critic/distance"], plain["critic/distance"])


def test_two_mixtures_per_pair_average_their_penalties():
    real, labels, latents, fake_labels, mix = draws()
    other = torch.rand(3)
    one, two, both = (
        critic_step(new_state(), real, labels, latents, fake_labels, numbers, new_config())["critic/penalty"]
        for numbers in (mix, other, torch.cat([mix, other]))
    )
    assert_close(both, (one + two) / 2)


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("critic_images", [1, 2])
def test_a_critic_that_sees_few_images_at_a_time_changes_nothing(num_classes, critic_images):
    """Both steps, the generator's with batch norm over all fakes: the same terms, gradients and running statistics."""
    arguments = draws(num_classes)
    latents, labels = torch.randn(3, 128), torch.tensor([2, 0, 1]) if num_classes else None
    found = []
    for shares in (Shares(), Shares(critic_images=critic_images)):
        state = new_state(num_classes)
        sgd = [torch.optim.SGD(network.parameters(), 0.1) for network in (state.generator, state.critic)]
        state = replace(state, generator_optimizer=sgd[0], critic_optimizer=sgd[1])  # Adam hides what gradients weigh
        terms = critic_step(state, *arguments, new_config(), shares)
        terms |= generator_step(state, latents, labels, new_config(), shares)
        found.append((terms, state.generator.state_dict(), state.critic.state_dict()))
    assert_close(*found, rtol=1e-4, atol=1e-6)


def test_a_critic_that_sees_few_images_at_a_time_needs_less_memory():
    peaks = []
    for critic_images in (None, 2):
        with LivePeak() as live:
            generator_step(new_state(), torch.randn(16, 128), None, new_config(), Shares(critic_images=critic_images))
        peaks.append(live.peak)
    assert peaks[1] < 0.8 * peaks[0]


def test_nothing_moves_on_a_non_finite_loss():
    state = new_state()
    critic = weights(state.critic)
    real, *others = draws()
    real[0, 0, 0, 0] = torch.nan
    with pytest.raises(NonFiniteLoss, match="critic/distance is nan"):
        critic_step(state, real, *others, new_config())
    assert changed(critic, state.critic) == set()
    assert state.critic_optimizer.state_dict()["state"] == {}

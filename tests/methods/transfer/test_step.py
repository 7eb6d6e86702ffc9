"""What a step moves, and what its settings do."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from ganshift.errors import UserError
from ganshift.methods.losses import check_per_image
from ganshift.methods.transfer.algorithm import WGANGP
from ganshift.methods.transfer.config import TransferConfig
from ganshift.methods.transfer.networks import ResNetCritic, ResNetGenerator
from ganshift.training.grad_accumulation import Updates
from ganshift.training.optim import NonFiniteLoss


def new_algorithm(num_classes=0, **settings):
    torch.manual_seed(0)
    generator = ResNetGenerator(size=32, width=4, num_classes=num_classes)
    critic = ResNetCritic(size=32, width=4, num_classes=num_classes, class_head=num_classes > 0)
    return WGANGP(generator, critic, new_config(**settings), num_classes=num_classes)


def updates_of(algorithm, **settings):
    adams = {
        network: torch.optim.Adam(network.parameters(), 1e-3, (0.0, 0.9))
        for network in (algorithm.generator, algorithm.critic)
    }
    return Updates(adams, **settings)


def critic_step(algorithm, real, labels, latents, fake_labels, alpha, update=None):
    with torch.no_grad():
        fake = algorithm.generator(latents, fake_labels)
    update = update or updates_of(algorithm)
    return update(algorithm.critic, algorithm.critic_loss, real, fake, labels, fake_labels, alpha)


def generator_step(algorithm, latents, labels, update=None):
    return (update or updates_of(algorithm))(algorithm.generator, algorithm.generator_loss, latents, labels)


def new_config(**settings):
    return TransferConfig(data=Path("x"), out=Path("x"), images=1, **settings)


def weights(network):
    return {name: value.clone() for name, value in network.named_parameters()}


def changed(before, network):
    return {name for name, value in network.named_parameters() if not torch.equal(before[name], value)}


def draws(num_classes=0):
    labels = torch.tensor([0, 1, 2]) if num_classes else None
    return torch.rand(3, 3, 32, 32) * 2 - 1, labels, torch.randn(3, 128), labels, torch.rand(3, 1)


@pytest.mark.parametrize("num_classes", [0, 3])
def test_critic_step_moves_only_the_critic(num_classes):
    algorithm = new_algorithm(num_classes)
    generator, critic = weights(algorithm.generator), weights(algorithm.critic)
    terms = critic_step(algorithm, *draws(num_classes))
    assert changed(generator, algorithm.generator) == set()
    assert changed(critic, algorithm.critic) >= set(critic) - {"to_score.bias"}  # real minus fake cancels it
    assert set(terms) == {"critic/distance", "critic/penalty"} | ({"critic/classes"} if num_classes else set())


@pytest.mark.parametrize("num_classes", [0, 3])
def test_generator_step_moves_only_the_generator(num_classes):
    algorithm = new_algorithm(num_classes)
    generator, critic = weights(algorithm.generator), weights(algorithm.critic)
    labels = torch.tensor([0, 1]) if num_classes else None
    terms = generator_step(algorithm, torch.randn(2, 128), labels)
    assert changed(critic, algorithm.critic) == set()
    assert {"start.weight", "to_image.weight"} <= changed(generator, algorithm.generator)
    assert all(parameter.requires_grad for parameter in algorithm.critic.parameters())
    assert set(terms) == {"generator/adversarial"} | ({"generator/classes"} if num_classes else set())


def test_weights_of_terms():
    """Each setting scales its own term and no other."""
    arguments = draws(3)
    plain = critic_step(new_algorithm(3), *arguments)
    scaled = critic_step(new_algorithm(3, penalty=20.0, acgan_scale=3.0), *arguments)
    assert_close(scaled["critic/penalty"], 2 * plain["critic/penalty"])
    assert_close(scaled["critic/classes"], 3 * plain["critic/classes"])
    assert_close(scaled["critic/distance"], plain["critic/distance"])


def test_two_points_per_pair_average_their_penalties():
    real, labels, latents, fake_labels, alpha = draws()
    other = torch.rand(3, 1)
    one, two, both = (
        critic_step(new_algorithm(), real, labels, latents, fake_labels, numbers)["critic/penalty"]
        for numbers in (alpha, other, torch.cat([alpha, other], dim=1))
    )
    assert_close(both, (one + two) / 2)


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("at_once", [1, 2])
def test_a_critic_that_sees_few_images_at_a_time_changes_nothing(num_classes, at_once):
    """The generator's batch norm still sees all fakes: the same terms, gradients and running statistics."""
    arguments, found = draws(num_classes), []
    for most in (None, at_once):
        algorithm = new_algorithm(num_classes)
        sgd = {algorithm.critic: torch.optim.SGD(algorithm.critic.parameters(), 0.1)}  # Adam hides what gradients weigh
        update = Updates(sgd, micro_batch=most)
        terms = critic_step(algorithm, *arguments, update)
        found.append((terms, algorithm.generator.state_dict(), algorithm.critic.state_dict()))
    assert_close(*found, rtol=1e-4, atol=1e-6)


def test_nothing_moves_on_a_non_finite_loss():
    algorithm = new_algorithm()
    critic, update = weights(algorithm.critic), updates_of(algorithm)
    real, *others = draws()
    real[0, 0, 0, 0] = torch.nan
    with pytest.raises(NonFiniteLoss, match="critic/distance is nan"):
        critic_step(algorithm, real, *others, update)
    assert changed(critic, algorithm.critic) == set()
    assert update.optimizers[algorithm.critic].state_dict()["state"] == {}


def test_a_critic_that_looks_across_images_is_refused():
    class Mixing(nn.Module):
        per_image = False

    with pytest.raises(UserError, match="Mixing must judge each image alone"):
        check_per_image(Mixing())

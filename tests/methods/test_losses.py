import math

import pytest
import torch

from ganshift.methods import losses

REAL, FAKE = torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 2.0])


def close(ours, expected, **tolerances):
    torch.testing.assert_close(ours, torch.as_tensor(expected, dtype=ours.dtype), **tolerances)


def test_wasserstein_values():
    close(losses.wasserstein_critic_loss(REAL, FAKE), 0.5 - 2.0)
    close(losses.wasserstein_generator_loss(FAKE), -0.5)


def test_classic_values():
    def cross_entropy(score, target):
        probability = 1 / (1 + math.exp(-score))
        return -math.log(probability if target else 1 - probability)

    real = sum(cross_entropy(score, 1) for score in (1.0, 3.0)) / 2
    fake = sum(cross_entropy(score, 0) for score in (-1.0, 2.0)) / 2
    close(losses.classic_critic_loss(REAL, FAKE), real + fake)
    close(losses.classic_generator_loss(FAKE), sum(cross_entropy(score, 1) for score in (-1.0, 2.0)) / 2)
    close(losses.classic_critic_loss(torch.zeros(3), torch.zeros(3)), 2 * math.log(2))


def test_least_squares_values():
    """Of scores 1, 3 and -1, 2: (0 + 4) / 2 and (1 + 4) / 2, halved; and (4 + 1) / 2."""
    close(losses.least_squares_critic_loss(REAL, FAKE), (2.0 + 2.5) / 2)
    close(losses.least_squares_generator_loss(FAKE), 2.5)
    close(losses.least_squares_critic_loss(torch.ones(2), torch.zeros(2)), 0.0)


def test_classic_losses_stay_finite_for_extreme_scores():
    extreme = torch.tensor([-1e4, 1e4])
    assert losses.classic_critic_loss(extreme, extreme).isfinite()
    assert losses.classic_generator_loss(extreme).isfinite()


@pytest.mark.parametrize("name", ["wasserstein", "classic"])
def test_directions(name):
    """A critic gains by telling real from fake, a generator by pleasing the critic; shifts leave the distance alone."""
    critic, generator = getattr(losses, f"{name}_critic_loss"), getattr(losses, f"{name}_generator_loss")
    assert critic(REAL + 1, FAKE) < critic(REAL, FAKE) < critic(REAL, FAKE + 1)
    assert generator(FAKE + 1) < generator(FAKE)
    if name == "wasserstein":
        close(critic(REAL + 5, FAKE + 5), critic(REAL, FAKE))


@pytest.mark.parametrize("shape", [(4,), (4, 1, 2, 2)])
def test_patches_are_averaged(shape):
    real, fake = torch.randn(2, *shape)
    flat = losses.classic_critic_loss(real.flatten(), fake.flatten())
    close(losses.classic_critic_loss(real, fake), flat)


@pytest.mark.parametrize("batch", [1, 4])
def test_gradient_penalty_of_a_linear_critic(batch):
    """Summing the 48 pixels of an image has slope sqrt(48) everywhere, whatever the batch size."""
    real, fake = torch.randn(2, batch, 3, 4, 4)
    penalty = losses.gradient_penalty(lambda x: x.sum(dim=(1, 2, 3)), real, fake)
    close(penalty, (48**0.5 - 1) ** 2)


def test_gradient_penalty_sums_over_patches():
    """Sixteen patches that are the pixels themselves have the slope of their sum."""
    real, fake = torch.randn(2, 2, 1, 4, 4)
    close(losses.gradient_penalty(lambda x: x, real, fake), (16**0.5 - 1) ** 2)


def test_gradient_penalty_is_per_image():
    """Half the squared norm has the mixture itself as slope: mean of (norm - 1)^2, not of the batch's norm."""
    real, fake, alpha = torch.randn(3, 1, 2, 2), torch.randn(3, 1, 2, 2), torch.tensor([0.0, 0.25, 1.0])
    penalty = losses.gradient_penalty(lambda x: x.square().sum(dim=(1, 2, 3)) / 2, real, fake, alpha)
    between = real + alpha.view(3, 1, 1, 1) * (fake - real)
    close(penalty, (between.flatten(1).norm(dim=1) - 1).square().mean())


@pytest.mark.parametrize("epsilon", [1e-12, 1e-8])
def test_gradient_penalty_of_a_flat_critic_has_a_gradient(epsilon):
    weight = torch.zeros((), requires_grad=True)
    images = torch.randn(2, 1, 2, 2)
    penalty = losses.gradient_penalty(lambda x: (weight * x).sum(dim=(1, 2, 3)), images, images, norm_epsilon=epsilon)
    penalty.backward()
    close(penalty.detach(), (epsilon**0.5 - 1) ** 2)
    assert weight.grad.isfinite()


def test_gradient_penalty_reaches_the_critic_and_not_the_images():
    critic, images = torch.nn.Conv2d(1, 1, 2), torch.randn(2, 2, 1, 2, 2, requires_grad=True)
    losses.gradient_penalty(critic, images[0], images[1]).backward()
    assert critic.weight.grad.abs().sum() > 0
    assert images.grad is None


def test_reconstruction_values():
    images, target = torch.tensor([1.0, -0.5]).view(2, 1, 1, 1), torch.tensor([0.0, 0.5]).view(2, 1, 1, 1)
    close(losses.l1(images, target), 1.0)
    close(losses.l2(images / 2, target / 2), 0.25)
    close(losses.l1(images, images), 0.0)

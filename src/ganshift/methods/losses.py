"""Objectives of both methods, as pure functions to be minimised: tensors in, one scalar out.

No weights, no logging, no device moves: a method's `algorithm.py` weighs and names the terms.
Sources: Arjovsky et al. 2017 (arXiv 1701.07875), Gulrajani et al. 2017 (arXiv 1704.00028), Yi et al. 2017 (arXiv
1704.02510), Mao et al. 2017 (arXiv 1611.04076), Zhu et al. 2017 (arXiv 1703.10593).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..nn.autograd import no_weight_gradients
from ..tensors import Images, Scalar


def wasserstein_critic_loss(real: Float[Tensor, "..."], fake: Float[Tensor, "..."]) -> Scalar:
    """Negated Wasserstein-1 estimate, averaged over all scores (Gulrajani et al. 2017, eq. 3, first two terms)."""
    return fake.mean() - real.mean()


def wasserstein_generator_loss(fake: Float[Tensor, "..."]) -> Scalar:
    """Negated mean score of the generated images (Arjovsky et al. 2017, algorithm 1, line 10)."""
    return -fake.mean()


def classic_critic_loss(real: Float[Tensor, "..."], fake: Float[Tensor, "..."]) -> Scalar:
    """Sigmoid cross-entropy with target 1 for real and 0 for fake scores, the two means added."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def classic_generator_loss(fake: Float[Tensor, "..."]) -> Scalar:
    """Sigmoid cross-entropy of fake scores with target 1 (the non-saturating form)."""
    return F.softplus(-fake).mean()


def least_squares_critic_loss(real: Float[Tensor, "..."], fake: Float[Tensor, "..."]) -> Scalar:
    """Half of the mean squared distances of real scores from 1 and of fake ones from 0 (Mao et al. 2017, eq. 9)."""
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def least_squares_generator_loss(fake: Float[Tensor, "..."]) -> Scalar:
    """Mean squared distance of fake scores from 1, without the half, as in CycleGAN (Zhu et al. 2017, section 3.3)."""
    return (fake - 1).square().mean()


def hinge_critic_loss(real: Float[Tensor, "..."], fake: Float[Tensor, "..."]) -> Scalar:
    """Real scores below 1 and fake ones above -1 cost what they lack, averaged (Lim and Ye 2017, arXiv 1705.02894)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def gradient_penalty(
    critic: Callable[[Images], Float[Tensor, "n ..."]],
    real: Images,
    fake: Images,
    alpha: Float[Tensor, " n"] | None = None,
    norm_epsilon: float = 1e-12,
) -> Scalar:
    """Mean of (|gradient of the critic| - 1)^2 at one random mixture per image pair (eq. 3, last term).

    `alpha` in [0, 1] says how much of the fake each mixture holds; by default it is drawn uniformly. The norm is taken
    per image, over all its pixels; `norm_epsilon` is added under its square root, so that its derivative stays finite
    where the gradient is zero. The critic must not mix images of a batch (no batch norm), because all gradients come
    from one backward pass through the summed scores.
    """
    if alpha is None:
        alpha = torch.rand(len(real), device=real.device, dtype=real.dtype)
    between = torch.lerp(real.detach(), fake.detach(), alpha.view(-1, 1, 1, 1)).requires_grad_()
    with torch.autocast(between.device.type, enabled=False):  # second derivatives need the precision
        scores = critic(between)
        with no_weight_gradients():
            (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    norm = (gradient.flatten(1).square().sum(dim=1) + norm_epsilon).sqrt()
    return (norm - 1).square().mean()


def l1(images: Images, target: Images) -> Scalar:
    """Mean absolute difference over all pixels and images."""
    return F.l1_loss(images, target)


def l2(images: Images, target: Images) -> Scalar:
    """Mean squared difference over all pixels and images."""
    return F.mse_loss(images, target)


def check_per_image(critic: nn.Module) -> None:
    """Raise a `UserError` unless the critic says that it judges each image alone, which the penalty relies on."""
    if not getattr(critic, "per_image", False):
        raise UserError(
            f"{type(critic).__name__} must judge each image alone (per_image = True): the gradient penalty takes all "
            "gradients from one backward pass"
        )

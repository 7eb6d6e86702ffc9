"""One update of the critic and one of the generator of WGAN-GP with ACGAN (Gulrajani et al. 2017, algorithm 1).

Latents, labels and mixtures come in as draws, so that without augmentation a step is a function of its arguments alone
(but for batch norm's running statistics).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from .. import losses
from ..data.augment import augment
from ..runtime.optim import descend, frozen
from ..tensors import Images, Labels, Latents, Terms
from .config import TransferConfig
from .networks import ResNetCritic, ResNetGenerator


@dataclass(frozen=True)
class TransferState:
    """The networks and their optimisers."""

    generator: ResNetGenerator
    critic: ResNetCritic
    generator_optimizer: torch.optim.Optimizer
    critic_optimizer: torch.optim.Optimizer


def critic_step(
    state: TransferState,
    real: Images,
    labels: Labels | None,
    latents: Latents,
    fake_labels: Labels | None,
    mix: Float[Tensor, " m"],
    config: TransferConfig,
) -> Terms:
    """Move the critic once; generator parameters stay put.

    `mix` in [0, 1] holds one number per pair of images, or more where every pair is penalised at several mixtures.
    Augmentation, if any, comes before everything that the critic sees, the mixtures included.
    """
    with torch.no_grad():
        fake = augment(state.generator(latents, fake_labels), config.augment)
        real = augment(real, config.augment)
    real_scores, real_logits = state.critic(real, labels)
    fake_scores, _ = state.critic(fake, fake_labels)
    terms = {"critic/distance": losses.wasserstein_critic_loss(real_scores, fake_scores)}
    copies = len(mix) // len(real)
    penalty_labels = labels.repeat(copies) if labels is not None else None
    terms["critic/penalty"] = config.penalty * losses.gradient_penalty(
        lambda images: state.critic(images, penalty_labels)[0],
        real.repeat(copies, 1, 1, 1),
        fake.repeat(copies, 1, 1, 1),
        mix,
    )
    if real_logits is not None and labels is not None:
        terms["critic/classes"] = config.acgan_scale * F.cross_entropy(real_logits, labels)
    return descend(state.critic_optimizer, terms)


def generator_step(state: TransferState, latents: Latents, labels: Labels | None, config: TransferConfig) -> Terms:
    """Move the generator once, towards images that the critic scores higher and sorts into their class."""
    with frozen(state.critic):
        scores, logits = state.critic(augment(state.generator(latents, labels), config.augment), labels)
        terms = {"generator/adversarial": losses.wasserstein_generator_loss(scores)}
        if logits is not None and labels is not None:
            terms["generator/classes"] = config.acgan_scale_generator * F.cross_entropy(logits, labels)
        return descend(state.generator_optimizer, terms)

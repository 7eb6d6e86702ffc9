"""One update of the critic and one of the generator of WGAN-GP with ACGAN (Gulrajani et al. 2017, algorithm 1).

Latents, labels and mixtures come in as draws, so that without augmentation a step is a function of its arguments alone
(but for batch norm's running statistics).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from ...tensors import Images, Labels, Latents, Terms
from ...training.grad_accumulation import WHOLE, Shares
from ...training.optim import frozen
from .. import losses
from ..augment import augment
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
    shares: Shares = WHOLE,
) -> Terms:
    """Move the critic once; generator parameters stay put.

    `mix` in [0, 1] holds one number per pair of images, or more where every pair is penalised at several mixtures.
    Augmentation, if any, comes before everything that the critic sees, the mixtures included.
    """
    mixtures = mix.view(-1, len(real))  # one row per mixture of every pair
    copies = len(mixtures)
    generated = torch.empty_like(real)

    def generate(part: slice) -> None:
        with torch.no_grad():
            generated[part] = state.generator(latents[part], _cut(fake_labels, part))

    def terms_of(part: slice) -> list[Terms]:
        labels_of_real, labels_of_fake = _cut(labels, part), _cut(fake_labels, part)
        fakes, reals = augment(generated[part], config.augment), augment(real[part], config.augment)
        labels_of_both = None
        if labels_of_real is not None and labels_of_fake is not None:
            labels_of_both = torch.cat([labels_of_real, labels_of_fake])
        # No image changes another's features, so that both kinds share a pass. Scores are summed by kind: the gradients
        # of their bias then cancel to 0, of whose rounding Adam would make whole steps.
        of_real, of_fake = state.critic.features(torch.cat([reals, fakes]), labels_of_both).chunk(2)
        real_scores, real_logits = state.critic.judge(of_real)
        fake_scores, _ = state.critic.judge(of_fake)
        terms = {"critic/distance": losses.wasserstein_critic_loss(real_scores, fake_scores)}
        penalty_labels = labels_of_real.repeat(copies) if labels_of_real is not None else None
        terms["critic/penalty"] = config.penalty * losses.gradient_penalty(
            lambda images: state.critic(images, penalty_labels)[0],
            reals.repeat(copies, 1, 1, 1),
            fakes.repeat(copies, 1, 1, 1),
            mixtures[:, part].flatten(),
        )
        if real_logits is not None and labels_of_real is not None:
            terms["critic/classes"] = config.acgan_scale * F.cross_entropy(real_logits, labels_of_real)
        return [terms]

    pairs = max(shares.critic_images // copies, 1) if shares.critic_images else None  # the penalty holds most maps
    return shares.descend(state.critic_optimizer, len(real), terms_of, pairs, generate)


def generator_step(
    state: TransferState, latents: Latents, labels: Labels | None, config: TransferConfig, shares: Shares = WHOLE
) -> Terms:
    """Move the generator once, towards images that the critic scores higher and sorts into their class."""

    def terms_of(part: slice) -> list[Terms]:
        wanted = _cut(labels, part)

        def criticised(fakes: Images, some: slice) -> Terms:
            labels_of_fake = _cut(wanted, some)
            scores, logits = state.critic(augment(fakes, config.augment), labels_of_fake)
            terms = {"generator/adversarial": losses.wasserstein_generator_loss(scores)}
            if logits is not None and labels_of_fake is not None:
                terms["generator/classes"] = config.acgan_scale_generator * F.cross_entropy(logits, labels_of_fake)
            return terms

        return [shares.judge(state.generator(latents[part], wanted), criticised)]

    with frozen(state.critic):
        return shares.descend(state.generator_optimizer, len(latents), terms_of)


def _cut(labels: Labels | None, part: slice) -> Int[Tensor, " m"] | None:
    return None if labels is None else labels[part]

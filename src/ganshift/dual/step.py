"""One update of the critics and one of the generators of DualGAN (Yi et al. 2017, algorithm 1).

`gen_ab` maps domain a to b; `critic_b` judges images of b. The paper names critics by direction instead. Both critics
share an optimizer, and so do both generators: the losses of the two critics have no parameter in common, so that one
step on their sum is a step on each, and the published code, too, steps on the sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .. import losses
from ..runtime.optim import descend, frozen
from ..tensors import Scalar, Terms
from .config import DualConfig

ImagesA = Float[Tensor, "n a h w"]
ImagesB = Float[Tensor, "n b h w"]
"""Domains may differ in channels, not in size; in [-1, 1] like all images."""
Fakes = tuple[ImagesA, ImagesB]
"""Translations into domain a and into domain b."""
SLOPE_EPSILON = 1e-8
"""Added under the root of the critic's slope, as published."""


@dataclass
class DualState:
    """All that training changes."""

    gen_ab: nn.Module
    gen_ba: nn.Module
    critic_a: nn.Module
    critic_b: nn.Module
    generator_optimizer: torch.optim.Optimizer
    critic_optimizer: torch.optim.Optimizer


def training_step(state: DualState, pairs: Sequence[tuple[ImagesA, ImagesB]], config: DualConfig) -> Terms:
    """One iteration: a critic step on each pair of batches, then the generator steps on the last pair, as published.

    The generators stand still during critic steps, so that the last of them and the first generator step judge the very
    same fakes; they are made once, unless dropout makes others each time.
    """
    *others, (a, b) = pairs
    terms: Terms = {}
    for pair in others:
        terms |= critic_step(state, *pair, config)
    fakes = None if config.drop_probability else translate(state, a, b)
    terms |= critic_step(state, a, b, config, fakes=fakes)
    terms |= generator_step(state, a, b, config, fakes)
    for _ in range(config.generator_steps - 1):
        terms |= generator_step(state, a, b, config)  # the generators have moved
    return terms


def translate(state: DualState, a: ImagesA, b: ImagesB) -> Fakes:
    """What the generators make of a batch of each domain: images of domain a, then of domain b."""
    return state.gen_ba(b), state.gen_ab(a)


def critic_step(
    state: DualState,
    a: ImagesA,
    b: ImagesB,
    config: DualConfig,
    mix_a: Float[Tensor, " n"] | None = None,
    mix_b: Float[Tensor, " n"] | None = None,
    fakes: Fakes | None = None,
) -> Terms:
    """Move both critics once; generators stay put. Both batches have the same size.

    `mix_a` and `mix_b` say how much of the fake is in each image that the penalty is taken at; drawn by default.
    `fakes` are the translations of this batch, if they have been made before.
    """
    with torch.no_grad():
        fake_a, fake_b = (fake.detach() for fake in fakes or translate(state, a, b))
    terms = {}
    for domain, critic, real, fake, mix in (
        ("a", state.critic_a, a, fake_a, mix_a),
        ("b", state.critic_b, b, fake_b, mix_b),
    ):
        scores_real, scores_fake = critic(torch.cat([real, fake])).chunk(2)  # it judges each image alone
        terms[f"critic_{domain}/adversarial"] = critic_loss(scores_real, scores_fake, config)
        if config.loss == "wgan-gp":
            slope_loss = losses.gradient_penalty(critic, real, fake, mix, SLOPE_EPSILON)
            terms[f"critic_{domain}/penalty"] = config.penalty * slope_loss
    terms = descend(state.critic_optimizer, terms)
    if config.loss == "wgan":
        clip_weights(state.critic_a, state.critic_b, limit=config.clip)
    return terms


def generator_step(state: DualState, a: ImagesA, b: ImagesB, config: DualConfig, fakes: Fakes | None = None) -> Terms:
    """Move both generators once: fool the critic of the target domain and come back to the source image.

    `fakes` are the translations of this batch, with their graphs, if the generators have not moved since.
    """
    distance = losses.l1 if config.reconstruction == "l1" else losses.l2
    with frozen(state.critic_a, state.critic_b):
        fake_a, fake_b = fakes or translate(state, a, b)
        terms = {
            "gen_ab/adversarial": generator_loss(state.critic_b(fake_b), config),
            "gen_ba/adversarial": generator_loss(state.critic_a(fake_a), config),
            "a/reconstruction": config.weight_a * distance(state.gen_ba(fake_b), a),
            "b/reconstruction": config.weight_b * distance(state.gen_ab(fake_a), b),
        }
        return descend(state.generator_optimizer, terms)


def critic_loss(real: Float[Tensor, "n ..."], fake: Float[Tensor, "n ..."], config: DualConfig) -> Scalar:
    """The adversarial term of a critic, given its scores of real and of fake images."""
    loss = losses.classic_critic_loss if config.loss == "classic" else losses.wasserstein_critic_loss
    return loss(real, fake)


def generator_loss(fake: Float[Tensor, "n ..."], config: DualConfig) -> Scalar:
    """The adversarial term of a generator, given the critic's scores of its images."""
    loss = losses.classic_generator_loss if config.loss == "classic" else losses.wasserstein_generator_loss
    return loss(fake)


@torch.no_grad()
def clip_weights(*critics: nn.Module, limit: float) -> None:
    """Clamp every parameter, gains and biases too, to plus or minus `limit` (Arjovsky et al. 2017, algorithm 1)."""
    parameters: list[Tensor] = [parameter for critic in critics for parameter in critic.parameters()]
    torch._foreach_clamp_min_(parameters, -limit)
    torch._foreach_clamp_max_(parameters, limit)

"""One update of the critics and one of the generators of DualGAN (Yi et al. 2017, algorithm 1).

`gen_ab` maps domain a to b; `critic_b` judges images of b. The paper names critics by direction instead. Both critics
share an optimizer, and so do both generators: the losses of the two critics have no parameter in common, so that one
step on their sum is a step on each, and the published code, too, steps on the sums.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...tensors import Images, Scalar, Terms
from ...training.grad_accumulation import ALL, WHOLE, Shares
from ...training.optim import frozen
from ...training.parallel import side_by_side
from .. import losses
from .config import DualConfig

Result = TypeVar("Result")
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


def training_step(
    state: DualState, pairs: Sequence[tuple[ImagesA, ImagesB]], config: DualConfig, shares: Shares = WHOLE
) -> Terms:
    """One iteration: a critic step on each pair of batches, then the generator steps on the last pair, as published.

    The generators stand still during critic steps, so that the last of them and the first generator step judge the very
    same fakes; they are made once, unless dropout makes others each time, or a batch is computed in shares.
    """
    *others, (a, b) = pairs
    terms: Terms = {}
    for pair in others:
        terms |= critic_step(state, *pair, config, shares=shares)
    kept: list[Fakes] | None = None if config.drop_probability else []
    terms |= critic_step(state, a, b, config, kept=kept, shares=shares)
    terms |= generator_step(state, a, b, config, kept, shares)
    for _ in range(config.generator_steps - 1):
        terms |= generator_step(state, a, b, config, shares=shares)  # the generators have moved
    return terms


def translate(state: DualState, a: ImagesA, b: ImagesB, config: DualConfig) -> Fakes:
    """What the generators make of a batch of each domain: images of domain a, then of domain b."""
    fake_a, fake_b = both(lambda: state.gen_ba(b), lambda: state.gen_ab(a), config, a.device)
    return fake_a, fake_b


def translate_part(
    state: DualState, a: ImagesA, b: ImagesB, part: slice, config: DualConfig, kept: list[Fakes] | None
) -> Fakes:
    """What the generators make of a part of a batch, with their graphs; of all of it, what is kept, if it is."""
    if kept is None or part != ALL:
        if kept:
            kept.clear()  # it was too large, or not finite
        return translate(state, a[part], b[part], config)
    if not kept:
        with torch.enable_grad():  # the step that asks first may not need them
            kept.append(translate(state, a, b, config))
    return kept[0]


def both(
    first: Callable[[], Result], second: Callable[[], Result], config: DualConfig, device: torch.device
) -> list[Result]:
    """Do the halves of a step side by side, unless they draw what to drop."""
    return [first(), second()] if config.drop_probability else side_by_side(first, second, device)


def critic_step(
    state: DualState,
    a: ImagesA,
    b: ImagesB,
    config: DualConfig,
    mix_a: Float[Tensor, " n"] | None = None,
    mix_b: Float[Tensor, " n"] | None = None,
    kept: list[Fakes] | None = None,
    shares: Shares = WHOLE,
) -> Terms:
    """Move both critics once; generators stay put. Both batches have the same size.

    `mix_a` and `mix_b` say how much of the fake is in each image that the penalty is taken at; drawn by default.
    `kept` is where translations of this batch are kept for the steps that follow; None makes them anew.
    """
    if config.loss == "wgan-gp":
        mix_a, mix_b = (shares.uniform(len(a), a.device) if mix is None else mix for mix in (mix_a, mix_b))

    def judge(domain: str, critic: nn.Module, real: Images, fake: Images, mix: Float[Tensor, " n"] | None) -> Terms:
        scores_real, scores_fake = critic(torch.cat([real, fake])).chunk(2)  # it judges each image alone
        terms = {f"critic_{domain}/adversarial": critic_loss(scores_real, scores_fake, config)}
        if config.loss == "wgan-gp":
            slope_loss = losses.gradient_penalty(critic, real, fake, mix, SLOPE_EPSILON)
            terms[f"critic_{domain}/penalty"] = config.penalty * slope_loss
        return terms

    def terms_of(part: slice) -> list[Terms]:
        real_a, real_b = a[part], b[part]
        with torch.no_grad():
            fake_a, fake_b = (fake.detach() for fake in translate_part(state, a, b, part, config, kept))
        mixes_a, mixes_b = (None if mix is None else mix[part] for mix in (mix_a, mix_b))
        return both(
            lambda: judge("a", state.critic_a, real_a, fake_a, mixes_a),
            lambda: judge("b", state.critic_b, real_b, fake_b, mixes_b),
            config,
            a.device,
        )

    terms = shares.descend(state.critic_optimizer, len(a), terms_of)
    if config.loss == "wgan":
        clip_weights(state.critic_a, state.critic_b, limit=config.clip)
    return terms


def generator_step(
    state: DualState,
    a: ImagesA,
    b: ImagesB,
    config: DualConfig,
    kept: list[Fakes] | None = None,
    shares: Shares = WHOLE,
) -> Terms:
    """Move both generators once: fool the critic of the target domain and come back to the source image.

    `kept` may hold the translations of this batch, with their graphs, if the generators have not moved since.
    """
    distance = losses.l1 if config.reconstruction == "l1" else losses.l2

    def terms_of(part: slice) -> list[Terms]:
        real_a, real_b = a[part], b[part]
        fake_a, fake_b = translate_part(state, a, b, part, config, kept)
        return both(
            lambda: {
                "gen_ab/adversarial": generator_loss(state.critic_b(fake_b), config),
                "a/reconstruction": config.weight_a * distance(state.gen_ba(fake_b), real_a),
            },
            lambda: {
                "gen_ba/adversarial": generator_loss(state.critic_a(fake_a), config),
                "b/reconstruction": config.weight_b * distance(state.gen_ab(fake_a), real_b),
            },
            config,
            a.device,
        )

    with frozen(state.critic_a, state.critic_b):
        return shares.descend(state.generator_optimizer, len(a), terms_of)


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

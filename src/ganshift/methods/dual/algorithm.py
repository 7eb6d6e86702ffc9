"""DualGAN: one iteration, from draws to updates (Yi et al. 2017, algorithm 1).

`gen_ab` maps domain a to b; `critic_b` judges images of b. The paper names critics by direction instead. Both critics
share an optimiser, and so do both generators: the losses of the two critics have no parameter in common, so one step on
their sum is a step on each, and the published code steps on the sums, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...nn.side_by_side import Half, side_by_side
from ...tensors import Images, Terms, to_channels
from ...training.draws import Draws
from ...training.update import Update
from .. import losses
from .config import DualConfig

ImagesA = Float[Tensor, "n a h w"]
ImagesB = Float[Tensor, "n b h w"]
"""Domains may differ in channels, not in size; in [-1, 1] like all images."""
Alpha = Float[Tensor, " n"]
GRADIENT_NORM_EPSILON = 1e-8
"""Added under the root of the critic's gradient norm, as published."""
CRITIC_LOSSES = {
    "wgan-gp": losses.wasserstein_critic_loss,
    "wgan": losses.wasserstein_critic_loss,
    "classic": losses.classic_critic_loss,
    "least-squares": losses.least_squares_critic_loss,
}
GENERATOR_LOSSES = {
    "wgan-gp": losses.wasserstein_generator_loss,
    "wgan": losses.wasserstein_generator_loss,
    "classic": losses.classic_generator_loss,
    "least-squares": losses.least_squares_generator_loss,
}
"""Adversarial terms by `config.loss`: of a critic, given its scores of real and of fake images, and of a generator,
given the critic's scores of its images."""


@dataclass(frozen=True)
class DualGAN:
    """The networks and the settings of the algorithm."""

    generators: nn.ModuleDict
    """`gen_ab` and `gen_ba`."""
    critics: nn.ModuleDict
    """`critic_a` and `critic_b`."""
    config: DualConfig

    def iteration(self, pairs: Sequence[tuple[ImagesA, ImagesB]], update: Update, draws: Draws) -> Terms:
        """Algorithm 1: an update of the critics for each pair of batches, then of the generators on the last pair."""
        config = self.config
        terms: Terms = {}
        for a, b in pairs:
            alpha_a, alpha_b = (draws.uniform(config.batch) if config.loss == "wgan-gp" else None for _ in "ab")
            fake_a, fake_b = self.translate(a, b)
            fakes = fake_a.detach(), fake_b.detach()
            terms |= update(self.critics, self.critic_loss, a, b, *fakes, alpha_a, alpha_b)
            if config.loss == "wgan":
                clip_weights(self.critics, config.clip)
        for step in range(config.generator_steps):
            if step > 0 or config.drop_probability:  # the generators have moved, or drop other values
                fake_a, fake_b = self.translate(a, b)
            terms |= update(self.generators, self.generator_loss, a, b, fake_a, fake_b)
        return terms

    def translate(self, a: ImagesA, b: ImagesB) -> tuple[ImagesA, ImagesB]:
        """What the generators make of a batch of each domain: images of domain a, then of domain b."""
        gen_ab, gen_ba = self.generators["gen_ab"], self.generators["gen_ba"]
        fakes = self.both(lambda: {"a": gen_ba(b)}, lambda: {"b": gen_ab(a)}, a.device)
        return fakes["a"], fakes["b"]

    def critic_loss(
        self, a: ImagesA, b: ImagesB, fake_a: ImagesA, fake_b: ImagesB, alpha_a: Alpha | None, alpha_b: Alpha | None
    ) -> Terms:
        """Eq. 1 and 2: each critic tells real images of its domain from fakes.

        `alpha_a` and `alpha_b` say how much of the fake is in each point that the penalty is taken at.
        """
        return self.both(
            lambda: self.critic_terms("a", a, fake_a, alpha_a),
            lambda: self.critic_terms("b", b, fake_b, alpha_b),
            a.device,
        )

    def critic_terms(self, domain: str, real: Images, fake: Images, alpha: Alpha | None) -> Terms:
        """The terms of the critic of one domain."""
        critic = self.critics[f"critic_{domain}"]
        real_scores, fake_scores = critic(torch.cat([real, fake])).chunk(2)  # it judges each image alone
        terms = {f"critic_{domain}/adversarial": CRITIC_LOSSES[self.config.loss](real_scores, fake_scores)}
        if self.config.loss == "wgan-gp":
            penalty = losses.gradient_penalty(critic, real, fake, alpha, GRADIENT_NORM_EPSILON)
            terms[f"critic_{domain}/penalty"] = self.config.penalty * penalty
        return terms

    def generator_loss(self, a: ImagesA, b: ImagesB, fake_a: ImagesA, fake_b: ImagesB) -> Terms:
        """Eq. 3: fool the critic of the target domain, come back to the source image, and keep images of the target."""
        config = self.config
        adversarial = GENERATOR_LOSSES[config.loss]
        distance = losses.l1 if config.reconstruction == "l1" else losses.l2
        gen_ab, gen_ba = self.generators["gen_ab"], self.generators["gen_ba"]
        return self.both(
            lambda: {
                "gen_ab/adversarial": adversarial(self.critics["critic_b"](fake_b)),
                "a/reconstruction": config.weight_a * distance(gen_ba(fake_b), a),
                **self.identity_loss("gen_ba", a, b.shape[1]),
            },
            lambda: {
                "gen_ba/adversarial": adversarial(self.critics["critic_a"](fake_a)),
                "b/reconstruction": config.weight_b * distance(gen_ab(fake_a), b),
                **self.identity_loss("gen_ab", b, a.shape[1]),
            },
            a.device,
        )

    def identity_loss(self, name: str, images: Images, channels: int) -> Terms:
        """Images of the generator's target domain, in channels that it takes, should stay (Zhu et al. 2017, 5.2)."""
        if not self.config.identity:
            return {}
        weight = self.config.identity * (self.config.weight_a if name == "gen_ba" else self.config.weight_b)
        kept = self.generators[name](to_channels(images, channels))
        return {f"{name}/identity": weight * losses.l1(kept, images)}

    def both(self, first: Half, second: Half, device: torch.device) -> dict[str, Tensor]:
        """The two halves of a step, at once where the processor gains from it, unless they draw what to drop."""
        return first() | second() if self.config.drop_probability else side_by_side(first, second, device)


@torch.no_grad()
def clip_weights(critics: nn.Module, limit: float) -> None:
    """Clamp every parameter, gains and biases too, to plus or minus `limit` (Arjovsky et al. 2017, algorithm 1)."""
    parameters: list[Tensor] = list(critics.parameters())
    torch._foreach_clamp_min_(parameters, -limit)
    torch._foreach_clamp_max_(parameters, limit)

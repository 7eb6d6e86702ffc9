"""What `transfer_recipe` compares with the objectives of `transfer`, and does not ship.

`Relativistic` is written from the paper: Huang et al. 2024 (arXiv 2501.05441).
"""

from typing import ClassVar

import torch
from torch.nn import functional as F

from ganshift.methods.augment import augment
from ganshift.methods.transfer.algorithm import WGANGP, RealBatches
from ganshift.tensors import Images, Latents, Terms, dequantize
from ganshift.training.draws import Draws
from ganshift.training.update import Update

GAMMA = 1.0
"""Weight of R1 and R2."""


class FeaturesAlways(WGANGP):
    """The feature critic in every iteration, as Sauer et al. 2021 have theirs."""

    features_every: ClassVar = 1


class Relativistic(WGANGP):
    """The critic says which of a real and a generated image is more real; R1 and R2 on both (Huang et al. 2024)."""

    def iteration(
        self, real_batches: RealBatches, update: Update, draws: Draws, critic_only: bool, features: bool = False
    ) -> Terms:
        """An update of the critic for each real batch, then one of the generator beside the last."""
        batch = self.config.batch
        for stored, _ in real_batches:
            real = dequantize(stored, draws.uniform(batch, *stored.shape[1:]))
            with torch.no_grad():
                fake = self.generator(draws.normal(batch, self.latent_dim), None)
            terms = update(self.critic, self.pair_loss, real, fake)
        if critic_only:
            return terms
        return terms | update(self.generator, self.generator_pair_loss, draws.normal(batch, self.latent_dim), real)

    def pair_loss(self, real: Images, fake: Images) -> Terms:
        """Eq. 2 with the logistic function, and the penalties of section 3.1."""
        shown = [augment(images, self.config.augment).requires_grad_() for images in (real, fake)]
        scores = [self.critic(images, None)[0] for images in shown]
        slopes = [
            torch.autograd.grad(of.sum(), images, create_graph=True)[0].square().sum(dim=(1, 2, 3)).mean()
            for of, images in zip(scores, shown, strict=True)
        ]
        return {
            "critic/pairs": F.softplus(scores[1] - scores[0]).mean(),
            "critic/penalty": GAMMA / 2 * (slopes[0] + slopes[1]),
        }

    def generator_pair_loss(self, latents: Latents, real: Images) -> Terms:
        """The same with the sides exchanged."""
        fake = augment(self.generator(latents, None), self.config.augment)
        real = augment(real, self.config.augment)
        return {"generator/pairs": F.softplus(self.critic(real, None)[0] - self.critic(fake, None)[0]).mean()}

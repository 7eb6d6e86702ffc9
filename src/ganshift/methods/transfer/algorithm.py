"""WGAN-GP with ACGAN: one iteration, from draws to updates (Gulrajani et al. 2017, algorithm 1; Odena et al. 2017).

Wang et al. 2018 fine-tune pretrained networks by it. Departures from the published code are settings
(`config.TransferConfig`), such as the hinge loss with spectral norms (Miyato et al. 2018). A feature critic, if there
is one, is one more update and one more term of the generator's, now and then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ...nn.spectral_norm import renormalise
from ...tensors import Bytes, Images, Labels, Latents, Scalar, Terms, dequantize, from_uint8
from ...training.draws import Draws
from ...training.update import Update
from .. import losses
from ..augment import augment
from .backbone import CriticBackbone, GeneratorBackbone
from .config import TransferConfig
from .feature_critic import FeatureCritic

FEATURE_AUGMENT = "color,translation,cutout"
"""What is changed in all that the feature critic sees, whatever `config.augment` says."""
RealBatches = Sequence[tuple[Bytes, Labels | None]]
"""For each update of the critic, real images and, if there are classes, their labels."""


@dataclass(frozen=True)
class WGANGP:
    """The networks and the settings of the algorithm.

    `generator` maps latents [n, latent_dim], and labels if there are classes, to images; `critic` maps images to scores
    [n] and class logits [n, classes], or None.
    """

    generator: GeneratorBackbone
    critic: CriticBackbone
    config: TransferConfig
    latent_dim: int = 128
    num_classes: int = 0
    mixtures: int = 1
    """Points between each real and fake image that the penalty is taken at; the published 32-pixel code takes two."""
    feature_critic: FeatureCritic | None = None
    features_every: ClassVar = 4
    """Iterations for one in which the feature critic takes part. It takes more time than all else, and in every
    iteration it costs variety (docs/reports/2026-11-small-batches.md)."""

    def iteration(
        self, real_batches: RealBatches, update: Update, draws: Draws, critic_only: bool, features: bool = False
    ) -> Terms:
        """Algorithm 1, lines 2 to 12: an update of the critic for each real batch, then one of the generator.

        With `features`, the feature critic takes part.
        """
        config = self.config
        for stored, labels in real_batches:
            if config.dequantize:
                real = dequantize(stored, draws.uniform(config.batch, *stored.shape[1:]))
            else:
                real = from_uint8(stored)
            latents = draws.normal(config.batch, self.latent_dim)
            fake_labels = labels if config.fake_labels == "real" else self._random_labels(draws, config.batch)
            alpha = torch.stack([draws.uniform(config.batch) for _ in range(self.mixtures)], dim=1)
            with torch.no_grad():
                fake = self.generator(latents, fake_labels)
            renormalise(self.critic)  # only hinge has something to renormalise
            terms = update(self.critic, self.critic_loss, real, fake, labels, fake_labels, alpha)
        if features:  # one update, on the last batch: its loss needs no critic near its optimum
            assert self.feature_critic is not None, "only asked of a run that has one"
            renormalise(self.feature_critic)
            terms |= update(self.feature_critic, self.feature_critic_loss, real, fake, labels, fake_labels)
        if critic_only:
            return terms
        number = config.batch * config.generator_batch_multiple
        latents = draws.normal(number, self.latent_dim)
        labels = self._random_labels(draws, number)
        return terms | update(self.generator, partial(self.generator_loss, features=features), latents, labels)

    def critic_loss(
        self,
        real: Images,
        fake: Images,
        labels: Labels | None,
        fake_labels: Labels | None,
        alpha: Float[Tensor, "n m"],
    ) -> Terms:
        """Eq. 3, or the hinge loss, and the class term of ACGAN: sort real images into their classes (lines 5 to 7).

        `alpha` in [0, 1] holds m numbers for each pair: how much of the fake is in each point that the penalty is taken
        at. Augmentation comes before everything that the critic sees, these points included.
        """
        fake, real = augment(fake, self.config.augment), augment(real, self.config.augment)
        real_scores, real_logits = self.critic(real, labels)
        fake_scores, _ = self.critic(fake, fake_labels)
        if self.config.loss == "hinge":
            terms = {"critic/hinge": losses.hinge_critic_loss(real_scores, fake_scores)}
        else:
            terms = {
                "critic/distance": losses.wasserstein_critic_loss(real_scores, fake_scores),
                "critic/penalty": self.config.penalty * self.penalty(real, fake, labels, alpha),
            }
        if real_logits is not None and labels is not None:
            terms["critic/classes"] = self.config.acgan_scale * F.cross_entropy(real_logits, labels)
        return terms

    def penalty(self, real: Images, fake: Images, labels: Labels | None, alpha: Float[Tensor, "n m"]) -> Scalar:
        """The last term of eq. 3 at m points between each real and fake image."""
        points = alpha.shape[1]
        labels = None if labels is None else labels.repeat(points)
        return losses.gradient_penalty(
            lambda images: self.critic(images, labels)[0],
            real.repeat(points, 1, 1, 1),
            fake.repeat(points, 1, 1, 1),
            alpha.t().flatten(),
        )

    def feature_critic_loss(
        self, real: Images, fake: Images, labels: Labels | None, fake_labels: Labels | None
    ) -> Terms:
        """Hinge on augmented images, averaged over levels, which Sauer et al. 2021 sum (eq. 3)."""
        real_scores, fake_scores = self.feature_scores(real, labels), self.feature_scores(fake, fake_labels)
        return {"critic/features": losses.hinge_critic_loss(real_scores, fake_scores)}

    def generator_loss(self, latents: Latents, labels: Labels | None, features: bool = False) -> Terms:
        """Line 12, and the class term of ACGAN: images that the critic sorts into their class."""
        fake = self.generator(latents, labels)
        scores, logits = self.critic(augment(fake, self.config.augment), labels)
        terms = {"generator/adversarial": losses.wasserstein_generator_loss(scores)}
        if features:
            feature_loss = losses.wasserstein_generator_loss(self.feature_scores(fake, labels))
            terms["generator/features"] = self.config.feature_critic * feature_loss
        if logits is not None and labels is not None:
            terms["generator/classes"] = self.config.acgan_scale_generator * F.cross_entropy(logits, labels)
        return terms

    def feature_scores(self, images: Images, labels: Labels | None) -> Float[Tensor, "n levels scores"]:
        """What the feature critic says of images that are enlarged and then augmented."""
        assert self.feature_critic is not None, "only called with one"
        return self.feature_critic(augment(self.feature_critic.enlarged(images), FEATURE_AUGMENT), labels)

    def _random_labels(self, draws: Draws, batch: int) -> Labels | None:
        return draws.integers(self.num_classes, batch) if self.num_classes else None


def learning_rate_scale(config: TransferConfig, seen: int, budget: int) -> float:
    """What both learning rates are multiplied by after `seen` of `budget` images.

    Decay is that of the published code; warm-up counts the iteration to come, so that the first one moves.
    """
    scale = 1 - seen / budget if config.linear_decay else 1.0
    if seen < config.warmup_images:
        scale *= min(1.0, (seen + config.images_per_iteration) / config.warmup_images)
    return scale

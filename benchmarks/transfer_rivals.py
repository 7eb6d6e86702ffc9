"""What others would train in the place of `transfer`: two published recipes, as arms of `transfer_recipe`.

`stylegan2-ada`: written from the papers (Karras et al. 2020, arXiv 1912.04958 and 2006.06676), on the networks that
ganshift imports. Its settings are those of the paper for CIFAR-10, but for what a processor cannot do in minutes: 64
channels, not 512, and batches of 16, not 64. As there, no style mixing, no path length regularisation and no residual
critic.

`lightweight-gan`: the networks and the augmentation of that package (MIT) with the losses of its trainer, which itself
runs on CUDA alone: `pip install lightweight-gan==1.2.1`. 64 channels at most, not 512, and batches of 16. Its critic
sees every picture once more in 32 pixels, through two layers of attention: a processor needs nearly all of an iteration
for them, many seconds, however narrow all else is. They are left out. Its trainer averages no weights before 20,000
steps, so our average stands for its own.

Both get the images that our arms get, half of them mirrored, and the same average of weights.
"""

import importlib
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, ClassVar
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from benchmarks.adaptive import AdaptiveAugment
from ganshift.errors import UserError
from ganshift.methods import losses
from ganshift.methods.transfer.algorithm import WGANGP, RealBatches
from ganshift.methods.transfer.backbone import GeneratorBackbone
from ganshift.methods.transfer.stylegan2 import StyleGAN2Critic, StyleGAN2Generator
from ganshift.methods.transfer.trainer import TransferTrainer
from ganshift.tensors import Images, Labels, Latents, Terms, from_uint8
from ganshift.training.draws import Draws
from ganshift.training.update import Update

WIDTH = 64
"""Channels of all maps of `stylegan2-ada`, and the most of `lightweight-gan`."""
STYLES = 512
"""Numbers of a latent and of a style."""
SLOWER = 0.01
"""The part of the learning rate that the mapping of latents to styles has."""
LAZY = 16
"""Iterations for one with R1."""
LAZY_SHARE = LAZY / (LAZY + 1)
"""Of the critic's learning rate, since it takes that many more steps (1912.04958, appendix B)."""
STYLEGAN2_RATES = {"generator_learning_rate": 2.5e-3, "critic_learning_rate": 2.5e-3 * LAZY_SHARE}
LIGHTWEIGHT_RATES = {"generator_learning_rate": 2e-4, "critic_learning_rate": 2e-4}
VERSION = "1.2.1"
"""Of the package lightweight-gan."""


@dataclass(frozen=True)
class StyleGAN2ADA(WGANGP):
    """The logistic loss, R1 at every sixteenth iteration, and augmentation that adapts."""

    gamma: float = 0.01
    """Weight of R1, as for CIFAR-10."""
    augmentation: AdaptiveAugment = field(default_factory=AdaptiveAugment)
    numbers: Iterator[int] = field(default_factory=count)
    betas: ClassVar = {"generator": (0.0, 0.99), "critic": (0.0, 0.99**LAZY_SHARE)}

    def iteration(
        self, real_batches: RealBatches, update: Update, draws: Draws, critic_only: bool, features: bool = False
    ) -> Terms:
        """An update of the critic, now and then one more for R1, and one of the generator; it skips none."""
        ((stored, _),) = real_batches
        real = from_uint8(stored)
        with torch.no_grad():
            fake = self.generator(draws.normal(len(real), self.latent_dim), noise="random")
        terms = update(self.critic, self.adversarial_loss, real, fake)
        if next(self.numbers) % LAZY == 0:
            terms |= update(self.critic, self.r1, real)
        return terms | update(self.generator, self.logistic_generator_loss, draws.normal(len(real), self.latent_dim))

    def adversarial_loss(self, real: Images, fake: Images) -> Terms:
        """Cross-entropy; what the critic says of real images moves the augmentation."""
        real_scores, fake_scores = (self.critic(self.augmentation(images))[0] for images in (real, fake))
        self.augmentation.observe(real_scores)
        return {"critic/logistic": losses.classic_critic_loss(real_scores, fake_scores)}

    def r1(self, real: Images) -> Terms:
        """Half of gamma times the squared slopes at augmented real images, for all iterations that go without."""
        shown = self.augmentation(real).requires_grad_()
        (slopes,) = torch.autograd.grad(self.critic(shown)[0].sum(), shown, create_graph=True)
        return {"critic/R1": LAZY * self.gamma / 2 * slopes.square().sum(dim=(1, 2, 3)).mean()}

    def logistic_generator_loss(self, latents: Latents) -> Terms:
        """Cross-entropy with the other answer."""
        scores, _ = self.critic(self.augmentation(self.generator(latents, noise="random")))
        return {"generator/logistic": losses.classic_generator_loss(scores)}


def stylegan2_ada(trainer: TransferTrainer) -> TransferTrainer:
    """The same run by the recipe of StyleGAN2-ADA."""
    size, channels = trainer.data.size, trainer.data.channels
    widths = [WIDTH] * int(math.log2(size) - 1)
    torch.manual_seed(trainer.settings.seed)
    generator = StyleGAN2Generator(
        size=size, latent_dim=STYLES, style_dim=STYLES, mapping_layers=2, widths=widths, channels=channels
    )
    critic = StyleGAN2Critic(size=size, widths=widths, channels=channels, skip=False, group=None)
    equalise(generator)
    equalise(critic)
    return _by(trainer, StyleGAN2ADA(generator, critic, trainer.settings, STYLES))


class Scaled(nn.Module):
    """Weights that a layer scales when it runs, so that all learn at one rate (Karras et al. 2018)."""

    def __init__(self, scale: float):
        super().__init__()
        self.scale = scale

    def forward(self, weights: Tensor) -> Tensor:
        """What the layer uses."""
        return weights * self.scale


def equalise(network: nn.Module) -> None:
    """Draw the weights of a network of StyleGAN2 with variance 1 and let layers scale them, in place.

    Kernels of styled layers stay as they are, since their output is brought to variance 1 anyway.
    """
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        share = SLOWER if name.startswith("mapping.") else 1.0
        nn.init.normal_(layer.weight, std=1 / share)
        register_parametrization(layer, "weight", Scaled(share / math.sqrt(layer.weight[0].numel())))
        if layer.bias is not None:
            nn.init.constant_(layer.bias, float(name.endswith("affine")))  # styles change channels by a factor
            if share != 1:
                register_parametrization(layer, "bias", Scaled(share))


@dataclass(frozen=True)
class LightweightGAN(WGANGP):
    """The hinge loss at two sizes, a critic that also draws what it has seen, and slopes of 0 every fourth iteration.

    `critic` maps images in [0, 1] to scores, to scores of 32 pixels, and to its drawing's loss if asked for.
    """

    augmented: float = 0.0
    """Probability that a batch is augmented."""
    penalty_weight: float = 10.0
    numbers: Iterator[int] = field(default_factory=count)
    betas: ClassVar = {"generator": (0.5, 0.9), "critic": (0.5, 0.9)}

    def iteration(
        self, real_batches: RealBatches, update: Update, draws: Draws, critic_only: bool, features: bool = False
    ) -> Terms:
        """An update of each network; the critic's are never alone."""
        random.seed(torch.initial_seed())  # its augmentation is drawn by Python, too
        ((stored, _),) = real_batches
        real = (from_uint8(stored) + 1) / 2
        with torch.no_grad():
            fake = self.generated(draws.normal(len(real), self.latent_dim))
        loss = partial(self.two_sizes_loss, penalised=next(self.numbers) % 4 == 0)
        terms = update(self.critic, loss, real, fake)
        return terms | update(self.generator, self.two_sizes_generator_loss, draws.normal(len(real), self.latent_dim))

    def two_sizes_loss(self, real: Images, fake: Images, penalised: bool) -> Terms:
        """Of the critic. Its package has real images below fake ones, which is the same."""
        real, fake = (images.detach().requires_grad_(penalised) for images in (real, fake))
        real_scores, real_small, drawing = self.scores(real, calc_aux_loss=True)
        fake_scores, fake_small, _ = self.scores(fake)
        terms = {
            "critic/hinge": losses.hinge_critic_loss(real_scores, fake_scores),
            "critic/hinge 32": losses.hinge_critic_loss(real_small, fake_small),
            "critic/drawing": drawing,
        }
        if penalised:
            total = sum(each.sum() for each in (real_scores, real_small, fake_scores, fake_small))
            slopes = torch.cat(torch.autograd.grad(total, (real, fake), create_graph=True))
            terms["critic/penalty"] = self.penalty_weight * slopes.square().sum(dim=(1, 2, 3)).mean()
        return terms

    def two_sizes_generator_loss(self, latents: Latents) -> Terms:
        """Negated scores at both sizes."""
        scores, small, _ = self.scores(self.generated(latents))
        return {
            "generator/adversarial": losses.wasserstein_generator_loss(scores),
            "generator/adversarial 32": losses.wasserstein_generator_loss(small),
        }

    def scores(self, images: Images, **also: Any) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the critic says of images that its package may change before."""
        return self.critic(images, prob=self.augmented, types=("cutout", "translation"), **also)

    def generated(self, latents: Latents) -> Images:
        """Images in [0, 1], or beyond."""
        return (self.generator(latents) + 1) / 2


class PackageGenerator(GeneratorBackbone):
    """A generator of the package, whose images are in [0, 1]."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, latents: Latents, labels: Labels | None = None) -> Images:
        """Images in [-1, 1]."""
        return 2 * self.network(latents) - 1


def lightweight_gan(trainer: TransferTrainer) -> TransferTrainer:
    """The same run by the recipe of lightweight-gan; a `UserError` where its package is missing."""
    latent_dim = 256
    torch.manual_seed(trainer.settings.seed)
    with mock.patch("torch.cuda.is_available", return_value=True), mock.patch("torch.nn.Module.cuda"):
        try:
            package = importlib.import_module("lightweight_gan.lightweight_gan")  # refuses to be imported without CUDA
        except ModuleNotFoundError as error:
            raise UserError(f"{error}: pip install lightweight-gan=={VERSION}") from None
        package.Blur = nn.Identity  # as its trainer has it, unless it is told to smooth
        networks = package.LightweightGAN(latent_dim=latent_dim, image_size=trainer.data.size, fmap_max=WIDTH)
    for number, layer in enumerate(networks.D.to_shape_disc_out):
        if isinstance(layer, package.Residual):  # attention
            networks.D.to_shape_disc_out[number] = nn.Identity()
    for layer in networks.G.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.num_batches_tracked = None  # whole numbers have no average
    augmented = min(0.5, 3e-6 * (1e5 - len(trainer.data)))  # as its trainer sets it for few images
    generator = PackageGenerator(networks.G)
    return _by(trainer, LightweightGAN(generator, networks.D_aug, trainer.settings, latent_dim, augmented=augmented))


def _by(trainer: TransferTrainer, algorithm: StyleGAN2ADA | LightweightGAN) -> TransferTrainer:
    """The same data, seed and averages for other networks, which Adam moves with other betas."""
    given = trainer.settings, trainer.data, algorithm, trainer.device, trainer.description, "", {}
    changed = TransferTrainer(*given)
    for name, betas in algorithm.betas.items():
        for group in changed.optimizers[changed.networks[name]].param_groups:
            group["betas"] = betas
    return changed

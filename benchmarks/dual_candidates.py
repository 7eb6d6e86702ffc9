"""Candidates for a better `dual`: variants of its algorithm, which `dual_recipe` trains at equal processor time.

What `ganshift.DualConfig` can set is not here. Which of these `dual` takes over is not decided.
"""

import math
import random
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ganshift.methods import losses
from ganshift.methods.dual.algorithm import DualGAN, ImagesA, ImagesB
from ganshift.methods.dual.networks import UNet
from ganshift.methods.dual.resnet import ResNetTranslator
from ganshift.tensors import Images, Scalar, Terms, to_channels

CUT_LAYERS = (0, 4, 8, 12, 16)
"""Of a ResNet with blurs, whose maps CUT contrasts: the image, two halvings and two blocks."""
Change = Callable[[DualGAN], None]
"""Changes networks before they are trained."""
Maps = Float[Tensor, "n c i j"]


class Hinge(DualGAN):
    """The hinge loss (Lim and Ye 2017), whose generator's term is Wasserstein's; with loss wgan-gp."""

    def critic_terms(self, domain: str, real: Images, fake: Images, alpha: Tensor | None) -> Terms:
        """Without the penalty."""
        scores = self.critics[f"critic_{domain}"](torch.cat([real, fake])).chunk(2)
        return {f"critic_{domain}/adversarial": losses.hinge_critic_loss(*scores)}


class Rounded(DualGAN):
    """The way back starts from 8 bits with noise, in which no code hides (Chu et al. 2017, arXiv 1712.02950)."""

    noise = 2 / 256

    def generator_loss(self, a: ImagesA, b: ImagesB, fake_a: ImagesA, fake_b: ImagesB) -> Terms:
        """The way back from images that went through a file; critics see them as they are."""
        terms = super().generator_loss(a, b, fake_a, fake_b)
        gen_ab, gen_ba = self.generators["gen_ab"], self.generators["gen_ba"]
        terms["a/reconstruction"] = self.config.weight_a * losses.l1(gen_ba(self._stored(fake_b)), a)
        terms["b/reconstruction"] = self.config.weight_b * losses.l1(gen_ab(self._stored(fake_a)), b)
        return terms

    def _stored(self, images: Images) -> Images:
        rounded = ((images + 1) * 127.5).round() / 127.5 - 1
        return images + (rounded - images).detach() + self.noise * torch.randn_like(images)


class PatchNCE(DualGAN):
    """Patches of a translation are nearer to their own place in the image than to others of it (Park et al. 2020).

    On features of the generator's own encoder, for each of which it learns a projection.
    """

    patches, dimensions, temperature, weight = 64, 64, 0.07, 1.0

    def generator_loss(self, a: ImagesA, b: ImagesB, fake_a: ImagesA, fake_b: ImagesB) -> Terms:
        """Two terms more, and none of a round trip where its weight is 0."""
        if self.config.weight_a or self.config.weight_b:
            terms = super().generator_loss(a, b, fake_a, fake_b)
        else:
            pairs = (("gen_ab", "critic_b", fake_b), ("gen_ba", "critic_a", fake_a))
            terms = {
                f"{name}/adversarial": losses.least_squares_generator_loss(self.critics[critic](fake))
                for name, critic, fake in pairs
            }
        return terms | self.contrasts(a, b, fake_a, fake_b)

    def contrasts(self, a: Images, b: Images, fake_a: Images, fake_b: Images) -> Terms:
        """Of each generator, given what it starts from and what it made of that, the mean over the depths."""
        terms = {}
        for name, image, fake in (("gen_ab", a, fake_b), ("gen_ba", b, fake_a)):
            network = self.generators[name]
            depths = zip(encoded(network, to_channels(fake, image.shape[1])), encoded(network, image), strict=True)
            found = [self.contrast(*maps, head) for maps, head in zip(depths, network.projections, strict=True)]
            terms[f"{name}/contrast"] = self.weight * torch.stack(found).mean()
        return terms

    def contrast(self, query: Maps, key: Maps, projection: nn.Module) -> Scalar:
        """InfoNCE over places of one image, each place's own key against those of the others."""
        places = torch.randperm(query.shape[2] * query.shape[3])[: self.patches]
        q, k = (projection(maps.flatten(2)[0, :, places].t()) for maps in (query, key.detach()))
        similar = F.normalize(q) @ F.normalize(k).detach().t() / self.temperature
        return F.cross_entropy(similar, torch.arange(len(places)))


def encoded(network: nn.Module, images: Images) -> list[Maps]:
    """What a generator's first layers make of images, at a few depths."""
    found, maps = [], images
    if isinstance(network, UNet):
        for stage in network.down[:3]:
            maps = stage(F.leaky_relu(maps, 0.2) if found else maps)
            found.append(maps)
        return found
    assert isinstance(network, ResNetTranslator)
    for number, layer in enumerate(network.model[: CUT_LAYERS[-1] + 1]):
        maps = layer(maps)
        if number in CUT_LAYERS:
            found.append(maps)
    return found


def add_projections(algorithm: DualGAN) -> None:
    """Two linear layers for each depth of each generator."""
    size = algorithm.config.image_size
    for network in algorithm.generators.values():
        channels = network.in_channels if isinstance(network, UNet) else network.model[1].in_channels
        with torch.no_grad():
            depths = encoded(network, torch.zeros(1, channels, *size))
        network.projections = nn.ModuleList(
            nn.Sequential(
                nn.Linear(maps.shape[1], PatchNCE.dimensions),
                nn.ReLU(),
                nn.Linear(PatchNCE.dimensions, PatchNCE.dimensions),
            )
            for maps in depths
        )


class ResizeConv(nn.Module):
    """Nearest doubling and a convolution (Odena et al. 2016), in the place of `UpConv`."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=bias)
        nn.init.normal_(self.conv.weight, std=0.02)
        if bias:
            nn.init.zeros_(self.conv.bias)

    def forward(self, maps: Maps, side: tuple[int, int], biased: bool = True) -> Tensor:
        """Double to `side`."""
        return self.conv(F.interpolate(maps, size=side, mode="nearest"))


def resize(algorithm: DualGAN) -> None:
    """No transposed convolutions in U-Nets."""
    for network in algorithm.generators.values():
        for stage in network.up:
            old = stage.conv
            stage.conv = ResizeConv(*old.weight.shape[:2], old.weight.shape[2], old.bias is not None)


class Pool:
    """Fakes of earlier steps, half of the time (Shrivastava et al. 2017, as CycleGAN has it)."""

    def __init__(self, seed: int, size: int = 50) -> None:
        self.size, self.kept, self.random = size, [], random.Random(seed)

    def exchange(self, images: Images) -> Images:
        """These images, or older ones that they take the place of; of batches of one image."""
        if len(self.kept) < self.size:
            self.kept.append(images)
            return images
        if self.random.random() < 0.5:
            return images
        place = self.random.randrange(self.size)
        older, self.kept[place] = self.kept[place], images
        return older


class CycleGAN(DualGAN):
    """CycleGAN (Zhu et al. 2017): least squares, round trips, identity and a pool; its networks are settings."""

    def __init__(self, *networks_and_settings: Any) -> None:
        super().__init__(*networks_and_settings)
        object.__setattr__(self, "pools", {"a": Pool(0), "b": Pool(1)})  # the class is frozen

    def identity_loss(self, name: str, images: Images, channels: int) -> Terms:
        """None where domains differ in channels, as in its code."""
        return super().identity_loss(name, images, channels) if images.shape[1] == channels else {}

    def critic_terms(self, domain: str, real: Images, fake: Images, alpha: Tensor | None) -> Terms:
        """Fakes come from the pool."""
        return super().critic_terms(domain, real, self.pools[domain].exchange(fake), alpha)


class CUT(PatchNCE):
    """CUT (Park et al. 2020) both ways at once, which share nothing: least squares, contrast, its identity part."""

    patches, dimensions = 256, 256

    def generator_loss(self, a: ImagesA, b: ImagesB, fake_a: ImagesA, fake_b: ImagesB) -> Terms:
        """The mean of the contrasts of translations and of images that should stay as they are."""
        terms = super().generator_loss(a, b, fake_a, fake_b)
        if a.shape[1] == b.shape[1]:
            gen_ab, gen_ba = self.generators["gen_ab"], self.generators["gen_ba"]
            for name, stay in self.contrasts(b, a, gen_ba(a), gen_ab(b)).items():
                terms[name] = (terms[name] + stay) / 2
        return terms


def masked(images: Images, share: float = 0.4, side: int = 8) -> Images:
    """Images with 40% of their patches in gray (Torbunov et al. 2023, UVCGAN)."""
    rows, columns = (math.ceil(length / side) for length in images.shape[2:])
    kept = (torch.rand(len(images), 1, rows, columns) > share).to(images.dtype)
    return images * F.interpolate(kept, scale_factor=side)[:, :, : images.shape[2], : images.shape[3]]


def inpainting_loss(algorithm: DualGAN) -> Callable[[Images, Images], Terms]:
    """What both generators lower before they translate: to fill in what is missing of images of their own domain."""

    def loss(a: Images, b: Images) -> Terms:
        pairs: Iterable[tuple[str, Images]] = (("gen_ab", a), ("gen_ba", b))
        return {
            f"{name}/inpainting": losses.l1(
                to_channels(algorithm.generators[name](masked(images)), images.shape[1]), images
            )
            for name, images in pairs
        }

    return loss

"""R3GAN's generator and critic (Huang et al. 2024, arXiv 2501.05441): residual blocks of grouped convs, no norms.

Written from a description of the networks, not from their code. Scalings of the published code that hold only at the
start of training are in the start values here too. Images have no final tanh.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ...nn.resample import smooth_double, smooth_half
from ...tensors import Images, Labels, Latents, Scores
from ...training.config import require
from .backbone import CriticBackbone, GeneratorBackbone, check_stages

LEAK = 0.2


class R3GANBlock(nn.Module):
    """x + conv1x1(act(grouped conv3x3(act(conv1x1(x))))), `expansion` times as wide between; act is leaky ReLU."""

    def __init__(self, width: int, expansion: int, groups: int):
        super().__init__()
        between = width * expansion
        self.conv1 = nn.Conv2d(width, between, 1)
        self.conv2 = nn.Conv2d(between, between, 3, padding=1, groups=groups)
        self.conv3 = nn.Conv2d(between, width, 1, bias=False)
        for conv in (self.conv1, self.conv2):
            _initialise(conv.weight, gain=sqrt(2 / (1 + LEAK**2)))
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.conv3.weight)  # so that a fresh block is the identity

    def forward(self, x: Images) -> Images:
        """Map n c h w to the same."""
        between = F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(x), LEAK)), LEAK)
        return x + self.conv3(between)


class R3GANStart(nn.Module):
    """Vectors to maps of 4x4: a learned map a channel, times a linear function of the vector."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.basis = nn.Parameter(torch.randn(width, 4, 4))
        self.linear = nn.Linear(inputs, width, bias=False)
        _initialise(self.linear.weight)

    def forward(self, vectors: Float[Tensor, "n z"]) -> Float[Tensor, "n c 4 4"]:
        """One map a vector."""
        return self.basis * self.linear(vectors)[:, :, None, None]


class R3GANEnd(nn.Module):
    """Maps of 4x4 to vectors: a learned map a channel, which weighs its pixels, and a linear function."""

    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.basis = nn.Conv2d(width, width, 4, groups=width, bias=False)
        self.linear = nn.Linear(width, outputs, bias=False)
        for layer in (self.basis, self.linear):
            _initialise(layer.weight)

    def forward(self, maps: Float[Tensor, "n c 4 4"]) -> Float[Tensor, "n d"]:
        """One vector a map."""
        return self.linear(self.basis(maps).flatten(1))


class R3GANUp(nn.Module):
    """A 1x1 conv where the width changes, then twice the size."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        self.conv = _new_width(c_in, c_out)

    def forward(self, x: Images) -> Float[Tensor, "n d 2*h 2*w"]:
        """Map n c h w to n d 2h 2w."""
        return smooth_double(self.conv(x) if self.conv else x)


class R3GANDown(nn.Module):
    """Half the size, then a 1x1 conv where the width changes."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        self.conv = _new_width(c_in, c_out)

    def forward(self, x: Images) -> Float[Tensor, "n d h//2 w//2"]:
        """Map n c h w to n d h/2 w/2."""
        x = smooth_half(x)
        return self.conv(x) if self.conv else x


class R3GANGenerator(GeneratorBackbone):
    """Latents to images: a stage at 4x4, then one a doubling, each of some blocks.

    `widths`, `blocks` and `groups` have a number a stage, from 4x4 on. With classes, a learned vector of
    `embedding_dim` numbers a class stands beside the latent.
    """

    def __init__(
        self,
        *,
        size: int,
        latent_dim: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        groups: Sequence[int],
        expansion: int = 2,
        channels: int = 3,
        num_classes: int = 0,
        embedding_dim: int = 0,
    ):
        super().__init__()
        _check(size, widths, blocks, groups, expansion)
        self.size, self.latent_dim, self.channels, self.num_classes = size, latent_dim, channels, num_classes
        self.embedding = nn.Embedding(num_classes, embedding_dim) if num_classes else None
        starts = [R3GANStart(latent_dim + (embedding_dim if num_classes else 0), widths[0])]
        ups = [R3GANUp(c_in, c_out) for c_in, c_out in pairwise(widths)]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(first, *(R3GANBlock(width, expansion, in_groups) for _ in range(count)))
                for first, width, count, in_groups in zip([*starts, *ups], widths, blocks, groups, strict=True)
            )
        )
        self.to_image = nn.Conv2d(widths[-1], channels, 1, bias=False)
        _initialise(self.to_image.weight)

    def forward(self, latents: Latents, labels: Labels | None = None) -> Images:
        """Generate one image per latent; `labels` only for a conditional network."""
        if self.embedding:
            latents = torch.cat([latents, self.embedding(labels)], dim=1)
        return self.to_image(self.stages(latents)).to(self.to_image.weight.dtype)


class R3GANCritic(CriticBackbone):
    """Images to one score each; with classes, the product of the image's vector and its class's (Miyato & Koyama 2018).

    `widths`, `blocks` and `groups` have a number a stage, from the image on. It has no class head.
    """

    per_image = True
    class_head = ""

    def __init__(
        self,
        *,
        size: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        groups: Sequence[int],
        expansion: int = 2,
        channels: int = 3,
        num_classes: int = 0,
        embedding_dim: int = 0,
    ):
        super().__init__()
        _check(size, widths, blocks, groups, expansion)
        self.from_image = nn.Conv2d(channels, widths[0], 1, bias=False)
        _initialise(self.from_image.weight)
        downs = [R3GANDown(c_in, c_out) for c_in, c_out in pairwise(widths)]
        ends = [R3GANEnd(widths[-1], embedding_dim if num_classes else 1)]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(*(R3GANBlock(width, expansion, in_groups) for _ in range(count)), last)
                for last, width, count, in_groups in zip([*downs, *ends], widths, blocks, groups, strict=True)
            )
        )
        self.embedding = nn.Embedding(num_classes, embedding_dim) if num_classes else None

    def forward(self, images: Images, labels: Labels | None = None) -> tuple[Scores, None]:
        """Score images of its own size; `labels` only for a conditional network."""
        vectors = self.stages(self.from_image(images))
        if self.embedding:
            vectors = vectors * self.embedding(labels)
        return vectors.to(self.from_image.weight.dtype).sum(dim=1), None

    def blocks_from_image(self) -> list[nn.Module]:
        """The first conv and the stages."""
        return [self.from_image, *self.stages]


def _new_width(c_in: int, c_out: int) -> nn.Conv2d | None:
    if c_in == c_out:
        return None
    conv = nn.Conv2d(c_in, c_out, 1, bias=False)
    _initialise(conv.weight)
    return conv


def _initialise(weight: Tensor, gain: float = 1.0) -> None:
    """Draw normally with standard deviation gain/sqrt(fan in)."""
    nn.init.normal_(weight, std=gain / sqrt(weight[0].numel()))


def _check(size: int, widths: Sequence[int], blocks: Sequence[int], groups: Sequence[int], expansion: int) -> None:
    """Raise unless there is a width, a number of blocks and one of groups for each stage, and they go together."""
    check_stages(size, widths, blocks)
    fit = len(widths) == len(blocks) == len(groups)
    require(fit, "widths, blocks and groups must have a number for each size")
    fit = all(width * expansion % in_groups == 0 for width, in_groups in zip(widths, groups, strict=True))
    require(fit, f"groups must divide expansion x width, got {list(groups)} for {list(widths)}")

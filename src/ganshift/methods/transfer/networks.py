"""The residual generator and critic of WGAN-GP in the two published variants: 32 pixels, and 64 pixels and more.

Sources: Gulrajani et al. 2017 (arXiv 1704.00028), appendix F (32) and C (64); Wang et al. 2018 (arXiv 1805.01677) for
the class-conditional layer norm. 128 pixels extend the 64-pixel networks by one block each.

| size | generator | critic |
|---|---|---|
| 32 | 3 residual blocks of one width, 128 published | own first block, one block down, two plain; mean over the image |
| 64 | 4 blocks, 8d to d channels, d = 64 published | input conv, 4 blocks down, d to 8d channels; flattened |
| 128 | those of 64 with one block more at the 8d end | likewise |
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from math import sqrt
from typing import Any, Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import UserError, choose
from ...nn.activation import downsample, rectify, upsample
from ...nn.conv import Conv2d
from ...nn.norm import BatchNorm, LayerNorm, NoNorm
from ...tensors import Images, Labels, Latents, Scores
from ...training.config import require
from .backbone import Architecture, CriticBackbone, GeneratorBackbone, Networks
from .config import SIZES
from .lightweight_gan import LightweightGANGenerator
from .r3gan import R3GANCritic, R3GANGenerator
from .stylegan2 import StyleGAN2Critic, StyleGAN2Generator

LATENT_DIM = 128
MakeNorm = Callable[[int], nn.Module]
Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class ResidualBlock(nn.Module):
    """Shortcut + (norm, ReLU, conv3x3, norm, ReLU, conv3x3), at twice, half or the same size.

    Going up, the first conv changes the channels; otherwise the second. The shortcut is the identity where nothing
    changes and a 1x1 conv elsewhere, computed at the smaller size: it commutes with the resampling.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        make_norm: MakeNorm,
        resample: Literal["up", "down"] | None = None,
        first_bias: bool = True,
    ):
        super().__init__()
        c_between = c_out if resample == "up" else c_in
        self.resample = resample
        self.norm1 = make_norm(c_in)
        self.conv1 = Conv2d(c_in, c_between, 3, "up" if resample == "up" else None, bias=first_bias)
        self.norm2 = make_norm(c_between)
        self.conv2 = Conv2d(c_between, c_out, 3, "down" if resample == "down" else None)
        self.shortcut = None if resample is None and c_in == c_out else Conv2d(c_in, c_out, 1)
        for conv in (self.conv1, self.conv2):
            initialise(conv, gain=2)
        if self.shortcut:
            initialise(self.shortcut)

    def forward(self, x: Images, labels: Labels | None) -> Float[Tensor, "n c2 h2 w2"]:
        """Map n c h w to n c' h' w'."""
        short = downsample(x) if self.resample == "down" else x
        short = self.shortcut(short) if self.shortcut else short
        x = self.conv1(_rectified(self.norm1, x, labels))
        x = self.conv2(_rectified(self.norm2, x, labels))
        return x + (upsample(short) if self.resample == "up" else short)


class FirstBlock(nn.Module):
    """The first block of the 32-pixel critic: nothing comes before its first conv, and it halves the size."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.conv1 = initialise(Conv2d(channels, width, 3), gain=2)
        self.conv2 = initialise(Conv2d(width, width, 3, "down"), gain=2)
        self.shortcut = initialise(Conv2d(channels, width, 1))

    def forward(self, x: Images, labels: Labels | None) -> Float[Tensor, "n c2 h2 w2"]:
        """Map n channels h w to n width h/2 w/2; the labels change nothing."""
        return self.conv2(rectify(self.conv1(x))) + self.shortcut(downsample(x))


class ResNetGenerator(GeneratorBackbone):
    """Latents to images in [-1, 1]: a linear start at 4x4, then one block per doubling.

    With `num_classes` > 0 its batch norms are class-conditional and labels are needed; the output norm of the 32-pixel
    variant never is. `norm=False` leaves all norms out.
    """

    latent_dim = LATENT_DIM

    def __init__(self, *, size: int, width: int, channels: int = 3, num_classes: int = 0, norm: bool = True):
        super().__init__()
        check_size(size)
        if num_classes and not norm:
            raise UserError("a conditional generator needs norms, through which the labels enter")
        self.size, self.num_classes, self.channels = size, num_classes, channels
        widths = _generator_widths(size, width)

        def make_norm(channels: int) -> nn.Module:
            return BatchNorm(channels, num_classes) if norm else NoNorm()

        self.start = initialise(nn.Linear(LATENT_DIM, widths[0] * 4 * 4))
        self.blocks = nn.ModuleList(
            ResidualBlock(c_in, c_out, make_norm, "up", first_bias=size == 32) for c_in, c_out in pairwise(widths)
        )
        last = widths[-1]
        self.norm = BatchNorm(last) if norm and size == 32 else make_norm(last)
        self.to_image = initialise(Conv2d(last, channels, 3), gain=1 if size == 32 else 2)

    def forward(self, latents: Latents, labels: Labels | None = None) -> Images:
        """Generate one image per latent; `labels` only for a conditional network."""
        x = self.start(latents).unflatten(1, (-1, 4, 4))
        for block in self.blocks:
            x = block(x, labels)  # n c h w -> n c' 2h 2w
        return self.to_image(_rectified(self.norm, x, labels)).to(self.start.weight.dtype).tanh()


class ResNetCritic(CriticBackbone):
    """Images to one score each, and to class logits when it has a class head (ACGAN, Odena et al. 2017).

    `conditional_norm` makes its layer norms class-conditional instead (labels are then needed).
    """

    per_image = True
    class_head = "to_classes"

    def __init__(
        self,
        *,
        size: int,
        width: int,
        channels: int = 3,
        num_classes: int = 0,
        norm: bool = False,
        conditional_norm: bool = False,
        class_head: bool = False,
    ):
        super().__init__()
        check_size(size)
        if conditional_norm and not norm:
            raise UserError(
                "a critic conditioned by its norms never sees the label when they are off: "
                "turn critic_norm on or use conditioning=acgan"
            )

        def make_norm(channels: int) -> nn.Module:
            return LayerNorm(channels, num_classes if conditional_norm else 0) if norm else NoNorm()

        if size == 32:
            self.start: nn.Module = FirstBlock(channels, width)
            steps: list[tuple[int, int, Literal["down"] | None]] = [
                (width, width, "down"),
                (width, width, None),
                (width, width, None),
            ]
        else:
            self.start = initialise(Conv2d(channels, width, 3))
            steps = [(c_in, c_out, "down") for c_in, c_out in pairwise(reversed(_generator_widths(size, width)))]
        self.size = size
        self.blocks = nn.ModuleList(
            ResidualBlock(c_in, c_out, make_norm, resample, first_bias=size == 32) for c_in, c_out, resample in steps
        )
        features = width if size == 32 else steps[-1][1] * 4 * 4
        self.to_score = initialise(nn.Linear(features, 1))
        self.to_classes = initialise(nn.Linear(features, num_classes)) if class_head else None

    def forward(self, images: Images, labels: Labels | None = None) -> tuple[Scores, Float[Tensor, "n classes"] | None]:
        """Score images of its own size; the logits are None without a class head."""
        x = self.start(images, labels) if self.size == 32 else self.start(images)
        for block in self.blocks:
            x = block(x, labels)
        # A mean, not pooling, whose second derivative would send zeros back through all of the above.
        features = rectify(x).mean(dim=(2, 3)) if self.size == 32 else x.flatten(1)
        features = features.to(self.to_score.weight.dtype)
        with torch.autocast(features.device.type, enabled=False):  # few numbers, on which every loss depends
            return self.to_score(features).squeeze(1), self.to_classes(features) if self.to_classes else None

    def blocks_from_image(self) -> list[nn.Module]:
        """The start and the residual blocks."""
        return [self.start, *self.blocks]


def check_size(size: int) -> None:
    """Raise unless there is a variant of the networks for images of this size."""
    choices = ", ".join(map(str, SIZES))
    require(size in SIZES, f"size must be one of {choices} (images are resized to it), got {size}")


def initialise(layer: Layer, gain: int = 1) -> Layer:
    """Draw weights uniformly with variance 2·gain/(fan_in + fan_out), fan = channels·k²; biases 0.

    Gain 1 is Glorot & Bengio 2010; the convs of the blocks have gain 2 (He et al. 2015, averaged over both fans).
    """
    receptive = layer.weight[0, 0].numel()
    bound = sqrt(3) * sqrt(2 * gain / (receptive * (layer.weight.shape[0] + layer.weight.shape[1])))
    nn.init.uniform_(layer.weight, -bound, bound)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _rectified(norm: nn.Module, x: Images, labels: Labels | None) -> Images:
    """ReLU of the normalised map: in place, unless the norm is none, since no norm needs its output for gradients."""
    normalised: Tensor = norm(x, labels)
    return rectify(normalised, in_place=normalised is not x)


def _generator_widths(size: int, width: int) -> list[int]:
    """Channels at 4x4, 8x8, ... up to the image size."""
    doublings = (size // 4).bit_length() - 1
    if size == 32:
        return [width] * (doublings + 1)
    return [width * min(2**level, 8) for level in reversed(range(doublings + 1))]


ARCHITECTURES: dict[str, Architecture] = {
    "resnet": Architecture(
        generator=ResNetGenerator,
        critic=ResNetCritic,
        tags=("wgan-gp", "transfer-learning"),
        papers=(
            "WGAN-GP ([Gulrajani et al. 2017](https://arxiv.org/abs/1704.00028)), as in\n"
            "[Transferring GANs](https://arxiv.org/abs/1805.01677) (Wang et al. 2018)."
        ),
        has_settings=True,
    ),
    "r3gan": Architecture(
        generator=R3GANGenerator,
        critic=R3GANCritic,
        tags=("r3gan",),
        papers="The networks are those of R3GAN ([Huang et al. 2024](https://arxiv.org/abs/2501.05441)).",
    ),
    "stylegan2": Architecture(
        generator=StyleGAN2Generator,
        critic=StyleGAN2Critic,
        tags=("stylegan2",),
        papers="StyleGAN2-ADA ([Karras et al. 2020](https://arxiv.org/abs/2006.06676)).",
        not_trained="their critic compares images of a batch, and the gradient penalty needs each judged alone",
    ),
    "lightweight-gan": Architecture(
        generator=LightweightGANGenerator,
        critic=None,
        tags=("lightweight-gan",),
        papers="lightweight-gan, after [Liu et al. 2021](https://arxiv.org/abs/2101.04775).",
        not_trained="their critic is not read",
    ),
}
"""The networks by the architecture that `config.json` names."""


def new_networks(architecture: str, generator: Mapping[str, Any], critic: Mapping[str, Any]) -> Networks:
    """Generator and critic with fresh weights, drawn in this order.

    A `UserError` if there is no such architecture, or no critic of it.
    """
    known = ARCHITECTURES[choose(architecture, ARCHITECTURES, "architecture")]
    if known.critic is None:
        raise UserError(f"{architecture} networks are not trained: {known.not_trained}")
    return known.generator(**generator), known.critic(**critic)

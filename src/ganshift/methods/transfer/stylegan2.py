"""StyleGAN2's generator and critic (Karras et al. 2020, arXiv 1912.04958 and 2006.06676), for generating and scoring.

Written from a description of the networks, not from their code. The scales of equalised learning rates are in the
weights already: `importing_stylegan2` puts them there. Images have no final tanh, and lie a little beyond [-1, 1].
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import UserError
from ...nn.resample import smooth, smooth_double, smooth_half
from ...tensors import Images, Labels, Latents, Scores
from ...training.config import require
from .backbone import CriticBackbone, GeneratorBackbone, check_stages

LEAK = 0.2
EPSILON = 1e-8
NOISES = ("const", "random", "none")
"""The noise of each layer: the map that came with the weights, a fresh one an image, or none."""
Styles = Float[Tensor, "n s"]
StyleRows = Float[Tensor, "n rows s"]
"""A style for each layer, from 4x4 on."""
Resized = Float[Tensor, "n d h2 w2"]
"""Maps of other channels, and perhaps of twice the size."""


class StyleMapping(nn.Module):
    """Latents, labels or both to styles: each of length 1 a number, then linear layers with leaky ReLU."""

    def __init__(self, latent_dim: int, num_classes: int, style_dim: int, layers: int):
        super().__init__()
        self.embedding = nn.Embedding(num_classes, style_dim) if num_classes else None
        dims = [latent_dim + (style_dim if num_classes else 0), *[style_dim] * layers]
        self.layers = nn.ModuleList(nn.Linear(c_in, c_out) for c_in, c_out in pairwise(dims))

    def forward(self, latents: Latents | None, labels: Labels | None = None) -> Styles:
        """One style per latent or label."""
        parts = [] if latents is None else [_normalised(latents)]
        if self.embedding:
            parts.append(_normalised(self.embedding(labels)))
        x = torch.cat(parts, dim=1)
        for layer in self.layers:
            x = _activated(layer(x))
        return x


class StyleLayer(nn.Module):
    """A 3x3 conv whose input channels the style scales; its output has unit variance again, then noise and bias."""

    noise: Tensor

    def __init__(self, c_in: int, c_out: int, style_dim: int, size: int, up: bool, clamp: float | None):
        super().__init__()
        self.up, self.clamp = up, clamp
        self.affine = nn.Linear(style_dim, c_in)
        self.weight = nn.Parameter(torch.randn(c_out, c_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(size, size))

    def forward(self, x: Images, style: Styles, noise: str) -> Resized:
        """Map n c h w to n d h w, or to twice the size."""
        scales = self.affine(style)
        # Scaling what goes in and what comes out is the same as scaling the kernel of each image.
        power = scales.square() @ self.weight.square().sum(dim=(2, 3)).t()
        x = x * scales[:, :, None, None]
        if self.up:
            x = smooth(F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2), gain=4.0)
        else:
            x = F.conv2d(x, self.weight, padding=1)
        x = x * (power + EPSILON).rsqrt()[:, :, None, None]
        if noise == "const":
            x = x + self.noise * self.noise_strength
        elif noise == "random":
            x = x + torch.randn_like(x[:, :1]) * self.noise_strength
        return _activated(x + self.bias[:, None, None], clamp=self.clamp)


class StyleToImage(nn.Module):
    """A 1x1 conv to colours whose input channels the style scales."""

    def __init__(self, c_in: int, channels: int, style_dim: int, clamp: float | None):
        super().__init__()
        self.clamp = clamp
        self.affine = nn.Linear(style_dim, c_in)
        self.conv = nn.Conv2d(c_in, channels, 1)

    def forward(self, x: Images, style: Styles) -> Float[Tensor, "n d h w"]:
        """Map n c h w to n channels h w."""
        return _clamped(self.conv(x * self.affine(style)[:, :, None, None]), self.clamp)


class StyleBlock(nn.Module):
    """The layers of one size: a doubling one, but for 4x4, one more, and the image of this size."""

    def __init__(
        self, c_in: int | None, c_out: int, channels: int, style_dim: int, size: int, clamp: float | None
    ) -> None:
        super().__init__()
        self.conv0 = StyleLayer(c_in, c_out, style_dim, size, up=True, clamp=clamp) if c_in else None
        self.conv1 = StyleLayer(c_out, c_out, style_dim, size, up=False, clamp=clamp)
        self.to_image = StyleToImage(c_out, channels, style_dim, clamp)

    def forward(self, x: Images, styles: Sequence[Styles], noise: str) -> tuple[Resized, Float[Tensor, "n i h2 w2"]]:
        """Maps of this size, and its image: a style for each layer."""
        if self.conv0:
            x = self.conv0(x, styles[-3], noise)
        x = self.conv1(x, styles[-2], noise)
        return x, self.to_image(x, styles[-1])


class StyleGAN2Generator(GeneratorBackbone):
    """Latents to images: styles, and the sum of an image of each size ("skip").

    `widths` has the channels at each size, from 4x4 on; layers are clamped to [-`clamp`, `clamp`].
    """

    options = ("truncation", "cutoff", "noise")
    mean_style: Tensor

    def __init__(
        self,
        *,
        size: int,
        latent_dim: int,
        style_dim: int,
        mapping_layers: int,
        widths: Sequence[int],
        channels: int = 3,
        num_classes: int = 0,
        clamp: float | None = None,
    ):
        super().__init__()
        check_stages(size, widths, [mapping_layers])
        check_clamp(clamp)
        self.size, self.latent_dim, self.channels, self.num_classes = size, latent_dim, channels, num_classes
        self.mapping = StyleMapping(latent_dim, num_classes, style_dim, mapping_layers)
        self.register_buffer("mean_style", torch.zeros(style_dim))
        self.start = nn.Parameter(torch.randn(widths[0], 4, 4))
        self.blocks = nn.ModuleList(
            StyleBlock(c_in, c_out, channels, style_dim, 4 * 2**level, clamp)
            for level, (c_in, c_out) in enumerate(pairwise([None, *widths]))
            if c_out is not None
        )

    def forward(
        self,
        latents: Latents,
        labels: Labels | None = None,
        truncation: float = 1.0,
        cutoff: int | None = None,
        noise: str = "const",
    ) -> Images:
        """Generate one image per latent: what `synthesise` makes of its `styles`."""
        return self.synthesise(self.styles(latents, labels, truncation, cutoff), noise)

    def styles(
        self, latents: Latents, labels: Labels | None = None, truncation: float = 1.0, cutoff: int | None = None
    ) -> StyleRows:
        """The style of each layer, 2 log2(size) - 2 of them.

        `truncation` is psi of Karras et al. 2019, section 2.1: 0 is the mean style, 1 the style itself; of the first
        `cutoff` layers, or of all. Rows of two latents may be mixed.
        """
        rows = self.mapping(latents, labels)[:, None].repeat(1, 2 * len(self.blocks), 1)
        if truncation == 1:
            return rows
        near = torch.lerp(self.mean_style, rows[:, :cutoff], truncation)
        return torch.cat([near, rows[:, near.shape[1] :]], dim=1)

    def synthesise(self, styles: StyleRows, noise: str = "const") -> Images:
        """Images of the styles; that of each size takes the style of the layer that comes next."""
        if noise not in NOISES:
            raise UserError(f"noise must be {', '.join(NOISES)}, got {noise!r:.40}")
        rows = styles.unbind(dim=1)
        x, image = self.start.expand(styles.shape[0], -1, -1, -1), None
        for level, block in enumerate(self.blocks):
            x, of_size = block(x, rows[max(2 * level - 1, 0) : 2 * level + 2], noise)
            image = of_size if image is None else smooth_double(image) + of_size
        assert image is not None, "there is a first size"
        return image


class StyleGAN2CriticBlock(nn.Module):
    """Two 3x3 convs, the second at half the size, and with `skip` a 1x1 conv beside them."""

    def __init__(self, c_in: int, c_out: int, skip: bool, clamp: float | None):
        super().__init__()
        self.clamp = clamp
        self.conv0 = nn.Conv2d(c_in, c_in, 3, padding=1)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride=2)
        self.skip = nn.Conv2d(c_in, c_out, 1, bias=False) if skip else None

    def forward(self, x: Images) -> Float[Tensor, "n d h//2 w//2"]:
        """Map n c h w to n d h/2 w/2."""
        y = self.conv1(smooth(_activated(self.conv0(x), clamp=self.clamp), padding=(2, 2)))
        if not self.skip:
            return _activated(y, clamp=self.clamp)
        clamp = None if self.clamp is None else self.clamp * sqrt(0.5)
        return self.skip(smooth_half(x)) * sqrt(0.5) + _activated(y, gain=1.0, clamp=clamp)


class StyleGAN2Critic(CriticBackbone):
    """Images to one score each, which depends on the other images: how much a group of them differs is a channel.

    `widths` has the channels at each size, from the image's on. A batch must be a multiple of `group`, or smaller; None
    is the whole batch. Without `skip` blocks are plain ("orig"), with it residual ("resnet").
    """

    per_image = False
    class_head = ""

    def __init__(
        self,
        *,
        size: int,
        widths: Sequence[int],
        channels: int = 3,
        num_classes: int = 0,
        mapping_layers: int = 8,
        skip: bool = True,
        group: int | None = 4,
        clamp: float | None = None,
    ):
        super().__init__()
        check_stages(size, widths, [mapping_layers])
        check_clamp(clamp)
        last = widths[-1]
        self.group, self.clamp = group, clamp
        self.mapping = StyleMapping(0, num_classes, last, mapping_layers) if num_classes else None
        self.from_image = nn.Conv2d(channels, widths[0], 1)
        self.blocks = nn.ModuleList(StyleGAN2CriticBlock(*pair, skip, clamp) for pair in pairwise(widths))
        self.conv = nn.Conv2d(last + 1, last, 3, padding=1)
        self.fc = nn.Linear(last * 4 * 4, last)
        self.out = nn.Linear(last, last if num_classes else 1)

    def forward(self, images: Images, labels: Labels | None = None) -> tuple[Scores, None]:
        """Score images of its own size; `labels` only for a conditional network."""
        x = _activated(self.from_image(images), clamp=self.clamp)
        for block in self.blocks:
            x = block(x)
        x = _activated(self.conv(torch.cat([x, self._difference(x)], dim=1)), clamp=self.clamp)
        vectors = self.out(_activated(self.fc(x.flatten(1))))
        if self.mapping:
            mapped = self.mapping(None, labels)
            return (vectors * mapped).sum(dim=1) / sqrt(mapped.shape[1]), None
        return vectors.squeeze(1), None

    def blocks_from_image(self) -> list[nn.Module]:
        """The first conv, the blocks, and what judges maps of 4x4."""
        return [self.from_image, *self.blocks, self.conv, self.fc, self.out]

    def _difference(self, x: Images) -> Float[Tensor, "n 1 h w"]:
        """The mean standard deviation of every pixel and channel over the group that an image belongs to."""
        count = min(self.group or len(x), len(x))
        require(len(x) % count == 0, f"this critic compares groups of {count} images, and {len(x)} are no multiple")
        groups = x.unflatten(0, (count, -1))  # g n/g c h w: image i is in group i modulo n/g
        deviation = (groups.var(dim=0, correction=0) + EPSILON).sqrt().mean(dim=(1, 2, 3))
        return deviation.repeat(count)[:, None, None, None].expand(-1, 1, *x.shape[2:])


def check_clamp(clamp: object) -> None:
    """Raise unless layers can be clamped to it."""
    fit = clamp is None or (isinstance(clamp, int | float) and 0 < clamp < 2**31)
    require(fit, f"clamp must be a number from 0 to 2^31, got {clamp!r:.40}")


def _normalised(vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Vectors of mean square 1."""
    return vectors * (vectors.square().mean(dim=1, keepdim=True) + EPSILON).rsqrt()


def _activated(x: Tensor, gain: float = sqrt(2), clamp: float | None = None) -> Tensor:
    return _clamped(F.leaky_relu(x, LEAK) * gain, clamp)


def _clamped(x: Tensor, clamp: float | None) -> Tensor:
    return x if clamp is None else x.clamp(-clamp, clamp)

"""The generator of lightweight-gan (after Liu et al. 2021, arXiv 2101.04775), without attention, for generating.

Written from a description of the network, not from its code. Its tool has images in [0, 1]; `importing_lightweight_gan`
puts the way to [-1, 1] into the last layer.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import UserError
from ...nn.norm import BatchNorm
from ...tensors import Images, Labels, Latents
from .backbone import GeneratorBackbone, check_stages

SKIP_LAYERS = 3
"""Layers between one whose maps excite channels and the one whose channels they are."""
EXCITING_SIZES = (16, 32, 64, 128)
"""Sizes of the maps that do: twice the size that the layer takes."""
NoiseMaps = Sequence[Float[Tensor, "n 1 _ _"]] | Literal["random", "none"]
"""The noise of each layer from 8x8 on: maps, fresh ones, or none."""


class LightweightStart(nn.Module):
    """Latents to maps of 4x4, each pixel of length 1."""

    def __init__(self, latent_dim: int):
        super().__init__()
        self.conv = nn.ConvTranspose2d(latent_dim, 2 * latent_dim, 4)
        self.norm = BatchNorm(2 * latent_dim)

    def forward(self, latents: Latents) -> Float[Tensor, "n z 4 4"]:
        """One map a latent."""
        return F.normalize(F.glu(self.norm(self.conv(latents[:, :, None, None])), dim=1), dim=1)


class LightweightLayer(nn.Module):
    """Twice the size by shuffled pixels, perhaps smoothed; a 4x4 conv, noise, norm, and a gate."""

    def __init__(self, c_in: int, c_out: int, antialias: bool):
        super().__init__()
        self.antialias = antialias
        self.widen = nn.Conv2d(c_in, 4 * c_in, 1)
        self.conv = nn.Conv2d(c_in, 2 * c_out, 4)
        self.noise_strength = nn.Parameter(torch.zeros(1))
        self.norm = BatchNorm(2 * c_out)

    def forward(self, x: Images, noise: Tensor | None) -> Float[Tensor, "n d 2*h 2*w"]:
        """Map n c h w to n d 2h 2w."""
        x = F.pixel_shuffle(F.silu(self.widen(x)), 2)
        if self.antialias:
            row = torch.arange(3, device=x.device, dtype=x.dtype).sub(1).abs().neg().add(2)  # 1 2 1
            kernel = (row[:, None] * row / 16).expand(x.shape[1], 1, 3, 3)
            x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, groups=x.shape[1])
        x = self.conv(F.pad(x, (2, 1, 2, 1)))
        if noise is not None:
            x = x + noise * self.noise_strength
        return F.glu(self.norm(x), dim=1)


class SkipExcitation(nn.Module):
    """Maps to a factor for each channel of a later layer (Liu et al. 2021, section 3.1)."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        between = max(3, c_out // 2)
        self.to_weights = nn.Conv2d(c_in, 1, 1)
        self.conv0 = nn.Conv2d(c_in, between, 1)
        self.conv1 = nn.Conv2d(between, c_out, 1)

    def forward(self, x: Images) -> Float[Tensor, "n d 1 1"]:
        """Factors between 0 and 1."""
        weights = self.to_weights(x).flatten(2).softmax(dim=2)  # n 1 h*w
        context = (x.flatten(2) * weights).sum(dim=2)[:, :, None, None]
        return self.conv1(F.leaky_relu(self.conv0(context), 0.1)).sigmoid()


class LightweightGANGenerator(GeneratorBackbone):
    """Latents to images: a layer a doubling, of which some excite the channels of later ones.

    `widths` has the channels at each size, from 4x4 on, where they are as many as a latent has numbers.
    """

    num_classes = 0
    options = ("noise",)

    def __init__(self, *, size: int, widths: Sequence[int], channels: int = 3, antialias: bool = False):
        super().__init__()
        check_stages(size, widths)
        self.size, self.latent_dim, self.channels = size, widths[0], channels
        self.start = LightweightStart(widths[0])
        self.layers = nn.ModuleList(LightweightLayer(*pair, antialias) for pair in pairwise(widths))
        self.excitations = nn.ModuleDict()
        """By the number of the layer whose output excites."""
        for number in range(len(widths) - 1 - SKIP_LAYERS):
            if 8 * 2**number in EXCITING_SIZES:
                self.excitations[str(number)] = SkipExcitation(widths[number + 1], widths[number + 1 + SKIP_LAYERS])
        self.to_image = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, latents: Latents, labels: Labels | None = None, noise: NoiseMaps = "none") -> Images:
        """Generate one image per latent."""
        known = noise in ("random", "none") if isinstance(noise, str) else len(noise) == len(self.layers)
        if not known:
            raise UserError(f"noise must be random, none, or a map for each of {len(self.layers)} layers")
        x = self.start(latents)
        factors: dict[int, Tensor] = {}
        for number, layer in enumerate(self.layers):
            maps: Tensor | None = None
            if noise == "random":
                maps = torch.randn(len(x), 1, 2 * x.shape[2], 2 * x.shape[3], device=x.device, dtype=x.dtype)
            elif noise != "none":
                maps = noise[number]
            x = layer(x, maps)
            if str(number) in self.excitations:
                factors[number + SKIP_LAYERS] = self.excitations[str(number)](x)
            if number in factors:
                x = x * factors[number]
        return self.to_image(x)

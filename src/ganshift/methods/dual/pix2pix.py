"""The U-Net of pix2pix (Isola et al. 2017, arXiv 1611.07004), as CycleGAN's code has it: `unet_128` and `unet_256`.

Levels are nested and have the names of the published code, so that its files fit by name. Departure: images whose sides
are not multiples of 2 to the number of levels are continued by their last row and column, and the result is cut to
their size; the published network refuses them.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import UserError
from ...nn.same_conv import Maps
from .backbone import TranslationBackbone
from .layers import NormKind, draw_weights, has_bias, new_norm
from .tiles import translate_in_tiles

LEAK = 0.2
MAX_WIDENING = 8
FEWEST_LEVELS = 5
MAX_LEVELS = 12


class NestedLevel(nn.Module):
    """A halving, what is inside, and a doubling; all but the outermost give what they take beside what they make."""

    def __init__(
        self,
        outer: int,
        inner: int,
        inside: "NestedLevel | None",
        norm: NormKind,
        drops: bool = False,
        images: tuple[int, int] | None = None,
    ) -> None:
        """`outer` and `inner` are channels; `images` are those in and out of the outermost level."""
        super().__init__()
        self.is_outermost = images is not None
        taken, given = images or (outer, outer)
        bias = has_bias(norm)
        down = nn.Conv2d(taken, inner, 4, stride=2, padding=1, bias=bias)
        up_bias = bias or self.is_outermost
        up = nn.ConvTranspose2d(inner * (2 if inside else 1), given, 4, stride=2, padding=1, bias=up_bias)
        layers: list[nn.Module] = [] if self.is_outermost else [nn.LeakyReLU(LEAK)]
        layers += [down]
        if inside:
            layers += [inside] if self.is_outermost else [new_norm(norm, inner), inside]
        layers += [nn.ReLU(), up]
        if not self.is_outermost:
            layers += [new_norm(norm, given), *([nn.Dropout(0.0)] if drops else [])]
        self.model = nn.Sequential(*layers)

    def forward(self, maps: Maps) -> Float[Tensor, "n d h w"]:
        """Maps of the same size."""
        made = self.model(maps)
        return made if self.is_outermost else torch.cat([maps, made], dim=1)


class NestedUNet(TranslationBackbone):
    """Images to images of the same height and width, in [-1, 1].

    `width` is the number of channels after the first layer (ngf), `levels` that of halvings: 7 of `unet_128`, 8 of
    `unet_256`. Inner levels have a layer that drops values while training, of probability 0 until it is set.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        levels: int = 8,
        norm: NormKind = "batch",
    ) -> None:
        super().__init__()
        if levels not in range(FEWEST_LEVELS, MAX_LEVELS + 1):
            raise UserError(f"levels must be from {FEWEST_LEVELS} to {MAX_LEVELS}, got {levels}")
        self.norm, self.num_halvings = norm, levels
        channels = [width * min(2**level, MAX_WIDENING) for level in range(levels)]
        level = NestedLevel(channels[-1], channels[-1], None, norm)
        for depth in range(levels - 2, 0, -1):
            drops = channels[depth - 1] == channels[-1]
            level = NestedLevel(channels[depth - 1], channels[depth], level, norm, drops)
        self.model = NestedLevel(width, width, level, norm, images=(in_channels, out_channels))
        draw_weights(self)

    def forward(self, images: Float[Tensor, "n a h w"]) -> Float[Tensor, "n b h w"]:
        """Translate images."""
        height, width = images.shape[2:]
        below, beside = (-side % 2**self.num_halvings for side in (height, width))
        if below or beside:
            images = F.pad(images, (0, beside, 0, below), mode="replicate")
        images = self.model(images)[:, :, :height, :width]
        return images.to(next(self.parameters()).dtype).tanh()

    def translate_large(self, image: Float[Tensor, "1 a h w"]) -> Float[Tensor, "1 b h w"]:
        """The same in tiles, unless a norm looks at the whole image."""
        # A pixel of a map halved k times depends on 3 x 2^k pixels around; going down and up again twice that.
        return translate_in_tiles(self, image, margin=4 * 2**self.num_halvings)

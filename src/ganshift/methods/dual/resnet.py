"""The generator of CycleGAN (Zhu et al. 2017, arXiv 1703.10593), with the blurs that CUT (Park et al. 2020, arXiv
2007.15651) added: two halvings, residual blocks, two doublings.

Layers have the numbers of the published code, so that its files fit by name. Departure: images whose sides are not
multiples of 4 keep their size, where the published network makes them larger; what is too much below and to the right
is cut off.
"""

from jaxtyping import Float
from torch import Tensor, nn

from ...errors import UserError
from ...nn.resample import BlurDown, BlurUp
from ...nn.same_conv import Maps
from .backbone import TranslationBackbone
from .layers import NormKind, draw_weights, has_bias, new_norm
from .tiles import translate_in_tiles

HALVINGS = 2
DROPOUT = 0.5
"""Probability that the published code drops a value of a block with, where it drops any."""
MAX_BLOCKS = 64


class ResNetBlock(nn.Module):
    """Maps plus two convolutions of them."""

    def __init__(self, channels: int, norm: NormKind, dropout: bool) -> None:
        super().__init__()
        bias = has_bias(norm)
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            new_norm(norm, channels),
            nn.ReLU(),
            *([nn.Dropout(DROPOUT)] if dropout else []),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            new_norm(norm, channels),
        )

    def forward(self, maps: Maps) -> Maps:
        """Add what the block makes of the maps."""
        return maps + self.conv_block(maps)


class ResNetTranslator(TranslationBackbone):
    """Images to images of the same height and width, in [-1, 1].

    `width` is the number of channels after the first layer (ngf), `blocks` that of residual blocks: 6 or 9 as
    published, 4 in CUT too. `blur_down` and `blur_up` say whether halvings and doublings blur, as in CUT. `dropout`
    puts a layer into each block that drops every other value while training.
    """

    num_halvings = HALVINGS
    smallest = 2**HALVINGS + 1  # of which two pixels are left to be mirrored at the edges

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        blocks: int = 9,
        norm: NormKind = "instance",
        dropout: bool = False,
        blur_down: bool = False,
        blur_up: bool = False,
    ) -> None:
        super().__init__()
        if blocks not in range(MAX_BLOCKS + 1):
            raise UserError(f"blocks must be from 0 to {MAX_BLOCKS}, got {blocks}")
        self.norm, self.blocks = norm, blocks
        bias = has_bias(norm)

        def normalised(conv: nn.Module, channels: int) -> list[nn.Module]:
            return [conv, new_norm(norm, channels), nn.ReLU()]

        layers: list[nn.Module] = [nn.ReflectionPad2d(3)]
        layers += normalised(nn.Conv2d(in_channels, width, 7, bias=bias), width)
        for channels in (width, 2 * width):
            conv = nn.Conv2d(channels, 2 * channels, 3, 1 if blur_down else 2, padding=1, bias=bias)
            layers += normalised(conv, 2 * channels)
            layers += [BlurDown(2 * channels)] if blur_down else []
        layers += [ResNetBlock(4 * width, norm, dropout) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            half = channels // 2
            if blur_up:
                layers += [BlurUp(channels), *normalised(nn.Conv2d(channels, half, 3, padding=1, bias=bias), half)]
            else:
                conv_up = nn.ConvTranspose2d(channels, half, 3, stride=2, padding=1, output_padding=1, bias=bias)
                layers += normalised(conv_up, half)
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        draw_weights(self)

    def forward(self, images: Float[Tensor, "n a h w"]) -> Float[Tensor, "n b h w"]:
        """Translate images."""
        height, width = images.shape[2:]
        *layers, tanh = self.model
        for layer in layers:
            images = layer(images)
        images = images.to(next(self.parameters()).dtype)  # which autocast may have left
        return tanh(images)[:, :, :height, :width]

    def translate_large(self, image: Float[Tensor, "1 a h w"]) -> Float[Tensor, "1 b h w"]:
        """The same in tiles, unless a norm looks at the whole image."""
        # A pixel depends on 3 pixels around for each 7x7 kernel, 8 for each block, at a quarter of the size, and 18 for
        # halvings and doublings with blurs.
        margin = 2 * 3 + 8 * self.blocks + 18
        return translate_in_tiles(self, image, margin)

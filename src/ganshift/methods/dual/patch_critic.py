"""The critics of pix2pix, CycleGAN and CUT: maps of scores of overlapping patches (PatchGAN), or of single pixels.

Layers have the numbers of the published code, so that its files fit by name.
"""

from math import log2

from jaxtyping import Float
from torch import Tensor, nn

from ...errors import UserError
from ...nn.resample import BlurDown
from .backbone import DomainCritic
from .layers import NormKind, draw_weights, has_bias, new_norm

LEAK = 0.2
MAX_WIDENING = 8
MAX_LAYERS = 16
SMALLEST_FIELD = 16
"""Pixels on a side that a score sees with one halving."""


class PatchCritic(DomainCritic):
    """Images to maps of raw scores: `layers` halvings (n_layers; 3 of the basic critic), then two convolutions more.

    `width` is the number of channels after the first layer (ndf). `blur` says whether halvings blur, as in CUT.
    """

    def __init__(
        self, channels: int, width: int = 64, layers: int = 3, norm: NormKind = "instance", blur: bool = False
    ) -> None:
        super().__init__()
        if layers not in range(1, MAX_LAYERS + 1):
            raise UserError(f"layers must be from 1 to {MAX_LAYERS}, got {layers}")
        self.per_image = norm != "batch"
        more = 4 if blur else 2  # pixels beyond twice as many, that a halving lets a score see
        self.receptive_field = (7 + more) * 2**layers - more
        stride, bias = 1 if blur else 2, has_bias(norm)
        found: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride, padding=1), nn.LeakyReLU(LEAK)]
        found += [BlurDown(width)] if blur else []
        widths = [width * min(2**layer, MAX_WIDENING) for layer in range(layers + 1)]
        for layer in range(1, layers + 1):
            halves = layer < layers
            before, after = widths[layer - 1], widths[layer]
            conv = nn.Conv2d(before, after, 4, stride if halves else 1, padding=1, bias=bias)
            found += [conv, new_norm(norm, after), nn.LeakyReLU(LEAK)]
            found += [BlurDown(after)] if blur and halves else []
        self.model = nn.Sequential(*found, nn.Conv2d(widths[-1], 1, 4, padding=1))
        draw_weights(self)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 1 i j"]:
        """Score patches; larger is more real."""
        return self.model(images).to(next(self.parameters()).dtype)


def layers_for(receptive_field: int) -> int:
    """The most halvings of a critic without blur whose scores see at most so many pixels on a side, from 16 up."""
    if receptive_field < SMALLEST_FIELD:
        raise UserError(
            f"receptive_field must be at least {SMALLEST_FIELD} of this architecture, got {receptive_field}"
        )
    return int(log2((receptive_field + 2) / 9))


class PixelCritic(DomainCritic):
    """Images to maps of raw scores, a score a pixel that depends on that pixel alone, but for the norm."""

    def __init__(self, channels: int, width: int = 64, norm: NormKind = "instance") -> None:
        super().__init__()
        self.per_image = norm != "batch"
        self.receptive_field = 1
        bias = has_bias(norm)
        self.net = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.LeakyReLU(LEAK),
            nn.Conv2d(width, 2 * width, 1, bias=bias),
            new_norm(norm, 2 * width),
            nn.LeakyReLU(LEAK),
            nn.Conv2d(2 * width, 1, 1, bias=bias),
        )
        draw_weights(self)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 1 h w"]:
        """Score pixels; larger is more real."""
        return self.net(images).to(next(self.parameters()).dtype)

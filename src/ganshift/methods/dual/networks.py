"""The U-Net generator and the critic of DualGAN (Yi et al. 2017, arXiv 1704.02510, section 3.3; sizes as published).

All convolutions halve or double with TensorFlow's SAME padding (`nn.same_conv`).

Departures from the published code, undone by `as_published=True`: layers whose map is 1x1 at the training size have no
norm, because the norm of a single value is always its bias, so that nothing would pass (nor those of 1x2, which oblong
images lead to: of two values only the sign of their difference would pass); and convolutions in front of a
norm have no bias, because the norm takes it away again. Networks compute norms, images and scores in float32 under
autocast, where low precision blurs the images.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import log2

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import UserError
from ...nn.norm import InstanceNorm
from ...nn.same_conv import DownConv, Maps, Resized, UpConv, halved
from ...tensors import Side, height_and_width
from .backbone import DomainCritic, TranslationBackbone
from .config import SMALLEST_FIELD

LEAK = 0.2
CRITIC_STAGES = 5
LOST_PIXELS = 2
"""Maps of no more pixels than this have no instance norm, which would leave nothing of them, or signs only."""
MAX_WIDENING = 8
"""Channels double from level to level until they are this many times the width."""


class DownStage(nn.Module):
    """A halving convolution, and its norm if it has one."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, norm: bool, as_published: bool) -> None:
        super().__init__()
        self.conv = DownConv(in_channels, out_channels, kernel, bias=as_published or not norm)
        self.norm = InstanceNorm(out_channels) if norm else nn.Identity()

    def forward(self, maps: Maps) -> Resized:
        """Halve and normalise."""
        return self.norm(self.conv(maps, biased=not isinstance(self.norm, InstanceNorm)))


class UpStage(nn.Module):
    """A doubling convolution, its norm if it has one, and dropout."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, norm: bool, dropout: float, as_published: bool
    ) -> None:
        super().__init__()
        self.conv = UpConv(in_channels, out_channels, kernel, bias=as_published or not norm)
        self.norm = InstanceNorm(out_channels) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, maps: Maps, side: tuple[int, int]) -> Resized:
        """Double to `side`, normalise, drop."""
        return self.dropout(self.norm(self.conv(maps, side, biased=not isinstance(self.norm, InstanceNorm))))


class UNet(TranslationBackbone):
    """Images to images of the same height and width, in [-1, 1]: `levels` halvings, as many doublings, skips between.

    Works at any size, odd and oblong too. `size` is the one trained at; it decides which layers see maps of one or two
    pixels and therefore have no norm. `dropout` is the probability of dropping a value after each of the first three
    doublings. `as_published` restores what this module's docstring lists; the published network has 8 levels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        levels: int = 8,
        size: Side = 256,
        dropout: float = 0.0,
        as_published: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels, self.num_halvings = in_channels, levels
        if levels < 1:
            raise UserError(f"a U-Net needs at least 1 level, got {levels}")
        channels = [in_channels, *_widening(width, levels)]
        can_norm = [
            as_published or pixels > LOST_PIXELS for pixels in _pixels(size, levels)
        ]  # of maps halved 0, 1, ...
        self.down = nn.ModuleList(
            DownStage(before, after, 5 if level == 1 else 3, level > 1 and can_norm[level], as_published)
            for level, (before, after) in enumerate(pairwise(channels), start=1)
        )
        self.up = nn.ModuleList()
        for level in reversed(range(levels)):  # the maps made here are halved this many times
            self.up.append(
                UpStage(
                    channels[level + 1] * (1 if level == levels - 1 else 2),  # all but the deepest get the skip too
                    channels[level] if level else out_channels,
                    3 if level else 5,
                    level > 0 and can_norm[level],
                    dropout if level and len(self.up) < 3 else 0.0,
                    as_published,
                )
            )

    def forward(self, images: Float[Tensor, "n a h w"]) -> Float[Tensor, "n b h w"]:
        """Translate images."""
        first, *others = self.down
        maps = first(images)
        skips = []
        for stage in others:
            skips.append(maps)
            maps = stage(F.leaky_relu(maps, LEAK))
        *others, last = self.up
        for stage, skip in zip(others, reversed(skips), strict=True):
            maps = torch.cat([stage(maps.relu(), skip.shape[2:]), skip], dim=1)  # n 2c h w, the decoder's half first
        images = last(maps.relu(), images.shape[2:])
        return images.to(next(self.parameters()).dtype).tanh()

    def translate_large(self, image: Float[Tensor, "1 a h w"]) -> Float[Tensor, "1 b h w"]:
        """The same in bands of rows (`tiled`)."""
        from .tiled import translate_tiled  # which knows the layers here

        return translate_tiled(self, image)


class Critic(DomainCritic):
    """Images to scores, each image judged alone: five halvings, then a `global` or a `patch` head.

    The global head is linear in the last maps, flattened in the order h, w, c as published, so that it needs images of
    exactly `size`, and gives one score per image. The patch head is a convolution that gives a map of scores, for
    images of any size; it halves once more as published, but not with a `receptive_field`, the largest side in pixels
    of what a score may see, which there are then as many halvings for.
    """

    per_image = True

    def __init__(
        self,
        channels: int,
        width: int = 64,
        size: Side = 256,
        head: str = "global",
        as_published: bool = False,
        receptive_field: int | None = None,
    ) -> None:
        super().__init__()
        if head not in ("global", "patch"):
            raise UserError(f"critic must be global or patch, got {head}")
        stages = CRITIC_STAGES if receptive_field is None else int(log2(receptive_field - 1)) - 2
        if stages < 1:
            raise UserError(f"receptive_field must be at least {SMALLEST_FIELD}, got {receptive_field}")
        widths = [channels, *_widening(width, stages)]
        pixels = _pixels(size, stages)
        self.stages = nn.ModuleList(
            DownStage(
                before,
                after,
                5 if level == 1 else 3,
                level > 1 and (as_published or pixels[level] > LOST_PIXELS),
                as_published,
            )
            for level, (before, after) in enumerate(pairwise(widths), start=1)
        )
        self.head: nn.Linear | DownConv | nn.Conv2d
        if head == "global":
            self.head = nn.Linear(pixels[-1] * widths[-1], 1)
        else:
            self.receptive_field = 2 ** (stages + 2) + 1
            self.head = DownConv(widths[-1], 1) if receptive_field is None else nn.Conv2d(widths[-1], 1, 3, padding=1)
        if not isinstance(self.head, DownConv):
            nn.init.normal_(self.head.weight, std=0.02)
            assert self.head.bias is not None
            nn.init.zeros_(self.head.bias)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n ..."]:
        """Score images: n from a global head, n 1 h' w' from a patch head; larger is more real."""
        maps = images
        for stage in self.stages:
            maps = F.leaky_relu(stage(maps), LEAK)
        if isinstance(self.head, nn.Linear):
            scores = self.head(maps.permute(0, 2, 3, 1).flatten(1)).squeeze(1)  # n h w c -> n
        else:
            scores = self.head(maps)
        return scores.to(self.head.weight.dtype)


def _widening(width: int, levels: int) -> Sequence[int]:
    return [width * min(2**level, MAX_WIDENING) for level in range(levels)]


def _pixels(size: Side, levels: int) -> list[int]:
    """Pixels of the map after 0, 1, ... `levels` halvings."""
    height, width = height_and_width(size)
    pixels = [height * width]
    for _ in range(levels):
        height, width = halved(height), halved(width)
        pixels.append(height * width)
    return pixels

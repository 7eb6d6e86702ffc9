"""The U-Net generator and the critic of DualGAN (Yi et al. 2017, arXiv 1704.02510, section 3.3; sizes as published).

All convolutions halve or double with TensorFlow's SAME padding, which on an even side pads only below and to the right.
We pad like that at run time. The other way to make published weights fit, a symmetric padding with every kernel rotated
by 180 degrees at import, is the same network only on images rotated by 180 degrees: every door to the network would
have to turn images in and out, it breaks on odd sides, and our weights could no longer be compared with the published.

Departures from the published code, undone by `as_published=True`: layers whose map is 1x1 at the training size have no
norm, because the norm of a single value is always its bias, so that nothing would pass (nor those of 1x2, which oblong
images lead to: of two values only the sign of their difference would pass); and convolutions in front of a
norm have no bias, because the norm takes it away again. Networks compute norms, images and scores in float32 under
autocast, where low precision blurs the images.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import UserError
from ...nn.conv import FEW_CHANNELS, doubling_convolution, halving_convolution
from ...nn.matmul import product
from ...tensors import Side, height_and_width

Maps = Float[Tensor, "n c h w"]
Resized = Float[Tensor, "n d i j"]
"""Maps of another number of channels and another size."""
LEAK = 0.2
NORM_EPSILON = 1e-6
CRITIC_STAGES = 5
FEW_PIXELS = 64
"""Maps of at most so many pixels go through convolutions as one product of matrices, on the CPU: the weights are far
more than the maps there, and a product reads them where they lie, while a convolution first copies them into an order
of its own, forward and in both directions back."""
LOST_PIXELS = 2
"""Maps of no more pixels than this have no instance norm, which would leave nothing of them, or signs only."""
MAX_WIDENING = 8
"""Channels double from level to level until they are this many times the width."""


def same_padding(side: int, kernel: int) -> tuple[int, int]:
    """Pixels that TensorFlow's SAME padding adds before and after a side at stride 2; the odd one goes after."""
    total = max((halved(side) - 1) * 2 + kernel - side, 0)
    return total // 2, total - total // 2


def halved(side: int) -> int:
    """Half the side, rounded up: what a convolution of stride 2 leaves of it."""
    return (side + 1) // 2


class DownConv(nn.Module):
    """A convolution of stride 2 with SAME padding, for maps of any size: n c h w -> n c' ceil(h/2) ceil(w/2)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        # TensorFlow's truncated normal redraws beyond two standard deviations.
        nn.init.trunc_normal_(self.weight, std=0.02, a=-0.04, b=0.04)

    def forward(self, maps: Maps, biased: bool = True) -> Resized:
        """Halve the maps; without the bias, for what takes it away again."""
        bias = self.bias if biased else None
        kernel = self.weight.shape[-1]
        height, width = (halved(side) for side in maps.shape[2:])
        (top, bottom), (left, right) = (same_padding(side, kernel) for side in maps.shape[2:])
        if (bottom, right) != (top, left):  # the symmetric part is left to the convolution, which does not copy
            maps = F.pad(maps, (0, right - left, 0, bottom - top))
        if maps.device.type == "cpu" and height * width <= FEW_PIXELS:
            patches = F.unfold(maps, kernel, padding=(top, left), stride=2)  # n c*k*k h*w, of the halved h and w
            maps = _images(product(_rows(patches), self.weight, transposed=True), len(maps)).unflatten(
                2, (height, width)
            )
            return maps if bias is None else maps + bias[:, None, None]
        if maps.device.type == "cpu":
            return halving_convolution(maps, self.weight, bias, (top, left))
        return F.conv2d(maps, self.weight, bias, stride=2, padding=(top, left))


class UpConv(nn.Module):
    """The adjoint of `DownConv` (plus a bias): maps go back to the `side` that it would have halved to theirs."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, maps: Maps, side: tuple[int, int], biased: bool = True) -> Resized:
        """Double the maps to exactly `side`, which is one of the two sizes that halve to theirs; `biased` as above."""
        bias = self.bias if biased else None
        height, width = side
        num_channels, kernel = self.weight.shape[1:3]
        pixels = maps.shape[2:]
        top, left = same_padding(height, kernel)[0], same_padding(width, kernel)[0]
        full = tuple(2 * (count - 1) + kernel - 2 * before for count, before in zip(pixels, (top, left), strict=True))
        if maps.device.type == "cpu" and (pixels.numel() <= FEW_PIXELS or num_channels <= FEW_CHANNELS):
            patches = _images(product(_rows(maps.flatten(2)), self.weight), len(maps))  # n c*k*k h*w
            maps = F.fold(patches, full, kernel, padding=(top, left), stride=2)
            maps = maps if bias is None else maps + bias[:, None, None]
        elif maps.device.type == "cpu":
            maps = doubling_convolution(maps, self.weight, bias, (top, left), full)
        else:
            maps = F.conv_transpose2d(maps, self.weight, bias, stride=2, padding=(top, left))
        return maps[:, :, :height, :width]  # the padding after the map, where it exceeds that before


def _rows(maps: Tensor) -> Tensor:
    """One row per image and pixel: n c p -> n*p c."""
    return maps.transpose(1, 2).flatten(0, 1)


def _images(rows: Tensor, n: int) -> Tensor:
    """Back from rows: n*p c -> n c p."""
    return rows.unflatten(0, (n, -1)).transpose(1, 2)


class InstanceNorm(nn.Module):
    """Each image's channels to mean 0 and variance 1 (biased) over their pixels, then a learned gain and bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(1 + 0.02 * torch.randn(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Maps) -> Maps:
        """Normalise in float32, whatever the precision of the maps. A map of one pixel becomes the bias."""
        maps = maps.to(self.weight.dtype)
        if maps.shape[2:].numel() == 1:
            # Exactly 0 before gain and bias; the fused kernel would leave rounding errors times 1 / sqrt(epsilon).
            return (maps - maps) * self.weight[:, None, None] + self.bias[:, None, None]
        # One group per channel is instance norm, in one kernel where a formula takes six passes over the maps. The
        # kernel loses digits where the mean is far larger than the deviation, so the mean is taken off before, without
        # a gradient, because the norm does not change when its input is shifted.
        maps = maps - maps.detach().mean(dim=(2, 3), keepdim=True)
        return torch.group_norm(maps, maps.shape[1], self.weight, self.bias, NORM_EPSILON)


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


class UNet(nn.Module):
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
        self.in_channels = in_channels
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


class Critic(nn.Module):
    """Images to scores, each image judged alone: five halvings, then a `global` or a `patch` head.

    The global head is linear in the last maps, flattened in the order h, w, c as published, so that it needs images of
    exactly `size`, and gives one score per image. The patch head is a convolution that gives a map of scores, for
    images of any size.
    """

    per_image = True
    """It judges each image alone: no layer looks across a batch."""

    def __init__(
        self, channels: int, width: int = 64, size: Side = 256, head: str = "global", as_published: bool = False
    ) -> None:
        super().__init__()
        if head not in ("global", "patch"):
            raise UserError(f"critic must be global or patch, got {head}")
        widths = [channels, *_widening(width, CRITIC_STAGES)]
        pixels = _pixels(size, CRITIC_STAGES)
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
        self.head: nn.Linear | DownConv
        if head == "patch":
            self.head = DownConv(widths[-1], 1)
        else:
            self.head = nn.Linear(pixels[-1] * widths[-1], 1)
            nn.init.normal_(self.head.weight, std=0.02)
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


class Architecture(NamedTuple):
    """The classes of a translator's networks: the arguments are those of `UNet` and `Critic`.

    A generator maps images of any size to images of the same size; a critic says by `per_image` whether it judges each
    image alone, which the gradient penalty relies on.
    """

    generator: type[nn.Module]
    critic: type[nn.Module]


ARCHITECTURES = {"unet": Architecture(UNet, Critic)}
"""By the name that `config.json` has."""

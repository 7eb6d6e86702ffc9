"""Convolutions that halve and double maps of any size, with TensorFlow's SAME padding.

On an even side that pads only below and to the right. We pad like that at run time. The other way to make published
weights fit, a symmetric padding with every kernel rotated by 180 degrees at import, is the same network only on images
rotated by 180 degrees: every door to the network would have to turn images in and out, it breaks on odd sides, and our
weights could no longer be compared with the published.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .conv import FEW_CHANNELS, doubling_convolution, halving_convolution
from .matmul import product

Maps = Float[Tensor, "n c h w"]
Resized = Float[Tensor, "n d i j"]
"""Maps of another number of channels and another size."""
FEW_PIXELS = 64
"""Maps of at most so many pixels go through convolutions as one product of matrices, on the CPU: the weights are far
more than the maps there, and a product reads them where they lie, while a convolution first copies them into an order
of its own, forward and in both directions back."""


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
        return halving_convolution(maps, self.weight, bias, (top, left))

    def plain(self) -> nn.Module:
        """The same layer for maps with even sides, of operators that every runtime knows; shares the weights."""
        return _PlainDownConv(self)


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
        else:
            maps = doubling_convolution(maps, self.weight, bias, (top, left), full)
        return maps[:, :, :height, :width]  # the padding after the map, where it exceeds that before

    def plain(self) -> nn.Module:
        """The same layer to even sides, of operators that every runtime knows; shares the weights."""
        return _PlainUpConv(self)


def _rows(maps: Tensor) -> Tensor:
    """One row per image and pixel: n c p -> n*p c."""
    return maps.transpose(1, 2).flatten(0, 1)


def _images(rows: Tensor, n: int) -> Tensor:
    """Back from rows: n*p c -> n c p."""
    return rows.unflatten(0, (n, -1)).transpose(1, 2)


class _PlainDownConv(nn.Module):
    """`DownConv` of maps with even sides."""

    def __init__(self, layer: DownConv) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, maps: Tensor, biased: bool) -> Tensor:
        padding = (self.weight.shape[-1] - 3) // 2  # on all sides; below and to the right one more
        bias = self.bias if biased else None
        return F.conv2d(F.pad(maps, (0, 1, 0, 1)), self.weight, bias, stride=2, padding=padding)


class _PlainUpConv(nn.Module):
    """`UpConv` to even sides."""

    def __init__(self, layer: UpConv) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, maps: Tensor, side: tuple[int, int], biased: bool) -> Tensor:
        padding = (self.weight.shape[-1] - 3) // 2
        bias = self.bias if biased else None
        return F.conv_transpose2d(maps, self.weight, bias, stride=2, padding=padding)[:, :, :-1, :-1]

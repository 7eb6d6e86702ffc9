"""Translate a large picture in bands of rows: the result of doing it at once, in a fraction of the memory.

A U-Net with instance norms cannot be run on tiles one by one: each tile would be normalised by its own statistics, and
its deepest layers, which see hundreds of pixels around, would miss what lies outside. Blending overlaps hides the seams
but not the difference. So the picture goes through layer by layer instead, every layer in overlapping bands of rows,
and a norm's statistics are gathered over all bands before any is normalised. What a band gives is then what the whole
would have given, up to rounding, and nothing has to be blended.

The largest maps, at half the picture's height and width, are never held: they are computed again where they are read.
What is held is a quarter of them in pixels, or less.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ...nn.norm import INSTANCE_EPSILON, InstanceNorm
from ...nn.same_conv import DownConv, UpConv, halved, same_padding
from .networks import LEAK, DownStage, UNet, UpStage

BAND_PIXELS = 2**19
"""About so many pixels of the picture, or as many of a map if it is wide, are worked on at a time."""


@dataclass(frozen=True)
class Rows:
    """Maps [1, c, height, width] that are read in bands."""

    height: int
    width: int
    read: Callable[[int, int], Tensor]
    """From first row and end to the maps [1, c, end - first, width]."""


@torch.no_grad()
def translate_tiled(
    network: UNet, image: Float[Tensor, "1 a h w"], band_pixels: int = BAND_PIXELS
) -> Float[Tensor, "1 b h w"]:
    """What `network.eval()(image)` gives, up to rounding. The image may lie on another device than the network."""
    device = next(network.parameters()).device
    height, width = image.shape[2:]
    band = max(band_pixels // width, 1)

    first, *others = cast(list[DownStage], list(network.down))
    picture = Rows(height, width, lambda start, end: image[:, :, start:end].to(device))
    maps = _halve(first.conv, picture)  # never stored: the largest maps of all
    skips = []
    for stage in others:
        skips.append(maps)
        maps = _normalise(stage.norm, _store(_halve(stage.conv, _apply(_leaky, maps)), band), band)
    *growing, last = cast(list[UpStage], list(network.up))
    for up, skip in zip(growing, reversed(skips), strict=True):
        doubled = _double(up.conv, _apply(torch.relu, maps), (skip.height, skip.width))
        if up is not growing[-1]:  # the last of these would be as large as the first of the maps going down
            doubled = _store(doubled, band)
        maps = _join(_normalise(up.norm, doubled, band), skip)
    translated = _double(last.conv, _apply(torch.relu, maps), (height, width))
    return _store(_apply(torch.tanh, translated), band, image.device).read(0, height)


def _leaky(maps: Tensor) -> Tensor:
    return F.leaky_relu(maps, LEAK)


def _apply(function: Callable[[Tensor], Tensor], rows: Rows) -> Rows:
    """Change each value by itself."""
    return Rows(rows.height, rows.width, lambda start, end: function(rows.read(start, end)))


def _join(first: Rows, second: Rows) -> Rows:
    """The channels of both."""
    return Rows(
        first.height,
        first.width,
        lambda start, end: torch.cat([first.read(start, end), second.read(start, end)], dim=1),
    )


def _store(rows: Rows, band: int, device: torch.device | None = None) -> Rows:
    """Compute all rows once and hold them."""
    first = rows.read(0, min(band, rows.height))
    held = first.new_empty((1, first.shape[1], rows.height, rows.width), device=device)
    held[:, :, : first.shape[2]] = first
    del first
    for start in range(band, rows.height, band):
        end = min(start + band, rows.height)
        held[:, :, start:end] = rows.read(start, end)
    return Rows(rows.height, rows.width, lambda start, end: held[:, :, start:end])


def _halve(conv: DownConv, rows: Rows) -> Rows:
    """The convolution of stride 2: a row takes as many rows as the kernel is high, from twice its place on."""
    kernel = conv.weight.shape[-1]
    top, _ = same_padding(rows.height, kernel)
    left, right = same_padding(rows.width, kernel)

    def read(start: int, end: int) -> Tensor:
        needed = (2 * start - top, 2 * (end - 1) - top + kernel)
        there = (max(needed[0], 0), min(needed[1], rows.height))
        outside = (there[0] - needed[0], needed[1] - there[1])
        maps = F.pad(rows.read(*there), (left, right, *outside))
        return F.conv2d(maps, conv.weight, conv.bias, stride=2)

    return Rows(halved(rows.height), halved(rows.width), read)


def _double(conv: UpConv, rows: Rows, side: tuple[int, int]) -> Rows:
    """The transposed convolution: row i adds to as many rows as the kernel is high, from 2i - top on."""
    kernel = conv.weight.shape[-1]
    height, width = side
    top, _ = same_padding(height, kernel)
    left, _ = same_padding(width, kernel)

    def read(start: int, end: int) -> Tensor:
        first = max((start + top - kernel + 2) // 2, 0)
        maps = rows.read(first, min((end - 1 + top) // 2 + 1, rows.height))
        maps = F.conv_transpose2d(maps, conv.weight, conv.bias, stride=2)
        skip = start + top - 2 * first
        return maps[:, :, skip : skip + end - start, left : left + width]

    return Rows(height, width, read)


def _normalise(norm: nn.Module, rows: Rows, band: int) -> Rows:
    """Instance norm by the statistics of all rows, which are gone through once for them."""
    if not isinstance(norm, InstanceNorm):
        return rows
    # In float64 on the CPU, since not every accelerator has it.
    count, mean = 0, torch.zeros((), dtype=torch.float64)
    squares = mean  # of the squared differences from the mean, the sum
    for start in range(0, rows.height, band):
        maps = rows.read(start, min(start + band, rows.height))
        more = maps.shape[2] * maps.shape[3]
        statistics = torch.var_mean(maps, dim=(2, 3), correction=0, keepdim=True)
        variance, middle = (part.cpu().double() for part in statistics)
        # Chan et al. 1979: the statistics of a union from those of its parts
        shift = middle - mean
        squares = squares + variance * more + shift**2 * (count * more / (count + more))
        mean, count = mean + shift * (more / (count + more)), count + more
    gain = norm.weight[:, None, None]
    scale = (gain.cpu().double() / (squares / count + INSTANCE_EPSILON).sqrt()).to(gain)
    centre, bias = mean.to(gain), norm.bias[:, None, None]
    return _apply(lambda maps: torch.addcmul(bias, maps - centre, scale), rows)

"""Halving and doubling of maps with a blur, so that neither aliases.

`BlurDown` and `BlurUp` are CUT's layers (Zhang 2019, arXiv 1904.11486), whose filters are in its files. The functions
have the filter of StyleGAN2 (Karras et al. 2020, arXiv 1912.04958), which R3GAN uses too, and need no buffers.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..tensors import Images
from .same_conv import Resized


class BlurDown(nn.Module):
    """Halve maps with the filter [1, 2, 1] at each axis; odd sides are rounded up."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", _filter([1, 2, 1], channels))

    def forward(self, maps: Images) -> Resized:
        """Blur and halve."""
        maps = F.pad(maps, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(maps, self.filt.to(maps.dtype), stride=2, groups=maps.shape[1])


class BlurUp(nn.Module):
    """Double maps with the filter [1, 3, 3, 1] at each axis."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", 4 * _filter([1, 3, 3, 1], channels))

    def forward(self, maps: Images) -> Resized:
        """Double and blur."""
        maps = F.pad(maps, (1, 1, 1, 1), mode="replicate")
        maps = F.conv_transpose2d(maps, self.filt.to(maps.dtype), stride=2, padding=2, groups=maps.shape[1])
        return maps[:, :, 1:-1, 1:-1]


def _filter(taps: list[int], channels: int) -> Tensor:
    """The filter of both axes, with sum 1, for each channel: c 1 k k."""
    row = torch.tensor(taps, dtype=torch.float32)
    both = torch.outer(row, row)
    return (both / both.sum()).repeat(channels, 1, 1, 1)


def smooth(
    x: Images, padding: tuple[int, int] = (1, 1), stride: int = 1, gain: float = 1.0
) -> Float[Tensor, "n c h2 w2"]:
    """Filter, after zeros before and behind in both directions; every `stride`-th pixel is kept."""
    before, behind = padding
    return F.conv2d(F.pad(x, (before, behind, before, behind)), _taps(x, gain), stride=stride, groups=x.shape[1])


def smooth_half(x: Images) -> Float[Tensor, "n c h//2 w//2"]:
    """Halve even sides, filtered."""
    return smooth(x, stride=2)


def smooth_double(x: Images) -> Float[Tensor, "n c 2*h 2*w"]:
    """Double, with zeros between the pixels filtered away."""
    return F.conv_transpose2d(x, _taps(x, 4.0), stride=2, padding=1, groups=x.shape[1])


def _taps(x: Images, gain: float) -> Float[Tensor, "c 1 4 4"]:
    """[1, 3, 3, 1] in both directions, with this sum, for every channel."""
    place = torch.arange(4, device=x.device, dtype=x.dtype)
    row = 1 + place * (3 - place)
    return (row[:, None] * row * (gain / 64)).expand(x.shape[1], 1, 4, 4)

"""Halving and doubling of maps with a blur, so that neither aliases (Zhang 2019, arXiv 1904.11486, as CUT uses it)."""

import torch
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

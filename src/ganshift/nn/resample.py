"""Doubling and halving with the filter [1, 3, 3, 1], one channel at a time, without aliasing (Karras et al. 2020).

The filter is made of numbers of the device, where it is used: a buffer would be one more tensor of every network.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..tensors import Images


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

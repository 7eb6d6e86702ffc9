"""A critic that has seen the world: small heads on the features of a network that was trained on ImageNet.

Sauer et al. 2021, Projected GANs (arXiv 2111.01007): fixed random mixing of channels and scales, one head a scale,
hinge loss. Kumari et al. 2022 (arXiv 2112.09130) keep the critic of pixels beside it, as we do. The network is
EfficientNet-Lite0.
"""

from itertools import pairwise
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from ...nn.efficientnet_lite import WIDTHS, open_efficientnet_lite0
from ...tensors import Images, Labels

LEVELS = 4
"""Levels of the network that have a head: maps at 1/2, 1/4, 1/8 and 1/16 of the side it is shown."""
ENLARGED = 2
"""Images are shown to the network enlarged so many times, which makes its features finer than those of the images."""
MIXED = (32, 48, 80, 160)
"""Channels that the random mixing makes of each level, more than it has: none of it is lost."""
WIDTH = 32
"""Channels within the heads: twice as many cost half as much again, and gave nothing (docs/log.md)."""
LAST = 4
"""Side of the maps of scores, of which an image has one a level."""
SPREAD = (6.0, 8.7, 8.1, 6.9)
"""Root mean square of the network's features by level, over photographs: what the mixing divides by."""
Maps = Float[Tensor, "n _ _ _"]


@final
class FeatureCritic(nn.Module):
    """Images in [-1, 1], of 1, 3 or 4 channels, to scores: a map for each level of the features.

    It is shown images of `size` pixels as `enlarged` has them, and judges each image alone. With classes it is a
    projection critic (Miyato and Koyama 2018, arXiv 1802.05637). Its heads have spectral norms (`nn/spectral_norm.py`).
    """

    class_head = "of_class"
    learning_rate = 2e-4
    """That of Sauer et al. 2021, whatever the critic of pixels has."""

    def __init__(self, *, size: int, num_classes: int = 0) -> None:
        super().__init__()
        self.side = size * ENLARGED
        # In a list: frozen and shipped, it is no part of what is saved. Channels-last takes processors half the time.
        self._network = [open_efficientnet_lite0().to(memory_format=torch.channels_last)]
        draw = torch.Generator().manual_seed(0)  # kept in the weights, so that heads of a source find their features
        self.channels, self.scales = nn.ParameterList(), nn.ParameterList()
        for level, (width, spread) in enumerate(zip(WIDTHS[:LEVELS], SPREAD, strict=True)):
            fixed = torch.randn(MIXED[level], width, 1, 1, generator=draw, device="cpu") / spread / width**0.5
            self.channels.append(nn.Parameter(fixed, requires_grad=False))
        for finer, coarser in pairwise(MIXED):
            fixed = torch.randn(finer, coarser, 3, 3, generator=draw, device="cpu") / (9 * coarser) ** 0.5
            self.scales.append(nn.Parameter(fixed, requires_grad=False))
        halvings = [max(0, (self.side >> level) // LAST - 1).bit_length() for level in range(1, 1 + LEVELS)]
        self.heads = nn.ModuleList(_head(width, number) for width, number in zip(MIXED, halvings, strict=True))
        self.to_score = nn.ModuleList(spectral_norm(nn.Conv2d(WIDTH, 1, 1)) for _ in halvings)
        self.of_class = nn.ModuleList(
            spectral_norm(nn.Conv2d(WIDTH, num_classes, 1, bias=False)) for _ in halvings if num_classes
        )
        self.eval()

    def _apply(self, fn: Any, recurse: bool = True) -> "FeatureCritic":
        self._network[0]._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def enlarged(self, images: Images) -> Float[Tensor, "n c side side"]:
        """Images of `size` pixels as the network is shown them; whatever augments them comes after this.

        Whole pixels of these are halves of their own, so that the network's strides meet an image at either. Where
        they always met the same ones, the generator learnt to draw hatches (docs/log.md).
        """
        return F.interpolate(images, size=(self.side,) * 2, mode="bilinear")

    def forward(self, images: Images, labels: Labels | None = None) -> Float[Tensor, "n levels scores"]:
        """Scores of each enlarged image by level."""
        scores = []
        for level, maps in enumerate(self._mixed(_in_colour(images))):
            maps = self.heads[level](maps)
            found = self.to_score[level](maps)
            if labels is not None and self.of_class:
                classes = self.of_class[level](maps)
                found = found + classes[torch.arange(len(maps), device=maps.device), labels, None]
            scores.append(found.flatten(1))
        return torch.stack(scores, dim=1)

    def _mixed(self, images: Images) -> list[Maps]:
        """The features with their channels mixed, and each level with those above it, finest first."""
        found = self._network[0].features(images.contiguous(memory_format=torch.channels_last), LEVELS)
        mixed = [F.conv2d(found[-1], self.channels[-1])]
        for maps, channels, scales in reversed(list(zip(found, self.channels, self.scales, strict=False))):
            above = F.interpolate(F.conv2d(mixed[-1], scales, padding=1), size=maps.shape[2:], mode="bilinear")
            mixed.append((F.conv2d(maps, channels) + above) / 2**0.5)
        return mixed[::-1]


def _head(width: int, halvings: int) -> nn.Sequential:
    """Convolutions that halve mixed maps so many times, and one that looks around."""
    layers = nn.Sequential()
    for _ in range(halvings):
        layers.extend((spectral_norm(nn.Conv2d(width, WIDTH, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)))
        width = WIDTH
    return layers.extend((spectral_norm(nn.Conv2d(width, WIDTH, 3, padding=1)), nn.LeakyReLU(0.2)))


def _in_colour(images: Images) -> Float[Tensor, "n 3 _ _"]:
    """Gray as gray colours; what is transparent, before a gray that is drawn for each image, which shows its shape."""
    if images.shape[1] == 1:
        return images.expand(-1, 3, -1, -1)
    if images.shape[1] == 4:
        opacity = (images[:, 3:] + 1) / 2
        behind = 2 * torch.rand(len(images), 1, 1, 1, device=images.device, dtype=images.dtype) - 1
        return images[:, :3] * opacity + behind * (1 - opacity)
    return images

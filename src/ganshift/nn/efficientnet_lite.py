"""EfficientNet-Lite0, trained on ImageNet: features of images at five scales, and its classes; for use, not training.

EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946, table 1) without squeeze-and-excitation, and with ReLU6 for Swish:
what Google published for small devices. Batch norms are folded into the convolutions before them. The weights ship;
efficientnet_lite0.txt says where they come from.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ..tensors import Images
from .same_conv import same_padding

SHIPPED_WEIGHTS = Path(__file__).with_name("efficientnet_lite0.safetensors")
"""The weights in the package, in float16."""
SIDE = 224
"""The side of the images that it was trained on."""
STEM, WIDTHS = 32, (16, 24, 40, 112, 320)
"""Channels after the first convolution, and of the features of each level."""
NUM_FEATURES, NUM_CLASSES = 1280, 1000
_LEVELS = (
    ((1, 3, 1, 16),),
    ((2, 3, 6, 24),),
    ((2, 5, 6, 40),),
    ((3, 3, 6, 80), (3, 5, 6, 112)),
    ((4, 5, 6, 192), (1, 3, 6, 320)),
)
"""Stages of each level: blocks, kernel, expansion, channels. Each level begins by halving its maps; the first one's
stem does that."""
Maps = Float[Tensor, "n _ _ _"]


@final
class EfficientNetLite0(nn.Module):
    """The network: features of colour images in [-1, 1] of any size. `open_efficientnet_lite0` has it with weights.

    `levels[i]` takes the maps of the level before to maps of `WIDTHS[i]` channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of
    the images' sides, rounded up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.ModuleList(_levels())
        self.head = _convolution(WIDTHS[-1], NUM_FEATURES)
        self.classes = nn.Linear(NUM_FEATURES, NUM_CLASSES)

    def features(self, images: Images, levels: int = len(WIDTHS)) -> list[Maps]:
        """The maps of the first so many levels, finest first; levels above them are not computed."""
        maps = (images * 127.5 + 0.5) / 128  # bytes minus 127, over 128
        found = []
        for level in self.levels[:levels]:
            maps = level(maps)
            found.append(maps)
        return found

    def forward(self, images: Images) -> tuple[Float[Tensor, "n 1280"], Float[Tensor, "n 1000"]]:
        """Features averaged over the image, and logits of ImageNet's 1000 classes; both mean most at 224 x 224."""
        pooled = self.head(self.features(images)[-1]).mean((2, 3))
        return pooled, self.classes(pooled)


def open_efficientnet_lite0() -> EfficientNetLite0:
    """The network with the weights that ship, in float32, none of which asks for a gradient; images may."""
    with torch.device("meta"):  # no weights are drawn, only to be replaced
        network = EfficientNetLite0()
    weights = load_file(SHIPPED_WEIGHTS)
    network.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    return network.requires_grad_(False)


def _levels() -> Iterator[nn.Sequential]:
    channels = STEM
    for number, stages in enumerate(_LEVELS):
        halve = number > 0
        layers = nn.Sequential() if halve else _convolution(3, STEM, 3, halve=True)
        for blocks, kernel, expansion, width in stages:
            for _ in range(blocks):
                layers.append(_Block(channels, width, kernel, expansion, halve=halve))
                channels, halve = width, False
        yield layers


class _Block(nn.Module):
    """Widen, convolve each channel by itself, narrow; added to its input where the shapes are the same."""

    def __init__(self, channels: int, width: int, kernel: int, expansion: int, *, halve: bool) -> None:
        super().__init__()
        wide = channels * expansion
        self.is_residual = channels == width and not halve
        self.layers = nn.Sequential() if expansion == 1 else _convolution(channels, wide)
        self.layers.extend(_convolution(wide, wide, kernel, halve=halve, groups=wide))
        self.layers.append(nn.Conv2d(wide, width, 1))

    def forward(self, maps: Maps) -> Maps:
        return maps + self.layers(maps) if self.is_residual else self.layers(maps)


class _PadToHalve(nn.Module):
    """TensorFlow's SAME padding before a convolution of stride 2."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, maps: Maps) -> Maps:
        (top, bottom), (left, right) = (same_padding(side, self.kernel) for side in maps.shape[2:])
        return F.pad(maps, (left, right, top, bottom))


def _convolution(channels: int, width: int, kernel: int = 1, *, halve: bool = False, groups: int = 1) -> nn.Sequential:
    """A convolution with SAME padding, and ReLU6."""
    if halve:
        return nn.Sequential(
            _PadToHalve(kernel), nn.Conv2d(channels, width, kernel, stride=2, groups=groups), nn.ReLU6()
        )
    return nn.Sequential(nn.Conv2d(channels, width, kernel, padding=kernel // 2, groups=groups), nn.ReLU6())

"""The translator that `ganshift dual` trains, for pictures, arrays and tensors."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import choose
from ...inference.translator import AT_ONCE_PIXELS, MAX_SIDE, Domain, ImageTranslator, other_domain
from ...tensors import Images, Side, height_and_width
from ...training.config import require
from .backbone import TranslationBackbone
from .config import PUBLISHED_LEVELS, with_tuples
from .networks import ARCHITECTURES

PUBLISHED_SIZE = 256
"""Side of the images that DualGAN was published for."""
CHANNELS = (1, 3, 4)
"""Of images: gray, colour, colour with opacity."""
MAX_LEVELS = 32
"""Halvings that bring any image to one pixel."""


class Translator(ImageTranslator):
    """A pair of generators trained by `ganshift dual`: images of domain a to domain b and back.

    `from_pretrained` opens one by the name of a run folder, or of a model of the Hugging Face hub:

    >>> translator = Translator.from_pretrained("runs/drawings")
    >>> translator.size, translator.channels
    (32, {'a': 3, 'b': 1})
    >>> translator("photo.jpg", to="b")
    <PIL.Image.Image image mode=L size=48x40 at 0x...>
    """

    method = "dual"
    package = "ganshift"
    tags = ("dualgan", "unpaired-translation")
    papers = "DualGAN ([Yi et al. 2017](https://arxiv.org/abs/1704.02510))."

    def __init__(self, gen_ab: Mapping[str, Any], gen_ba: Mapping[str, Any], architecture: str = "unet"):
        super().__init__({"architecture": architecture, "gen_ab": dict(gen_ab), "gen_ba": dict(gen_ba)})
        gen_ab, gen_ba = with_tuples(gen_ab), with_tuples(gen_ba)
        self.channels = {"a": gen_ab["in_channels"], "b": gen_ba["in_channels"]}
        """Of each domain: 1 for gray, 3 for colour, 4 for colour with opacity."""
        self.size: Side = gen_ab.get("size", PUBLISHED_SIZE)
        """Side, or height and width, of the images trained on."""
        _check_pair(gen_ab, gen_ba, self.size)
        new_generator, _ = ARCHITECTURES[choose(architecture, ARCHITECTURES, "architecture")]
        self.gen_ab, self.gen_ba = new_generator(**gen_ab), new_generator(**gen_ba)
        self.eval()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Translator":
        """A translator with fresh weights, as a config.json describes it."""
        return cls(config["gen_ab"], config["gen_ba"], config.get("architecture", "unet"))

    def network(self, to: Domain) -> TranslationBackbone:
        """The generator that translates to a domain."""
        return self.gen_ab if to == "b" else self.gen_ba

    @property
    def step(self) -> int:
        """Sides which are multiples of it are even until the deepest maps."""
        return int(2**self.gen_ab.num_halvings)

    @torch.no_grad()
    def translate(self, images: Images, to: Domain = "b") -> Float[Tensor, "n c2 h w"]:
        """Map images in [-1, 1] to the other domain, at the same height and width, and back to their device.

        Images of more than `AT_ONCE_PIXELS` are computed in bands (`tiled`): the same result in less memory.
        Raises a `UserError` for images of other channels than their domain has.

        >>> translator = Translator.from_pretrained("runs/drawings")
        >>> images = 2 * torch.rand(4, 3, 40, 56) - 1
        >>> translator.translate(images, to="b").shape
        torch.Size([4, 1, 40, 56])
        """
        start, channels = other_domain(to), self.channels[other_domain(to)]
        require(images.shape[1] == channels, f"images of {start} have {channels} channels, got {images.shape[1]}")
        network = self.network(to)
        if images.shape[2] * images.shape[3] > AT_ONCE_PIXELS:
            return torch.cat([network.translate_large(image) for image in images.split(1)])
        return network(images.to(next(self.parameters()).device)).to(images.device)


def _check_pair(gen_ab: Mapping[str, Any], gen_ba: Mapping[str, Any], size: Side) -> None:
    """Raise unless these are arguments of two U-Nets of which each takes what the other gives."""
    for one, other in ((gen_ab, gen_ba), (gen_ba, gen_ab)):
        require(
            type(one["in_channels"]) is int
            and one["in_channels"] in CHANNELS
            and one["in_channels"] == other["out_channels"],
            f"channels must be 1, 3 or 4, and the same in both directions, got {one['in_channels']}",
        )
        levels = one.get("levels", PUBLISHED_LEVELS)
        require(levels in range(1, MAX_LEVELS + 1), f"levels must be from 1 to {MAX_LEVELS}, got {levels}")
    sides = height_and_width(size)
    require(
        len(sides) == 2 and all(type(side) is int and 1 <= side <= MAX_SIDE for side in sides),
        f"size must be one or two sides of 1 to {MAX_SIDE} pixels, got {size}",
    )

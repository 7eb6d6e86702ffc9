"""The translator that `ganshift dual` trains, for pictures, arrays and tensors."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ...inference.translator import AT_ONCE_PIXELS, MAX_SIDE, ImageTranslator, other_domain
from ...nn.norm import image_statistics as use_image_statistics
from ...tensors import Images, Side, height_and_width
from ...training.config import require
from .architectures import new_generator
from .backbone import TranslationBackbone
from .config import PUBLISHED_LEVELS, with_tuples

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
    >>> translator.names
    {'a': 'photos', 'b': 'drawings'}
    >>> translator("photo.jpg", to="drawings")
    <PIL.Image.Image image mode=L size=48x40 at 0x...>
    """

    method = "dual"
    package = "ganshift"
    tags = ("dualgan", "unpaired-translation")
    papers = "DualGAN ([Yi et al. 2017](https://arxiv.org/abs/1704.02510))."

    def __init__(
        self,
        gen_ab: Mapping[str, Any],
        gen_ba: Mapping[str, Any] | None = None,
        architecture: str = "unet",
        size: Side | None = None,
        image_statistics: bool = False,
    ):
        """From constructor arguments of the generators; without `gen_ba` it translates to b alone.

        `size` is that of the images trained on, where it is not among the arguments; `image_statistics` lets batch
        norms take the statistics of each image instead of running ones.
        """
        described = {"gen_ab": dict(gen_ab), **({"gen_ba": dict(gen_ba)} if gen_ba else {})}
        super().__init__({"architecture": architecture, **described})
        if size is not None:
            self.config["size"] = size
        if image_statistics:
            self.config["image_statistics"] = True
        self.ways = ("b", "a") if gen_ba else ("b",)
        self.channels = {"a": gen_ab["in_channels"], "b": gen_ab["out_channels"]}
        """Of each domain: 1 for gray, 3 for colour, 4 for colour with opacity."""
        self.size: Side = with_tuples(gen_ab).get("size", PUBLISHED_SIZE) if size is None else size
        """Side, or height and width, of the images trained on."""
        _check(gen_ab, gen_ba, self.size)
        self.gen_ab = new_generator(architecture, gen_ab)
        if gen_ba:
            self.gen_ba = new_generator(architecture, gen_ba)
        self.image_statistics = image_statistics
        """Whether batch norms take the statistics of each image, unless `translate` is told otherwise."""
        self.eval()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Translator":
        """A translator with fresh weights, as a config.json describes it."""
        size = with_tuples({"size": config.get("size")})["size"]
        by_image = config.get("image_statistics") is True
        return cls(config["gen_ab"], config.get("gen_ba"), config.get("architecture", "unet"), size, by_image)

    def network(self, to: str) -> TranslationBackbone:
        """The generator that translates to a domain, whose batch norms take the statistics that the model says."""
        self.check_way(to)
        network = self.gen_ab if self.domain(to) == "b" else self.gen_ba
        use_image_statistics(network, self.image_statistics)
        return network

    @property
    def step(self) -> int:
        """Sides which are multiples of it are even until the deepest maps."""
        generators = [self.gen_ab, *([self.gen_ba] if "a" in self.ways else [])]
        return int(2 ** max(generator.num_halvings for generator in generators))

    @torch.no_grad()
    def translate(
        self, images: Images, to: str = "b", image_statistics: bool | None = None
    ) -> Float[Tensor, "n c2 h w"]:
        """Map images in [-1, 1] to a domain (`domain`), at the same height and width, and back to their device.

        Images of more than `AT_ONCE_PIXELS` are computed in parts (`tiled`, `tiles`): the same result in less memory,
        unless a norm of ResNet or pix2pix generators takes the statistics of an image. Batch norms, which only those
        have, use running statistics, or with `image_statistics` those of each image; None means as the run says.
        Raises a `UserError` for images of other channels than their domain has, and if there is no way to `to`.

        >>> translator = Translator.from_pretrained("runs/drawings")
        >>> images = 2 * torch.rand(4, 3, 40, 56) - 1
        >>> translator.translate(images, to="b").shape
        torch.Size([4, 1, 40, 56])
        """
        start = other_domain(self.domain(to))
        channels = self.channels[start]
        require(
            images.shape[1] == channels,
            f"images of {self.names[start]} have {channels} channels, got {images.shape[1]}",
        )
        network = self.network(to)
        if image_statistics is not None:
            use_image_statistics(network, image_statistics)
        height, width = images.shape[2:]
        below, beside = (max(network.smallest - side, 0) for side in (height, width))
        if below or beside:
            images = F.pad(images, (0, beside, 0, below), mode="replicate")
        if height * width > AT_ONCE_PIXELS:
            translated = torch.cat([network.translate_large(image) for image in images.split(1)])
        else:
            translated = network(images.to(next(self.parameters()).device)).to(images.device)
        return translated[:, :, :height, :width]


def _check(gen_ab: Mapping[str, Any], gen_ba: Mapping[str, Any] | None, size: Side) -> None:
    """Raise unless these are arguments of a generator, or of two of which each takes what the other gives."""
    back = gen_ba or {"in_channels": gen_ab["out_channels"], "out_channels": gen_ab["in_channels"]}
    for one, other in ((gen_ab, back), (back, gen_ab)):
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

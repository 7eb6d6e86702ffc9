"""The generator that `ganshift transfer` trains, for pictures and for tensors."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from ...errors import UserError, choose
from ...inference.arguments import Array, labels_from, latents_from
from ...inference.generator import ImageGenerator
from ...nn.norm import batch_statistics as using_batch_statistics
from ...tensors import Images
from .backbone import GeneratorBackbone
from .networks import ARCHITECTURES
from .source import check_classes


class Generator(ImageGenerator):
    """A generator trained by `ganshift transfer`: latents, and labels if it has classes, to images.

    `from_pretrained` opens one by the name of a run folder, of a bundled model, or of the Hugging Face hub:

    >>> generator = Generator.from_pretrained("digits32")
    >>> generator.size, generator.channels, generator.classes
    (32, 1, ())
    >>> generator.sample(2, seed=1)
    [<PIL.Image.Image image mode=L size=32x32 at 0x...>, <PIL.Image.Image image mode=L size=32x32 at 0x...>]
    """

    method = "transfer"
    package = "ganshift"

    def __init__(self, generator: Mapping[str, Any], classes: Sequence[str] = (), architecture: str = "resnet"):
        super().__init__({"architecture": architecture, "generator": dict(generator), "classes": list(classes)})
        known = ARCHITECTURES[choose(architecture, ARCHITECTURES, "architecture")]
        self.tags, self.papers = known.tags, known.papers
        self.generator = known.generator(**generator)
        self.latent_dim = self.generator.latent_dim
        """Random numbers that make an image."""
        self.truncates_styles = "truncation" in self.generator.options
        self.classes = check_classes(classes, self.generator.num_classes)
        """Names of the classes, in the order of their numbers; empty if it has none."""
        self.size = self.generator.size
        """Side of the square images, in pixels."""
        self.channels = self.generator.channels
        """1 for gray, 3 for colour, 4 for colour with opacity."""
        self.eval()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Generator":
        """A generator with fresh weights, as a config.json describes it."""
        return cls(config["generator"], config["classes"], config.get("architecture", "resnet"))

    @property
    def network(self) -> GeneratorBackbone:
        """What generates."""
        return self.generator

    @torch.no_grad()
    def generate(
        self, latents: Array, labels: Array | None = None, batch_statistics: bool = False, **options: Any
    ) -> Images:
        """Map standard normal latents [n, latent_dim] to images [n, channels, size, size] on the latents' device.

        Images are in [-1, 1]; generators of other tools, whose last layer has no bounds, may go a little beyond.
        Tensors, arrays and lists will do. A conditional generator needs labels [n], class numbers from 0.
        `batch_statistics` normalises by the batch, as both published codes do: then every image depends on its
        neighbours. `options` are for generators of other tools: `truncation` (1 is none, 0 the mean style), `cutoff`
        (how many layers that is for) and `noise` ("const", "random" or "none") of StyleGAN2, and `noise` ("none",
        "random", or a map [n, 1, h, w] for each layer) of lightweight-gan. Raises a `UserError` for latents of another
        shape, for labels that are missing, not wanted, or of no class, and for options that a generator does not have.

        >>> generator = Generator.from_pretrained("digits32")
        >>> images = generator.generate(torch.randn(2, 128))
        >>> images.shape, bool(images.abs().max() <= 1)
        (torch.Size([2, 1, 32, 32]), True)
        """
        given = latents_from(latents, self.latent_dim)
        if unknown := sorted(options.keys() - set(self.generator.options)):
            has = ", ".join(self.generator.options) or "no options"
            raise UserError(f"this generator has {has}: leave out {', '.join(unknown)}")
        if (labels is None) != (not self.classes):
            needs = f"needs labels from 0 to {len(self.classes) - 1}" if self.classes else "takes no labels"
            raise UserError(f"this generator {needs}")
        device = next(self.parameters()).device
        chosen = None if labels is None else labels_from(labels, len(given), len(self.classes)).to(device)
        with using_batch_statistics(self.generator) if batch_statistics else nullcontext():
            return self.generator(given.to(device), chosen, **options).to(given.device)

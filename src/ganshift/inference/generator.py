"""What every generator can do, whichever method trained it: pictures from latents, in numbers, strips and grids."""

import unicodedata
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, SupportsFloat, SupportsIndex

import torch
from PIL import Image
from torch import nn

from ..data.images import to_picture
from ..errors import UserError
from ..tensors import Images, Labels, Latents, image_grid, to_uint8
from ..training import run_folder
from ..training.config import require
from .arguments import Array, is_array, labels_from, latents_from, number, shown, whole_number
from .latents import draw_latents, slerp, truncate
from .pretrained import CardGrids, Pretrained, enlarged

Rows = list[list[Image.Image]]
"""Pictures as they lie on a sheet."""
SAMPLING_BATCH = 64
"""Images generated at once. Without batch statistics it changes speed and memory only; with them it says whose
statistics are used: those of images 0 to 63, then of 64 to 127, and of what is left in the end."""
CARD_COLUMNS = 8
"""Pictures in a row of the model card, and rows."""


class ImageGenerator(Pretrained):
    """Latents, and labels if it has classes, to images.

    A method's model defines `generate` and `network`; the rest follows.
    """

    noun = "generator"
    pipeline_tag = "unconditional-image-generation"
    latent_dim: int
    """Random numbers that make an image."""
    classes: tuple[str, ...]
    """Names of the classes, in the order of their numbers; empty if it has none."""
    size: int
    """Side of the square images, in pixels."""
    channels: int
    """1 for gray, 3 for colour, 4 for colour with opacity."""
    truncates_styles = False
    """Whether truncation moves styles towards their mean (StyleGAN's psi) instead of redrawing latents."""
    on_images: Callable[[int], object] = staticmethod(lambda count: None)
    """Hears how many images have been generated of those that were asked for, for a progress bar."""

    @abstractmethod
    def generate(
        self, latents: Array, labels: Array | None = None, batch_statistics: bool = False, **options: Any
    ) -> Images:
        """Map standard normal latents [n, latent_dim] to images [n, channels, size, size] in [-1, 1].

        Tensors, arrays and lists will do. A conditional generator needs labels [n], class numbers from 0.
        `batch_statistics` normalises by the batch, where there is a batch norm. `options` are what else its network
        takes; those that it does not know raise a `UserError`.
        """

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """What generates: latents [n, latent_dim], and labels [n] if it has classes, to images."""

    @property
    def as_published(self) -> bool:
        """Whether it was trained as the published codes train, which normalise by the batch when they draw, too."""
        return bool(run_folder.section(self.config, "training").get("as_published"))

    def sample(
        self,
        what: SupportsIndex | Array,
        label: str | SupportsIndex | Array | None = None,
        seed: SupportsIndex = 0,
        batch_statistics: bool = False,
        truncation: SupportsFloat | None = None,
    ) -> list[Image.Image]:
        """Generate pictures: as many as said, or one per latent of a tensor, array or list [n, latent_dim].

        `label` is a class name or number, or a list of one for each picture; a text that is both is taken for the name.
        Without one, a conditional generator takes its classes in turn. `truncation` redraws numbers of the latents that
        are more standard deviations from 0 than it says: 2.0 changes little, 0.5 gives more typical pictures that
        differ less. Of a StyleGAN2 it is psi instead: 1 changes nothing, 0.5 halves the way from the mean style. The
        same seed gives the same pictures, and, to rounding, the first ones of a larger number; under
        `batch_statistics` only whole batches of `SAMPLING_BATCH` stay the same.

        >>> generator = Generator.from_pretrained("digits32")
        >>> generator.sample(2, seed=1, truncation=1.0) == generator.sample(2, seed=1, truncation=1.0)
        True
        """
        if is_array(what):
            latents = latents_from(what, self.latent_dim)
            if truncation is not None and not self.truncates_styles:
                latents = truncate(latents, truncation, seed)
        else:
            latents = self._draw(what, seed, truncation)  # type: ignore[arg-type]
        return self._pictures(latents, self._labels(len(latents), label), batch_statistics, truncation)

    def interpolate(
        self,
        steps: SupportsIndex = 8,
        count: SupportsIndex = 8,
        label: str | SupportsIndex | Array | None = None,
        seed: SupportsIndex = 0,
        batch_statistics: bool = False,
        truncation: SupportsFloat | None = None,
    ) -> Rows:
        """Generate strips of pictures that change step by step, `count` strips of `steps` pictures.

        Strip i goes along the arc (`latents.slerp`) from latent i of the seed to latent i + 1, and stays in one class:
        that of `label`, or class i in turn. So strips start with the pictures of `sample`, and where all are of one
        class, each ends with what the next starts with. Truncation is done to the ends.

        >>> strips = Generator.from_pretrained("digits32").interpolate(steps=5, count=2)
        >>> len(strips), len(strips[0])
        (2, 5)
        """
        count = whole_number("the number of strips", count, 1)
        labels = self._labels(count, label)
        ends = self._draw(count + 1, seed, truncation)
        latents = slerp(ends[:-1], ends[1:], steps).flatten(0, 1)  # count steps z -> count*steps z
        length = len(latents) // (len(ends) - 1)
        labels = labels.repeat_interleave(length) if labels is not None else None
        return _in_rows(self._pictures(latents, labels, batch_statistics, truncation), length)

    def class_grid(
        self,
        count: SupportsIndex = 8,
        seed: SupportsIndex = 0,
        batch_statistics: bool = False,
        truncation: SupportsFloat | None = None,
    ) -> Rows:
        """Generate one row a class from the same `count` latents: a column shows what the class alone changes."""
        if not self.classes:
            raise UserError(
                "a class grid needs a generator with classes, and this one was trained without: draw with sample "
                "(leave out --class-grid), or train one with --conditioning acgan on one folder per class"
            )
        row = self._draw(count, seed, truncation)
        latents = row.repeat(len(self.classes), 1)
        labels = torch.arange(len(self.classes)).repeat_interleave(len(row))
        return _in_rows(self._pictures(latents, labels, batch_statistics, truncation), len(row))

    def published_sheet(self, seed: SupportsIndex = 0) -> Rows:
        """Generate the fixed sheet of both published codes: 10 rows of 10, normalised by the batch of all hundred.

        Picture i is of class i modulo the number of classes, so with ten classes each has a column. The latents are
        those of `sample(100, seed=seed)`.
        """
        latents, labels = self._draw(100, seed), self._labels(100, None)
        return _in_rows(self._pictures(latents, labels, batch_statistics=True, at_once=100), columns=10)

    def grids(self, pictures: Mapping[Any, Sequence[Any]] | None = None) -> CardGrids:
        """64 pictures of seed 0, normalised as in the run's own sheets, with one class in each column."""
        require(not pictures, "the model card of a generator shows its own samples: leave out pictures")
        latents = self._draw(CARD_COLUMNS**2, seed=0)
        labels = torch.arange(CARD_COLUMNS**2) % CARD_COLUMNS % len(self.classes) if self.classes else None
        images = self.generate(latents, labels, self.as_published)
        return {"samples.png": enlarged(image_grid(images, CARD_COLUMNS))}

    def _draw(self, count: SupportsIndex, seed: SupportsIndex, truncation: SupportsFloat | None = None) -> Latents:
        return draw_latents(count, seed, None if self.truncates_styles else truncation, self.latent_dim)

    def _pictures(
        self,
        latents: Latents,
        labels: Labels | None,
        batch_statistics: bool,
        truncation: SupportsFloat | None = None,
        at_once: int = SAMPLING_BATCH,
    ) -> list[Image.Image]:
        """`at_once` images are generated at a time; `truncation` is that of styles, and nothing to other generators."""
        psi = self.truncates_styles and truncation is not None
        options = {"truncation": number("truncation, psi of the styles,", truncation)} if psi else {}
        pictures: list[Image.Image] = []
        for start in range(0, len(latents), at_once):
            part = slice(start, start + at_once)
            images = self.generate(
                latents[part].cpu(), labels[part] if labels is not None else None, batch_statistics, **options
            )
            pictures += map(to_picture, to_uint8(images).numpy())
            self.on_images(len(pictures))
        return pictures

    def _labels(self, count: int, label: str | SupportsIndex | Array | None) -> Labels | None:
        if not self.classes:
            if label is not None:
                raise UserError(f"label {shown(label)} was given, but this generator was trained without classes")
            return None
        if isinstance(label, str):
            label = unicodedata.normalize("NFC", label)
        if label is None:
            return torch.arange(count) % len(self.classes)
        if is_array(label):
            return labels_from([self._class_number(each) for each in label], count, len(self.classes))
        return torch.full((count,), self._class_number(label))

    def _class_number(self, label: Any) -> int:
        """Of a class by its name, or by its number as a number or text."""
        if isinstance(label, str) and label in self.classes:
            return self.classes.index(label)
        numbers = {str(number): number for number in range(len(self.classes))}
        text = label if isinstance(label, str) else str(whole_number("label", label, -(2**63)))
        if text not in numbers:
            known = f"{', '.join(self.classes)}, or their numbers from 0 to {len(self.classes) - 1}"
            raise UserError(f"there is no class {shown(label)}; this generator has {known}")
        return numbers[text]


def _in_rows(pictures: list[Image.Image], columns: int) -> Rows:
    return [pictures[start : start + columns] for start in range(0, len(pictures), columns)]

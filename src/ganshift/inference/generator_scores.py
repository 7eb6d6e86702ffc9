"""Scores of a generator: its images, streamed, among real ones. Training and `ganshift evaluate` both come here."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from ..data.datasets import ImageSet
from ..metrics.measuring import ROUNDED, TRUNCATED, Extraction, Measured, measure
from ..tensors import Bytes, Images, Labels, Latents, to_uint8
from .generator import ImageGenerator

Draw = Callable[[Latents, Labels | None], Images]
"""Latents, and labels if there are classes, to images in [-1, 1]; computes where it likes and leaves them there."""


def drawing(model: ImageGenerator, as_published: bool) -> Draw:
    """How a model draws where its weights lie; `as_published` normalises by the batch."""
    device = next(model.parameters()).device
    return lambda latents, labels: model.generate(latents.to(device), labels, as_published)


def measure_generator(
    draw: Draw,
    num_classes: int,
    latents: Latents,
    reference: ImageSet | None,
    split: str,
    extraction: Extraction,
    about: Mapping[str, Any],
    *,
    as_published: bool,
) -> Measured:
    """Scores of the images of these latents; `reference` may be None if the only metric is "is".

    Without classes, `num_classes` is 0. `about` says in the records which model it was. `as_published` truncates the
    images to 256 levels, and says that `draw` normalises by each batch.
    """
    settings = extraction.settings
    published = f", normalised by batches of {settings.batch}" if as_published else ""
    return measure(
        extraction,
        sample_stored(draw, num_classes, latents, settings.batch, as_published),
        len(latents),
        reference,
        verb="generate",
        split=split,
        about={"quantisation": TRUNCATED if as_published else ROUNDED, "seed": settings.seed, **about},
        protocol="{}" + published,
    )


def sample_stored(
    draw: Draw, num_classes: int, latents: Latents, batch: int, as_published: bool
) -> list[Callable[[], Bytes]]:
    """Batches of generated images, stored, each made when it is called; with classes in turn."""
    labels = torch.arange(len(latents)) % num_classes if num_classes else None
    store = truncate_to_uint8 if as_published else to_uint8

    @torch.no_grad()
    def sample(part: slice) -> Bytes:
        return store(draw(latents[part], None if labels is None else labels[part]))

    return [partial(sample, slice(first, first + batch)) for first in range(0, len(latents), batch)]


def truncate_to_uint8(images: Images) -> Bytes:
    """The stored levels of both published codes: (x + 1)·255.99/2 without its fraction, darker by half a level."""
    return ((images.to(torch.float32) + 1) * (255.99 / 2)).clamp(0, 255.99).to(torch.uint8)

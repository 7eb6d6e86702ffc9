"""Scores of a generator: its images, streamed, among real ones. Training and `ganshift evaluate` both come here."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from ..data.datasets import ImageSet
from ..metrics.measuring import ROUNDED, TRUNCATED, ClassFrequencies, Extraction, Measured, measure
from ..metrics.score_record import AS_IN_REFERENCE, IN_TURN
from ..tensors import Bytes, Images, Labels, Latents, to_uint8
from .generator import ImageGenerator

Draw = Callable[[Latents, Labels | None], Images]
"""Latents, and labels if there are classes, to images in [-1, 1]; computes where it likes and leaves them there."""


def drawing(model: ImageGenerator) -> Draw:
    """How a model draws where its weights lie; one trained as published normalises by the batch."""
    device = next(model.parameters()).device
    return lambda latents, labels: model.generate(latents.to(device), labels, model.as_published)


def measure_generator(
    draw: Draw,
    classes: Sequence[str],
    latents: Latents,
    reference: ImageSet | None,
    split: str,
    extraction: Extraction,
    about: Mapping[str, Any],
    *,
    as_published: bool,
) -> Measured:
    """Scores of the images of these latents; `reference` may be None if the only metric is "is".

    `classes` are those of the generator, none if it has none; how often each is drawn, `EvaluationSettings.labels`
    says. `about` says in the records which model it was. `as_published` truncates the images to 256 levels, and says
    that `draw` normalises by each batch.
    """
    settings = extraction.settings
    labels, chosen = class_labels(len(latents), classes, reference, settings.labels)
    published = f", normalised by batches of {settings.batch}" if as_published else ""
    return measure(
        extraction,
        sample_stored(draw, labels, latents, settings.batch, as_published),
        len(latents),
        reference,
        verb="generate",
        split=split,
        about={
            "quantisation": TRUNCATED if as_published else ROUNDED,
            "seed": settings.seed,
            "labels": chosen,
            **about,
        },
        protocol="{}" + published,
    )


def class_labels(
    count: int, classes: Sequence[str], reference: ImageSet | None, wanted: ClassFrequencies
) -> tuple[Labels | None, str | None]:
    """A class for each of `count` images, and how they were chosen, for the record; None and None without classes.

    Each is drawn as often as the reference has it, evenly spread; with equal numbers that is all in turn. They are
    taken in turn, too, where the reference has no classes or others than the generator.
    """
    if not classes:
        return None, None
    known = reference is not None and reference.labels is not None and set(reference.classes) <= set(classes)
    if wanted == "uniform" or not known:
        return torch.arange(count) % len(classes), IN_TURN
    assert reference is not None
    assert reference.labels is not None
    numbers = np.bincount(reference.labels, minlength=len(reference.classes))
    frequencies = sorted((classes.index(name), number) for name, number in zip(reference.classes, numbers, strict=True))
    # Image k of a class has its place at (k + 1/2) / frequency on a line that all classes share.
    drawn = [np.full(count, label) for label, number in frequencies if number]
    places = [(np.arange(count) + 0.5) / number for _, number in frequencies if number]
    order = np.argsort(np.concatenate(places), kind="stable")[:count]
    return torch.from_numpy(np.concatenate(drawn)[order]), AS_IN_REFERENCE


def sample_stored(
    draw: Draw, labels: Labels | None, latents: Latents, batch: int, as_published: bool
) -> list[Callable[[], Bytes]]:
    """Batches of generated images, stored, each made when it is called."""
    store = truncate_to_uint8 if as_published else to_uint8

    @torch.no_grad()
    def sample(part: slice) -> Bytes:
        return store(draw(latents[part], None if labels is None else labels[part]))

    return [partial(sample, slice(first, first + batch)) for first in range(0, len(latents), batch)]


def truncate_to_uint8(images: Images) -> Bytes:
    """The stored levels of both published codes: (x + 1)·255.99/2 without its fraction, darker by half a level."""
    return ((images.to(torch.float32) + 1) * (255.99 / 2)).clamp(0, 255.99).to(torch.uint8)

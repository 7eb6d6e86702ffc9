"""Cards of a generator: its images, streamed, among real ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ..data.datasets import MEMORY_BUDGET_BYTES
from ..data.named import open_named_images
from ..errors import UserError
from ..metrics.card import Card
from ..metrics.measuring import (
    METRICS,
    ROUNDED,
    TRUNCATED,
    Extraction,
    Settings,
    check_enough,
    measure,
    provenance,
)
from ..models import Generator, draw_latents
from ..runtime.log import opening_progress
from ..tensors import Bytes, Images, Latents, to_uint8


def cards_of_generator(run: Path, config: dict[str, Any], data: Path | None, settings: Settings) -> list[Card]:
    """Measure the generator of a run; `data` is what --data can be, or None if no metric compares with it."""
    model = Generator.from_pretrained(run, settings.device)
    metrics = settings.metrics or METRICS
    if data is None and set(metrics) != {"is"}:
        raise UserError(f"{', '.join(metrics)} compare with real images: give --reference, or --metrics is")
    training, network = config.get("training"), model.generator
    as_published = isinstance(training, dict) and bool(training.get("as_published"))
    images = None
    if data is not None and set(metrics) != {"is"}:
        with opening_progress() as progress:
            images = open_named_images(
                data, network.size, network.to_image.weight.shape[0], MEMORY_BUDGET_BYTES, progress, settings.split
            )
    check_enough(metrics, settings.num_images, 0 if images is None else len(images), settings)
    latents = draw_latents(settings.num_images, settings.seed)
    published = f", normalised by batches of {settings.batch}" if as_published else ""
    return measure(
        sample_stored(model, latents, settings.batch, as_published),
        settings.num_images,
        images,
        metrics,
        Extraction.open(settings),
        settings,
        verb="generate",
        split=settings.split,
        about={"quantisation": TRUNCATED if as_published else ROUNDED, "seed": settings.seed, **provenance(run)},
        protocol="{}" + published,
    )


@torch.no_grad()
def sample_stored(
    model: Generator, latents: Latents, batch: int, as_published: bool, start: int = 0
) -> Iterator[Bytes]:
    """Generated images, stored; of a conditional generator with the classes in turn, as if `start` came before."""
    device = next(model.parameters()).device
    labels = torch.arange(start, start + len(latents)) % len(model.classes) if model.classes else None
    for first in range(0, len(latents), batch):
        part = slice(first, first + batch)
        part_labels = None if labels is None else labels[part].to(device)
        images = model.generate(latents[part].to(device), part_labels, batch_statistics=as_published)
        yield truncate_to_uint8(images) if as_published else to_uint8(images)


def truncate_to_uint8(images: Images) -> Bytes:
    """The stored levels of both published codes: (x + 1)·255.99/2 without its fraction, darker by half a level."""
    return ((images.to(torch.float32) + 1) * (255.99 / 2)).clamp(0, 255.99).to(torch.uint8)

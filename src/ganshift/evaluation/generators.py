"""Cards of a generator: its images, streamed, among real ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..data.datasets import MEMORY_BUDGET_BYTES
from ..data.named import open_named_images
from ..errors import UserError
from ..metrics.card import Card
from ..models import Generator, draw_latents
from ..runtime.log import opening_progress
from ..tensors import Bytes, Images, to_uint8
from .measuring import (
    METRICS,
    ROUNDED,
    TRUNCATED,
    Extraction,
    Settings,
    Taken,
    against,
    check_enough,
    counting,
    provenance,
)


def cards_of_generator(run: Path, config: dict[str, Any], data: Path | None, settings: Settings) -> list[Card]:
    """Measure the generator of a run; `data` is what --data can be, or None if no metric compares with it."""
    model = Generator.from_pretrained(run, settings.device)
    metrics = settings.metrics or METRICS
    if data is None and set(metrics) != {"is"}:
        raise UserError(f"{', '.join(metrics)} compare with real images: give --reference, or --metrics is")
    network, as_published = config["generator"], bool(config.get("training", {}).get("as_published"))
    images = None
    if data is not None and set(metrics) != {"is"}:
        with opening_progress() as progress:
            images = open_named_images(
                data, network["size"], network["channels"], MEMORY_BUDGET_BYTES, progress, settings.split
            )
    check_enough(metrics, settings.num_images, 0 if images is None else len(images), settings)
    latents = draw_latents(settings.num_images, settings.seed)
    extraction = Extraction.open(settings)
    reference = extraction.reference(images, settings) if images is not None else None
    taken = Taken(extraction, metrics, settings.num_images, reference, settings)
    with counting("generate", settings.num_images) as counted:
        taken.update(counted(_sample(model, latents, settings.batch, as_published)))
    published = f", normalised by batches of {settings.batch}" if as_published else ""
    return [
        Card(
            metric=name,
            protocol=protocol + published,
            value=score.value,
            spread=score.spread,
            num_generated=settings.num_images,
            **against(None if name == "IS" else images, settings.split),
            **extraction.on_card(),
            quantisation=TRUNCATED if as_published else ROUNDED,
            seed=settings.seed,
            **provenance(run),
        )
        for name, protocol, score in taken.found()
    ]


@torch.no_grad()
def _sample(model: Generator, latents: Float[Tensor, "n z"], batch: int, as_published: bool) -> Iterator[Bytes]:
    """Generated images, stored; of a conditional generator with the classes in turn."""
    device = next(model.parameters()).device
    labels = torch.arange(len(latents)) % len(model.classes) if model.classes else None
    for first in range(0, len(latents), batch):
        part = slice(first, first + batch)
        part_labels = None if labels is None else labels[part].to(device)
        images = model.generate(latents[part].to(device), part_labels, batch_statistics=as_published)
        yield truncate_to_uint8(images) if as_published else to_uint8(images)


def truncate_to_uint8(images: Images) -> Bytes:
    """The stored levels of both published codes: (x + 1)·255.99/2 without its fraction, darker by half a level."""
    return ((images.to(torch.float32) + 1) * (255.99 / 2)).clamp(0, 255.99).to(torch.uint8)

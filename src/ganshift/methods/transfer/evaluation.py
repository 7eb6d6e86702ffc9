"""Cards of a generator: its images, streamed, among real ones. Training and `ganshift evaluate` both come here."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cache, partial
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from ...data.cifar import Split
from ...data.datasets import ImageSet
from ...data.open import open_held_out
from ...inference.latents import draw_latents
from ...metrics.measuring import ROUNDED, TRUNCATED, Extraction, Measured, Settings, measure, provenance_of
from ...metrics.while_training import FEWEST_HELD_OUT, as_evaluation, enough, settings_of
from ...nn.norm import batch_statistics
from ...tensors import Bytes, Images, Latents, to_uint8
from ...training.ema import Ema
from ...training.monitor.best import Evaluation
from ...training.weights import hash_of_weights
from .config import SIZES, TransferConfig
from .networks import ResNetGenerator
from .source import GENERATOR_PREFIX


def measure_generator(
    network: ResNetGenerator,
    latents: Latents,
    reference: ImageSet | None,
    split: str,
    metrics: Sequence[str],
    extraction: Extraction,
    settings: Settings,
    about: Mapping[str, Any],
    *,
    as_published: bool,
) -> Measured:
    """Scores of the images of these latents; `reference` may be None if the only metric is "is".

    `about` says on the cards which model it was. `as_published` normalises by each batch and truncates.
    """
    published = f", normalised by batches of {settings.batch}" if as_published else ""
    return measure(
        sample_stored(network, latents, settings.batch, as_published),
        len(latents),
        reference,
        metrics,
        extraction,
        settings,
        verb="generate",
        split=split,
        about={"quantisation": TRUNCATED if as_published else ROUNDED, "seed": settings.seed, **about},
        protocol="{}" + published,
    )


def sample_stored(
    network: ResNetGenerator, latents: Latents, batch: int, as_published: bool
) -> list[Callable[[], Bytes]]:
    """Batches of generated images, stored, each made when it is called; with classes in turn."""
    return [
        partial(_sample_part, network, latents, slice(first, first + batch), as_published)
        for first in range(0, len(latents), batch)
    ]


@torch.no_grad()
def _sample_part(
    network: ResNetGenerator, latents: Latents, part: slice, as_published: bool
) -> UInt8[Tensor, "m c h w"]:
    device = next(network.parameters()).device
    classes = network.num_classes
    labels = (torch.arange(len(latents))[part] % classes).to(device) if classes else None
    with batch_statistics(network) if as_published else nullcontext():
        images = network(latents[part].to(device), labels)
    return truncate_to_uint8(images) if as_published else to_uint8(images)


def truncate_to_uint8(images: Images) -> Bytes:
    """The stored levels of both published codes: (x + 1)·255.99/2 without its fraction, darker by half a level."""
    return ((images.to(torch.float32) + 1) * (255.99 / 2)).clamp(0, 255.99).to(torch.uint8)


def new_evaluation(config: TransferConfig, training: ImageSet, ema: Ema) -> Callable[[], Evaluation] | None:
    """What scores the averaged generator while training, among held-out images if there are some; None if it cannot."""
    held_out = _held_out(config, training)
    reference, split = (held_out, "test") if held_out else (training, "train")
    if not enough(reference):
        return None
    settings = settings_of(config)
    latents = draw_latents(config.evaluate_images, settings.seed)
    extraction = cache(partial(Extraction.open, settings))

    def evaluate() -> Evaluation:
        network = ema.average
        assert isinstance(network, ResNetGenerator)
        about = provenance_of(hash_of_weights(network, GENERATOR_PREFIX))
        found = measure_generator(
            network,
            latents,
            reference,
            split,
            (config.best_by,),
            extraction(),
            settings,
            about,
            as_published=config.as_published,
        )
        return as_evaluation(found.cards, config.best_by, {"generated": found.diversity})

    return evaluate


def held_out_split(config: TransferConfig) -> Split:
    """The test split beside the images that a run learned, where there is enough of it; else train.

    Among the images that were learned, learning by heart counts as quality (docs/results.md).
    """
    return "test" if open_held_out(config.data, SIZES[0], None, 0.0, fewest=FEWEST_HELD_OUT) else "train"


def _held_out(config: TransferConfig, training: ImageSet) -> ImageSet | None:
    """The test split beside the training images, if it has enough of them."""
    size = training.size
    assert isinstance(size, int), "generators make squares"
    budget = config.memory_budget * 1e9
    return open_held_out(config.data, size, training.channels, budget, fewest=FEWEST_HELD_OUT)

"""What scores the generator of a transfer run while it trains, and the images that its scores are measured among."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache, partial

import torch

from ...data.datasets import ImageSet
from ...data.folders import Split
from ...data.open import open_held_out
from ...inference.generator_scores import measure_generator
from ...inference.latents import draw_latents
from ...metrics.measuring import Extraction, provenance_of
from ...metrics.while_training import FEWEST_HELD_OUT, as_evaluation, enough, settings_of
from ...nn.norm import batch_statistics
from ...tensors import Images, Labels, Latents
from ...training.ema import Ema
from ...training.monitor.best import Evaluation
from ...training.weights import hash_of_weights
from .backbone import GeneratorBackbone
from .config import SIZES, TransferConfig
from .source import GENERATOR_PREFIX


def new_evaluation(
    config: TransferConfig, training: ImageSet, ema: Ema, trained_by: Sequence[str]
) -> Callable[[], Evaluation] | None:
    """What scores the averaged generator while training, among held-out images if there are some; None if it cannot."""
    size = training.size
    assert isinstance(size, int), "generators make squares"
    budget = config.memory_budget * 1e9
    held_out = open_held_out(
        config.data, size, training.channels, budget, fewest=FEWEST_HELD_OUT, value_range=training.value_range
    )
    reference, split = (held_out, "test") if held_out else (training, "train")
    if not enough(reference):
        return None
    settings = settings_of(config, reference, trained_by=trained_by)
    latents = draw_latents(config.evaluate_images, settings.seed)
    extraction = cache(partial(Extraction.open, settings))

    def evaluate() -> Evaluation:
        network = ema.average
        assert isinstance(network, GeneratorBackbone)
        found = measure_generator(
            partial(_draw, network, config.as_published),
            training.classes if network.num_classes else (),
            latents,
            reference,
            split,
            extraction(),
            provenance_of(hash_of_weights(network, GENERATOR_PREFIX)),
            as_published=config.as_published,
        )
        return as_evaluation(found.records, config.best_by, {"generated": found.diversity})

    return evaluate


def held_out_split(config: TransferConfig) -> Split:
    """The part of the data that scores are measured on: the test split beside it, if it has enough images.

    Among the images that were learned, learning by heart counts as quality (docs/results.md).
    """
    return "test" if open_held_out(config.data, SIZES[0], None, 0.0, fewest=FEWEST_HELD_OUT) else "train"


@torch.no_grad()
def _draw(network: GeneratorBackbone, by_batch: bool, latents: Latents, labels: Labels | None) -> Images:
    device = next(network.parameters()).device
    with batch_statistics(network) if by_batch else nullcontext():
        return network(latents.to(device), None if labels is None else labels.to(device))

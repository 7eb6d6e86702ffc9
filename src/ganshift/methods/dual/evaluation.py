"""What scores both generators of a dual run while it trains, and sees whether they translate at all."""

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import nn

from ...data.datasets import Domains, ImageSet
from ...data.domain_names import DomainNames, way_in_words
from ...inference.translator_scores import MeasuredWay, Translation, measure_ways
from ...metrics.measuring import Extraction, provenance_of
from ...metrics.while_training import FEWEST_HELD_OUT, as_evaluation, enough, settings_of
from ...tensors import from_uint8
from ...training.ema import Ema
from ...training.monitor.best import Evaluation
from ...training.monitor.health import Finding
from ...training.weights import hash_of_weights
from .config import DualConfig

UNCHANGED = 0.15
"""A translation that differs from its image by less than this part of what images of the two domains differ by, and by
no more than twice what the round trip loses, is hardly one."""
EVALUATIONS_UNCHANGED = 3
"""In a row before that counts: early on, generators learn to copy first."""
UNPAIRED = 64
"""Images of each domain of which it is found out what they differ by."""


def new_evaluation(
    config: DualConfig, domains: Domains, names: DomainNames, ema: Ema, device: torch.device
) -> Callable[[], Evaluation] | None:
    """What scores both averaged generators while training, among val images if there are enough; None if it cannot."""
    a, b, split = domains.train_a, domains.train_b, "train"
    if domains.val_a and domains.val_b and min(len(domains.val_a), len(domains.val_b)) >= FEWEST_HELD_OUT:
        a, b, split = domains.val_a, domains.val_b, "val"
    if not enough(a, b):
        return None
    extraction = cache(partial(Extraction.open, settings_of(config, a, b)))
    apart = cache(partial(unpaired_distance, a, b))

    def evaluate() -> Evaluation:
        networks = ema.average
        about = provenance_of(hash_of_weights(networks))
        to_b, to_a = (_on(device, networks.get_submodule(name)) for name in ("gen_ab", "gen_ba"))
        ways = measure_ways(to_b, to_a, a, b, split, extraction(), about, names, most=config.evaluate_images)
        named = dict(zip(("a-b", "b-a"), ways, strict=True))
        signs = {f"trip/{name}": way.trip for name, way in named.items() if way.trip is not None}
        signs |= {f"change/{name}": way.change for name, way in named.items() if way.change is not None}
        findings = [finding for name, way in named.items() for finding in _unchanged(name, way, names, apart)]
        records = [record for way in ways for record in way.records]
        diversity = {f"translated {name}": way.diversity for name, way in named.items()}
        return as_evaluation(records, config.best_by, diversity, signs, findings)

    return evaluate


def unpaired_distance(a: ImageSet, b: ImageSet) -> float:
    """Mean L1 between images of the two domains that show different things, levels from -1 to 1."""
    count = min(UNPAIRED, len(a), len(b))
    images_a = from_uint8(a.read(range(count)))
    images_b = from_uint8(b.read([(number + len(b) // 2) % len(b) for number in range(count)]))
    return (images_a - images_b).abs().mean().item()


def _on(device: torch.device, network: nn.Module) -> Translation:
    return lambda images: network(images.to(device))


def _unchanged(name: str, way: MeasuredWay, names: DomainNames, apart: Callable[[], float]) -> list[Finding]:
    """Whether the translations of one way are hardly other than their images."""
    if way.change is None or way.trip is None or way.change > UNCHANGED * apart() or way.change > 2 * way.trip:
        return []
    seen = (
        f"translations {way_in_words(name, names)} hardly differ from their images: by {way.change:.3f} (L1, levels "
        f"from -1 to 1), where round trips differ by {way.trip:.3f}, and images of {names['a']} and {names['b']} by "
        f"{apart():.3f}"
    )
    return [Finding("unchanged", seen, lasting=EVALUATIONS_UNCHANGED, going_back_helps=False)]

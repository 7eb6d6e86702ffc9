"""Cards of a translator, both ways: translations among real images, round trips, and true pairs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..data.datasets import MEMORY_BUDGET_BYTES, ImageSet
from ..data.named import open_named_domains
from ..errors import UserError
from ..metrics.card import Card
from ..metrics.measuring import ROUNDED, Extraction, Settings, against, check_enough, measure, provenance
from ..models import Domain, Translator, other_domain
from ..runtime.log import opening_progress
from ..tensors import Bytes, from_uint8, to_uint8


def cards_of_translator(run: Path, config: dict[str, Any], data: Path | None, settings: Settings) -> list[Card]:
    """Measure both generators of a run on `data`, two domains as for training."""
    model = Translator.from_pretrained(run, settings.device)
    if data is None:
        raise UserError("a translator is measured on two domains of real images: give them with --reference")
    with opening_progress() as progress:
        domains = open_named_domains(
            data,
            None,
            None,
            model.size,
            channels_a=model.channels["a"],
            channels_b=model.channels["b"],
            memory_budget_bytes=MEMORY_BUDGET_BYTES,
            progress=progress,
        )
    split = "val" if domains.val_a and domains.val_b else "train"
    a, b = (domains.val_a, domains.val_b) if split == "val" else (domains.train_a, domains.train_b)
    assert a is not None
    assert b is not None
    metrics = settings.metrics or ("fid", "kid")
    for start, target in ((a, b), (b, a)):
        check_enough(metrics, len(start), len(target), settings)
    extraction = Extraction.open(settings)
    cards = []
    ways: list[tuple[Domain, ImageSet, ImageSet]] = [("b", a, b), ("a", b, a)]
    for to, start, target in ways:
        cards += _of_way(model, to, start, target, split, metrics, extraction, provenance(run), settings)
    return cards


def _of_way(
    model: Translator,
    to: Domain,
    start: ImageSet,
    target: ImageSet,
    split: str,
    metrics: Sequence[str],
    extraction: Extraction,
    provenance: dict[str, Any],
    settings: Settings,
) -> list[Card]:
    """Cards of one way: of the translations among real images, of round trips, and of true pairs."""
    compared = _Compared()
    partners = _partners(start, target) if split == "val" else {}
    way = f"{other_domain(to)}-{to}"
    about = {"seed": None, **provenance}
    cards = measure(
        _translate(model, to, start, target, partners, compared, settings.batch),
        len(start),
        target,
        metrics,
        extraction,
        settings,
        verb=f"translate {way}",
        split=split,
        about={"quantisation": ROUNDED, **about},
        name=f"{{}} {way}",
    )
    trip = f"L1 {way}-{other_domain(to)}"
    cards.append(_pixel_card(trip, "round trip", compared.trips, "none", against(start, split), about))
    for name, values in compared.pairs.items():
        metric = f"{name} {way}"
        cards.append(_pixel_card(metric, "true pairs", values, ROUNDED, against(target, split), about))
    return cards


def _pixel_card(
    metric: str,
    protocol: str,
    values: Sequence[float],
    quantisation: str,
    compared_with: dict[str, Any],
    provenance: dict[str, Any],
) -> Card:
    """The card of a mean over images, each compared with one other."""
    levels = "-1 to 1" if metric.startswith("L1") else "0 to 1"
    with np.errstate(invalid="ignore"):  # equal images have a PSNR of infinity, around which there is no spread
        spread = float(np.std(values))
    return Card(
        metric=metric,
        protocol=f"{protocol}, levels from {levels}",
        value=float(np.mean(values)),
        spread=spread,
        num_generated=len(values),
        **compared_with,
        extractor=None,
        extractor_hash=None,
        resize_rule=None,
        quantisation=quantisation,
        **provenance,
    )


@dataclass
class _Compared:
    """Scores of single images, gathered while they are translated."""

    trips: list[float] = field(default_factory=list)
    """L1 of round trips."""
    pairs: dict[str, list[float]] = field(default_factory=dict)
    """Scores of translations against their true partners, by name."""

    def add(self, name: str, values: Float[Tensor, " n"]) -> None:
        """Note a score of pairs."""
        self.pairs.setdefault(name, []).extend(values.tolist())


@torch.no_grad()
def _translate(
    model: Translator,
    to: Domain,
    start: ImageSet,
    target: ImageSet,
    partners: dict[int, int],
    compared: _Compared,
    batch: int,
) -> Iterator[Bytes]:
    """Translations, stored; on the way, round trips and true pairs are compared."""
    device = next(model.parameters()).device
    for first in range(0, len(start), batch):
        numbers = range(first, min(first + batch, len(start)))
        images = from_uint8(start.read(numbers).to(device))
        there = model.translate(images, to)
        back = model.translate(there, other_domain(to))  # not rounded in between
        compared.trips += (back - images).abs().mean((1, 2, 3)).tolist()
        stored = to_uint8(there)
        paired = [number for number in numbers if number in partners]
        if paired:
            truth = target.read([partners[number] for number in paired]).to(device)
            _compare_pairs(stored[[number - first for number in paired]], truth, compared)
        yield stored


def _compare_pairs(translated: Bytes, truth: Bytes, compared: _Compared) -> None:
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    ours, theirs = translated.float() / 255, truth.float() / 255
    compared.add("L1", 2 * (ours - theirs).abs().mean((1, 2, 3)))  # on the scale from -1 to 1, as round trips
    compared.add("PSNR", peak_signal_noise_ratio(ours, theirs, data_range=1.0, dim=(1, 2, 3), reduction="none"))
    similarity = structural_similarity_index_measure(ours, theirs, data_range=1.0, reduction="none")
    assert isinstance(similarity, Tensor), "no contrast and no full image are asked for"
    compared.add("SSIM", similarity.reshape(-1))  # of one image, torchmetrics gives no batch


def _partners(start: ImageSet, target: ImageSet) -> dict[int, int]:
    """Numbers of images whose names without their endings are the same."""
    numbers = {_stem(name): number for number, name in enumerate(target.names)}
    stems = enumerate(map(_stem, start.names))
    return {number: numbers[stem] for number, stem in stems if stem in numbers}


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()

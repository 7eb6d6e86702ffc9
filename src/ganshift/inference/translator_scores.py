"""Scores of a translator, both ways: translations among real images, round trips, and true pairs.

Training and `ganshift evaluate` both come here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..data.datasets import ImageSet
from ..metrics.measuring import ROUNDED, Extraction, Measured, against, measure
from ..metrics.score_record import ScoreRecord
from ..tensors import Bytes, Images, from_uint8, to_uint8
from ..training.distributed import gathered

Translation = Callable[[Images], Float[Tensor, "n c2 h w"]]
"""Images of one domain to the other; computes where it likes and gives them back where they were, or on its device."""


@dataclass(frozen=True)
class MeasuredWay(Measured):
    """What was found of one way."""

    trip: float
    """Mean L1 of the round trips, levels from -1 to 1."""
    change: float | None
    """Mean L1 between images and their translations; None where the domains differ in channels."""


def measure_ways(
    to_b: Translation,
    to_a: Translation,
    a: ImageSet,
    b: ImageSet,
    split: str,
    extraction: Extraction,
    about: Mapping[str, Any],
    *,
    most: int | None = None,
) -> list[MeasuredWay]:
    """Scores of the way a to b and of the way b to a: of translations among real images, round trips, true pairs.

    All images are translated, or `most`, evenly spaced. `split` is "val" where images of the same names are pairs.
    """
    partners = split == "val"
    return [
        _of_way(there, back, way, start, target, split, extraction, about, partners, most)
        for there, back, way, start, target in ((to_b, to_a, "a-b", a, b), (to_a, to_b, "b-a", b, a))
    ]


def spaced(length: int, most: int | None) -> list[int]:
    """All numbers below a length, or `most` of them, evenly spaced."""
    if most is None or most >= length:
        return list(range(length))
    return [index * length // most for index in range(most)]


def _of_way(
    there: Translation,
    back: Translation,
    way: str,
    start: ImageSet,
    target: ImageSet,
    split: str,
    extraction: Extraction,
    about: Mapping[str, Any],
    paired: bool,
    most: int | None,
) -> MeasuredWay:
    """One way: cards of the translations among real images, of round trips, and of true pairs."""
    parts: dict[int, _Compared] = {}
    partners = _partners(start, target) if paired else {}
    numbers = spaced(len(start), most)
    origin = {"seed": None, **about}
    batch = extraction.settings.batch
    measured = measure(
        extraction,
        [
            partial(_translate_part, there, back, start, target, numbers[first:][:batch], partners, parts)
            for first in range(0, len(numbers), batch)
        ],
        len(numbers),
        target,
        verb=f"translate {way}",
        split=split,
        about={"quantisation": ROUNDED, **origin},
        name=f"{{}} {way}",
    )
    compared = _all_compared(parts)
    trip = f"L1 {way}-{way[0]}"
    records = [
        *measured.records,
        _pixel_record(trip, "round trip", compared.trips, "none", against(start, split), origin),
    ]
    for name, values in compared.pairs.items():
        metric = f"{name} {way}"
        records.append(_pixel_record(metric, "true pairs", values, ROUNDED, against(target, split), origin))
    change = float(np.mean(compared.changes)) if compared.changes else None
    return MeasuredWay(records, measured.diversity, trip=float(np.mean(compared.trips)), change=change)


def _pixel_record(
    metric: str,
    protocol: str,
    values: Sequence[float],
    quantisation: str,
    compared_with: dict[str, Any],
    provenance: Mapping[str, Any],
) -> ScoreRecord:
    """The card of a mean over images, each compared with one other."""
    levels = "-1 to 1" if metric.startswith("L1") else "0 to 1"
    with np.errstate(invalid="ignore"):  # equal images have a PSNR of infinity, around which there is no spread
        spread = float(np.std(values))
    return ScoreRecord(
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
    changes: list[float] = field(default_factory=list)
    """L1 between images and their translations, where channels allow it."""
    pairs: dict[str, list[float]] = field(default_factory=dict)
    """Scores of translations against their true partners, by name."""

    def add(self, name: str, values: Float[Tensor, " n"]) -> None:
        """Note a score of pairs."""
        self.pairs.setdefault(name, []).extend(values.tolist())


@torch.no_grad()
def _translate_part(
    there: Translation,
    back: Translation,
    start: ImageSet,
    target: ImageSet,
    numbers: Sequence[int],
    partners: dict[int, int],
    compared: dict[int, _Compared],
) -> Bytes:
    """Translations of these images, stored; on the way, round trips and true pairs are compared."""
    scores = compared.setdefault(numbers[0], _Compared())
    images = from_uint8(start.read(numbers))
    translated = there(images)
    returned = back(translated)  # not rounded in between
    scores.trips += (returned - images.to(returned.device)).abs().mean((1, 2, 3)).tolist()
    if translated.shape == images.shape:
        scores.changes += (translated - images.to(translated.device)).abs().mean((1, 2, 3)).tolist()
    stored = to_uint8(translated)
    paired = [row for row, number in enumerate(numbers) if number in partners]
    if paired:
        truth = target.read([partners[numbers[row]] for row in paired]).to(stored.device)
        _compare_pairs(stored[paired], truth, scores)
    return stored


def _all_compared(mine: dict[int, _Compared]) -> _Compared:
    """Scores of the images of all processes, in the order of the images; by the first number of each batch."""
    by_batch = {first: scores for part in gathered(mine) for first, scores in part.items()}
    whole = _Compared()
    for _, part in sorted(by_batch.items(), key=itemgetter(0)):
        whole.trips += part.trips
        whole.changes += part.changes
        for name, values in part.pairs.items():
            whole.pairs.setdefault(name, []).extend(values)
    return whole


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

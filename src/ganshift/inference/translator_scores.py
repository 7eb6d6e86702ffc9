"""Scores of a translator, each way: translations among real images, round trips, and true pairs.

Training and `ganshift evaluate` both come here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..data.datasets import ImageSet
from ..data.domain_names import DomainNames, way_in_words
from ..metrics.measuring import ROUNDED, Extraction, Measured, against, measure
from ..metrics.score_record import ScoreRecord
from ..tensors import Bytes, Images, from_uint8, to_uint8
from ..training.distributed import gathered

Translation = Callable[[Images], Float[Tensor, "n c2 h w"]]
"""Images of one domain to the other; computes where it likes and gives them back where they were, or on its device."""
Compared = dict[str, list[float]]
"""Scores of single images by name, gathered while they are translated."""
TRIP, CHANGE = "trip", "change"
"""Names of the L1 of round trips, and of that between images and their translations, where channels allow it."""


@dataclass(frozen=True)
class MeasuredWay(Measured):
    """What was found of one way."""

    trip: float | None
    """Mean L1 of the round trips, levels from -1 to 1; None where there is no way back."""
    change: float | None
    """Mean L1 between images and their translations; None where the domains differ in channels."""


def measure_ways(
    to_b: Translation,
    to_a: Translation | None,
    a: ImageSet,
    b: ImageSet,
    split: str,
    extraction: Extraction,
    about: Mapping[str, Any],
    names: DomainNames,
    *,
    most: int | None = None,
) -> list[MeasuredWay]:
    """Scores of the way a to b and of the way b to a: of translations among real images, round trips, true pairs.

    Without `to_a`, of the way a to b alone, and of no round trips.
    All images are translated, or `most`, evenly spaced. `split` is "val" where images of the same names are pairs.
    `about` says in the records which model it was, and the progress is told with the `names`.
    """
    about, batch = {"seed": None, **about}, extraction.settings.batch
    ways = []
    for way, there, back, start, target in (("a-b", to_b, to_a, a, b), ("b-a", to_a, to_b, b, a)):
        if there is None:
            continue
        count = len(start) if most is None else min(most, len(start))
        numbers = [index * len(start) // count for index in range(count)]
        partners = _partners(start, target) if split == "val" else {}
        compared: dict[int, Compared] = {}
        translate = partial(_translate_part, there, back, start, target, partners, compared)
        measured = measure(
            extraction,
            [partial(translate, numbers[first:][:batch]) for first in range(0, len(numbers), batch)],
            len(numbers),
            target,
            verb=f"translate {way_in_words(way, names)}",
            split=split,
            about={"quantisation": ROUNDED, **about},
            name=f"{{}} {way}",
        )
        scores = _of_all(compared)
        trips, changes = scores.pop(TRIP, None), scores.pop(CHANGE, None)
        beside_start, beside_target = against(start, split), against(target, split)
        records = [*measured.records]
        if trips is not None:
            name = f"L1 {way}-{way[0]}"
            records.append(_pixel_record(name, "round trip", trips, quantisation="none", **beside_start, **about))
        records += [
            _pixel_record(f"{name} {way}", "true pairs", values, quantisation=ROUNDED, **beside_target, **about)
            for name, values in scores.items()
        ]
        trip, change = (None if values is None else float(np.mean(values)) for values in (trips, changes))
        ways.append(MeasuredWay(records, measured.diversity, trip=trip, change=change))
    return ways


def _pixel_record(metric: str, protocol: str, values: Sequence[float], **more: Any) -> ScoreRecord:
    """The record of a mean over images, each compared with one other; `more` are its other fields."""
    levels = "-1 to 1" if metric.startswith("L1") else "0 to 1"
    with np.errstate(invalid="ignore"):  # equal images have a PSNR of infinity, around which there is no spread
        spread = float(np.std(values))
    return ScoreRecord(
        metric=metric,
        protocol=f"{protocol}, levels from {levels}",
        value=float(np.mean(values)),
        spread=spread,
        num_generated=len(values),
        extractor=None,
        extractor_hash=None,
        resize_rule=None,
        **more,
    )


@torch.no_grad()
def _translate_part(
    there: Translation,
    back: Translation | None,
    start: ImageSet,
    target: ImageSet,
    partners: Mapping[int, int],
    compared: dict[int, Compared],
    numbers: Sequence[int],
) -> Bytes:
    """Translations of these images, stored; on the way, round trips and true pairs are compared."""
    images = from_uint8(start.read(numbers))
    translated = there(images)
    scores = {}
    if back is not None:
        returned = back(translated)  # not rounded in between
        scores[TRIP] = (returned - images.to(returned.device)).abs().mean((1, 2, 3))
    if translated.shape == images.shape:
        scores[CHANGE] = (translated - images.to(translated.device)).abs().mean((1, 2, 3))
    stored = to_uint8(translated)
    paired = [row for row, number in enumerate(numbers) if number in partners]
    if paired:
        truth = target.read([partners[numbers[row]] for row in paired]).to(stored.device)
        scores |= _compare_pairs(stored[paired], truth)
    compared[numbers[0]] = {name: values.tolist() for name, values in scores.items()}
    return stored


def _of_all(mine: dict[int, Compared]) -> Compared:
    """Scores of the images of all processes, in the order of the images; by the first number of each batch."""
    by_batch = {first: scores for part in gathered(mine) for first, scores in part.items()}
    whole: Compared = {}
    for first in sorted(by_batch):
        for name, values in by_batch[first].items():
            whole.setdefault(name, []).extend(values)
    return whole


def _compare_pairs(translated: Bytes, truth: Bytes) -> dict[str, Float[Tensor, " n"]]:
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    ours, theirs = translated.float() / 255, truth.float() / 255
    similarity = structural_similarity_index_measure(ours, theirs, data_range=1.0, reduction="none")
    assert isinstance(similarity, Tensor), "no contrast and no full image are asked for"
    return {
        "L1": 2 * (ours - theirs).abs().mean((1, 2, 3)),  # on the scale from -1 to 1, as round trips
        "PSNR": peak_signal_noise_ratio(ours, theirs, data_range=1.0, dim=(1, 2, 3), reduction="none"),
        "SSIM": similarity.reshape(-1),  # of one image, torchmetrics gives no batch
    }


def _partners(start: ImageSet, target: ImageSet) -> dict[int, int]:
    """Numbers of images whose names without their endings are the same."""
    ours, theirs = ([PurePosixPath(name).with_suffix("") for name in images.names] for images in (start, target))
    numbers = {stem: number for number, stem in enumerate(theirs)}
    return {number: numbers[stem] for number, stem in enumerate(ours) if stem in numbers}

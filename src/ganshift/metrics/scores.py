"""IS, FID, KID, precision and recall from features that arrive batch by batch; torch-fidelity does the mathematics.

Images are never kept. FID needs sums alone, the Inception Score one split at a time; only KID and precision and recall
keep features, 400 MB for 50 000 of Inception's.

Papers: Salimans et al. 2016 (IS), Heusel et al. 2017 (FID), Bińkowski et al. 2018 (KID), Kynkäänniemi et al. 2019
(precision and recall).
"""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from ..errors import UserError
from ..files import write_atomically
from ..tensors import Bytes
from ..training.distributed import from_first, is_first, shared
from .score_record import INCEPTION_SPLITS

logger = logging.getLogger("ganshift")

JACKKNIFE_GROUPS = 10
"""FID is computed once more without each of so many groups of generated images."""
KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000
"""torch-fidelity's."""
NEIGHBOURS = 3
"""Of precision and recall: torch-fidelity's, and the paper's."""
PRC_ROWS = 1000
"""Rows of a distance matrix in memory at once: 200 MB for 50 000 columns."""


@dataclass(frozen=True)
class Score:
    """A value and its spread; what the spread is, `Card.spread` says."""

    value: float
    spread: float


@dataclass(frozen=True)
class Statistics:
    """What FID knows of a set: mean and covariance of its features."""

    mean: Float64[Tensor, " d"]
    covariance: Float64[Tensor, "d d"]


Batch = Callable[[], Bytes]
"""Makes or reads a batch of images when it is called, by the process that extracts their features."""


def extract(extractor: FeatureExtractorBase, batches: Sequence[Batch]) -> Iterator[dict[str, Tensor]]:
    """The layers of every batch [n, d], on the CPU. Images have the channels that the extractor takes.

    Processes that share a run share the batches, and each gets the layers of all.
    """
    return shared([partial(_layers, extractor, batch) for batch in batches])


@torch.no_grad()
def _layers(extractor: FeatureExtractorBase, batch: Batch) -> dict[str, Tensor]:
    # Inception has weights, and some test extractors have only buffers
    tensors = [*extractor.parameters(), *extractor.buffers()]
    layers = extractor.convert_features_tuple_to_dict(extractor(batch().to(tensors[0].device)))
    return {name: values.cpu() for name, values in layers.items()}


@final
class Moments:
    """Sums of features and of their products in double precision, by consecutive group.

    They are taken around the mean of the first batch, since sums around 0 lose digits.
    """

    def __init__(self, num_images: int, num_groups: int = 1):
        assert num_images >= num_groups >= 1, "no empty group"
        self.num_images = num_images
        self._bounds = [group * num_images // num_groups for group in range(num_groups + 1)]
        self._seen = 0
        self._centre: Tensor | None = None
        self._sums: list[Tensor] = []
        self._products: list[Tensor] = []

    def update(self, features: Float[Tensor, "n d"]) -> None:
        """Add the next images."""
        values = features.double()
        if self._centre is None:
            dim = values.shape[1]
            self._centre = values.mean(0)
            self._sums = [values.new_zeros(dim) for _ in self._bounds[1:]]
            self._products = [values.new_zeros(dim, dim) for _ in self._bounds[1:]]
        values = values - self._centre
        for group, part in _parts(values, self._bounds, self._seen):
            self._sums[group] += part.sum(0)
            self._products[group].addmm_(part.T, part)
        self._seen += len(features)

    def statistics(self, without: int | None = None) -> Statistics:
        """Of all images, or of all without a group; the covariance is unbiased."""
        assert self._seen == self.num_images, f"{self._seen} of {self.num_images} images"
        assert self._centre is not None
        count, total, products = self.num_images, sum(self._sums), sum(self._products)
        if without is not None:
            count -= self._bounds[without + 1] - self._bounds[without]
            total, products = total - self._sums[without], products - self._products[without]
        assert isinstance(total, Tensor)
        assert isinstance(products, Tensor)
        mean = total / count
        covariance = (products - count * torch.outer(mean, mean)) / (count - 1)
        return Statistics(mean + self._centre, covariance)

    @property
    def num_groups(self) -> int:
        """How many groups there are."""
        return len(self._bounds) - 1


def frechet_distance(first: Statistics, second: Statistics) -> float:
    """FID between two sets: |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½)."""
    pair = [{"mu": s.mean.numpy(), "sigma": s.covariance.numpy()} for s in (first, second)]
    return fid_statistics_to_metric(*pair, verbose=False)[KEY_METRIC_FID]


def fid(generated: Moments, reference: Statistics) -> Score:
    """FID, and its standard error by the jackknife over groups of generated images; the reference counts as fixed."""
    value = frechet_distance(generated.statistics(), reference)
    groups = generated.num_groups
    without = [frechet_distance(generated.statistics(group), reference) for group in range(groups)]
    return Score(value, sqrt(groups - 1) * float(np.std(without)))


@final
class InceptionScore:
    """exp of the mean KL(p(y|x) ‖ p(y)) by consecutive split, from logits as they come."""

    def __init__(self, num_images: int, num_splits: int = INCEPTION_SPLITS):
        assert num_images >= num_splits >= 1, "no empty split"
        self._bounds = [split * num_images // num_splits for split in range(num_splits + 1)]
        self._seen = 0
        self._waiting: list[Tensor] = []
        self._scores: list[float] = []

    def update(self, logits: Float[Tensor, "n classes"]) -> None:
        """Add the next images; a split that is complete is scored and dropped."""
        for split, part in _parts(logits, self._bounds, self._seen):
            self._waiting.append(part.clone())
            self._seen += len(part)
            if self._seen == self._bounds[split + 1]:
                whole = torch.cat(self._waiting)
                self._scores.append(isc_features_to_metric(whole, splits=1, shuffle=False)[KEY_METRIC_ISC_MEAN])
                self._waiting = []

    def score(self) -> Score:
        """Mean and standard deviation over splits, as published."""
        assert len(self._scores) == len(self._bounds) - 1, "some splits are not complete"
        return Score(float(np.mean(self._scores)), float(np.std(self._scores)))


@final
class Kept:
    """Features of a known number of images, in memory that is claimed once."""

    def __init__(self, num_images: int):
        self._num_images = num_images
        self._seen = 0
        self._values = torch.empty(0, 0)

    def update(self, features: Float32[Tensor, "n d"]) -> None:
        """Add the next images."""
        if self._seen == 0:
            self._values = torch.empty(self._num_images, features.shape[1])
        self._values[self._seen : self._seen + len(features)] = features
        self._seen += len(features)

    @property
    def values(self) -> Float32[Tensor, "n d"]:
        """All of them."""
        assert self._seen == self._num_images, f"{self._seen} of {self._num_images} images"
        return self._values


def kid(generated: Float32[Tensor, "n d"], reference: Float32[Tensor, "m d"], subsets: int, subset_size: int) -> Score:
    """Unbiased squared MMD under the kernel (x·y/d + 1)³: mean and standard deviation over random subsets."""
    found = kid_features_to_metric(
        generated, reference, kid_subsets=subsets, kid_subset_size=subset_size, verbose=False
    )
    return Score(found[KEY_METRIC_KID_MEAN], found[KEY_METRIC_KID_STD])


def precision_recall(generated: Float32[Tensor, "n d"], reference: Float32[Tensor, "m d"]) -> tuple[Score, Score]:
    """Share of generated images near real ones, and of real ones near generated; binomial standard errors."""
    found = prc_features_to_metric(
        generated,
        reference,
        prc_neighborhood=NEIGHBOURS,
        prc_batch_size=PRC_ROWS,
        save_cpu_ram=True,
        verbose=False,
    )
    precision, recall = found[KEY_METRIC_PRECISION], found[KEY_METRIC_RECALL]
    return _share(precision, len(generated)), _share(recall, len(reference))


@dataclass(frozen=True)
class Reference:
    """Features of a reference set, and their statistics."""

    features: Float32[Tensor, "m d"]
    statistics: Statistics


def reference_features(
    extractor: FeatureExtractorBase, layer: str, batches: Sequence[Batch], num_images: int, key: str
) -> Reference:
    """The features of a set, from the cache if there is an entry of this key, which says what set and what extractor.

    `batches` is not touched then. An entry that cannot be read or written costs a warning and the time to extract. Of
    several processes the first one's cache counts.
    """
    path = cache_folder() / f"{hashlib.sha256(key.encode()).hexdigest()}.safetensors"
    found = from_first(lambda: _cached(path))
    if found is not None:
        return found
    kept, moments = Kept(num_images), Moments(num_images)
    for layers in extract(extractor, batches):
        kept.update(layers[layer])
        moments.update(layers[layer])
    reference = Reference(kept.values, moments.statistics())
    if is_first():
        _keep(reference, path)
    return reference


def _cached(path: Path) -> Reference | None:
    if not path.exists():
        return None
    try:
        found = load_file(path)
        return Reference(found["features"], Statistics(found["mean"], found["covariance"]))
    except (OSError, SafetensorError, KeyError) as error:
        logger.warning("%s cannot be read (%s): extracting again", path, error)
        return None


def _keep(reference: Reference, path: Path) -> None:
    statistics = reference.statistics
    content = {"features": reference.features, "mean": statistics.mean, "covariance": statistics.covariance}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda beside: save_file(content, beside))
    except OSError as error:
        logger.warning("features of the reference cannot be kept in %s (%s)", path.parent, error.strerror)


def cache_folder() -> Path:
    """Where features of references are kept: ganshift/features in XDG_CACHE_HOME, or else in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ganshift" / "features"


def check_enough(metric: str, num_generated: int, num_reference: int) -> None:
    """Raise a `UserError` where a score cannot be computed from so few images."""
    fewest, why = {
        "is": (INCEPTION_SPLITS, f"it has {INCEPTION_SPLITS} splits"),
        "fid": (3, "it is computed again without some"),
        "kid": (4, "its subsets are half of them"),
        "prc": (NEIGHBOURS + 1, f"it takes {NEIGHBOURS} neighbours"),
    }[metric]
    for what, count in (("generated", num_generated), ("reference", num_reference)):
        if count < fewest and not (metric == "is" and what == "reference"):
            raise UserError(f"{metric} needs at least {fewest} {what} images ({why}), got {count}: give more")


def kid_subset_size(wanted: int | None, num_generated: int, num_reference: int) -> int:
    """The size asked for, or else 1000, or half of the smaller set where that is less: subsets of all are one subset.

    A `UserError` if the size asked for is more than there are.
    """
    smaller = min(num_generated, num_reference)
    if wanted is None:
        return min(KID_SUBSET_SIZE, smaller // 2)
    if not 2 <= wanted <= smaller:
        raise UserError(
            f"kid subset size must be from 2 to {smaller}, the smaller of {num_generated} generated and "
            f"{num_reference} reference images, got {wanted}"
        )
    return wanted


def _parts(values: Tensor, bounds: list[int], start: int) -> Iterator[tuple[int, Tensor]]:
    """Cut rows `start` and on where a group between bounds ends: its number and its rows."""
    stop = start + len(values)
    assert stop <= bounds[-1], "more images than announced"
    for group in range(len(bounds) - 1):
        low, high = max(bounds[group], start), min(bounds[group + 1], stop)
        if low < high:
            yield group, values[low - start : high - start]


def _share(share: float, count: int) -> Score:
    return Score(share, sqrt(share * (1 - share) / count))

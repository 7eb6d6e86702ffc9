"""IS, FID, KID, precision and recall of features; torch-fidelity does the mathematics.

It is imported where it is needed, since it brings torchvision and takes seconds.

Papers: Salimans et al. 2016 (IS), Heusel et al. 2017 (FID), Bińkowski et al. 2018 (KID), Kynkäänniemi et al. 2019
(precision and recall).
"""

from bisect import bisect
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from math import sqrt

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from ..errors import UserError
from .score_record import INCEPTION_SPLITS

JACKKNIFE_GROUPS = 10
"""FID is computed once more without each of so many groups of generated images."""
KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000
"""torch-fidelity's."""
NEIGHBOURS = 3
"""Of precision and recall: torch-fidelity's, and the paper's."""
PRC_ROWS = 1000
"""Rows of a distance matrix in memory at once: 200 MB for 50 000 columns."""
SUMMED_ROWS = 64
"""Rows of features that are summed at once; another number would change the last digits of FID."""


@dataclass(frozen=True)
class Score:
    """A value and its spread; what the spread is, `ScoreRecord.spread` says."""

    value: float
    spread: float


@dataclass(frozen=True)
class Statistics:
    """What FID knows of a set: mean and covariance of its features."""

    mean: Float64[Tensor, " d"]
    covariance: Float64[Tensor, "d d"]


def statistics(features: Float32[Tensor, "n d"]) -> Statistics:
    """Mean and unbiased covariance of a set."""
    return next(jackknife(features, 1))


def jackknife(features: Float32[Tensor, "n d"], num_groups: int) -> Iterator[Statistics]:
    """Those of the whole set, and then those without each of its consecutive groups.

    Sums are taken in double precision around the mean of the first rows, since sums around 0 lose digits.
    """
    count, dim = features.shape
    bounds = _bounds(count, num_groups)
    centre = features[:SUMMED_ROWS].double().mean(0)
    totals, products = centre.new_zeros(num_groups, dim), centre.new_zeros(num_groups, dim, dim)
    for start, stop in pairwise(sorted({*bounds, *range(0, count, SUMMED_ROWS)})):
        rows = features[start:stop].double() - centre
        group = bisect(bounds, start) - 1
        totals[group] += rows.sum(0)
        products[group].addmm_(rows.T, rows)

    def from_sums(count: int, total: Tensor, product: Tensor) -> Statistics:
        mean = total / count
        return Statistics(mean + centre, (product - count * torch.outer(mean, mean)) / (count - 1))

    total, product = reduce(torch.add, totals), reduce(torch.add, products)
    yield from_sums(count, total, product)
    for group, (start, stop) in enumerate(pairwise(bounds)):
        yield from_sums(count - (stop - start), total - totals[group], product - products[group])


def frechet_distance(first: Statistics, second: Statistics) -> float:
    """FID between two sets: |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½)."""
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    pair = [{"mu": s.mean.cpu().numpy(), "sigma": s.covariance.cpu().numpy()} for s in (first, second)]
    return fid_statistics_to_metric(*pair, verbose=False)[KEY_METRIC_FID]


def fid(generated: Float32[Tensor, "n d"], reference: Statistics) -> Score:
    """FID, and its standard error by the jackknife over groups of generated images; the reference counts as fixed."""
    groups = min(JACKKNIFE_GROUPS, len(generated))
    value, *without = [frechet_distance(found, reference) for found in jackknife(generated, groups)]
    return Score(value, sqrt(groups - 1) * float(np.std(without)))


def inception_score(logits: Float32[Tensor, "n classes"]) -> Score:
    """exp of the mean KL(p(y|x) ‖ p(y)): mean and standard deviation over consecutive splits, as published."""
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

    found = [
        isc_features_to_metric(logits[start:stop], splits=1, shuffle=False)[KEY_METRIC_ISC_MEAN]
        for start, stop in pairwise(_bounds(len(logits), INCEPTION_SPLITS))
    ]
    return Score(float(np.mean(found)), float(np.std(found)))


def kid(generated: Float32[Tensor, "n d"], reference: Float32[Tensor, "m d"], subsets: int, subset_size: int) -> Score:
    """Unbiased squared MMD under the kernel (x·y/d + 1)³: mean and standard deviation over random subsets."""
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

    if generated.device.type != "cpu":
        values = kid_where_they_are(generated, reference, subsets, subset_size)
        return Score(values.mean().item(), values.std(correction=0).item())
    found = kid_features_to_metric(
        generated, reference, kid_subsets=subsets, kid_subset_size=subset_size, verbose=False
    )
    return Score(found[KEY_METRIC_KID_MEAN], found[KEY_METRIC_KID_STD])


def kid_where_they_are(
    generated: Float32[Tensor, "n d"], reference: Float32[Tensor, "m d"], subsets: int, subset_size: int
) -> Float64[Tensor, " subsets"]:
    """Squared MMD of torch-fidelity's subsets, on the device of the features; torch-fidelity takes them to the CPU."""
    from torch_fidelity.defaults import DEFAULTS

    random, found = np.random.RandomState(DEFAULTS["rng_seed"]), []
    sets = (generated, reference)
    draws = [[random.choice(len(each), subset_size, replace=False) for each in sets] for _ in range(subsets)]
    for chosen in torch.from_numpy(np.array(draws)).to(generated.device):
        x, y = (each[rows].double() for each, rows in zip(sets, chosen, strict=True))
        xx, yy, xy = ((one @ other.T / x.shape[1] + 1) ** 3 for one, other in ((x, x), (y, y), (x, y)))
        within = xx.sum() - xx.trace() + yy.sum() - yy.trace()
        found.append(within / (subset_size * (subset_size - 1)) - 2 * xy.mean())
    return torch.stack(found)


def precision_recall(generated: Float32[Tensor, "n d"], reference: Float32[Tensor, "m d"]) -> tuple[Score, Score]:
    """Share of generated images near real ones, and of real ones near generated; binomial standard errors."""
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    found = prc_features_to_metric(
        generated.cpu(),
        reference.cpu(),
        prc_neighborhood=NEIGHBOURS,
        prc_batch_size=PRC_ROWS,
        save_cpu_ram=True,
        verbose=False,
    )
    precision, recall = found[KEY_METRIC_PRECISION], found[KEY_METRIC_RECALL]
    return _share(precision, len(generated)), _share(recall, len(reference))


def check_enough(
    metrics: Collection[str], num_generated: int, num_reference: int, subset_size: int | None = None
) -> None:
    """Raise a `UserError` where one of the metrics cannot be computed from so few images."""
    fewest = {
        "is": (INCEPTION_SPLITS, f"it has {INCEPTION_SPLITS} splits"),
        "fid": (3, "it is computed again without some"),
        "kid": (4, "its subsets are half of them"),
        "prc": (NEIGHBOURS + 1, f"it takes {NEIGHBOURS} neighbours"),
    }
    for metric in metrics:
        least, why = fewest[metric]
        for what, count in (("generated", num_generated), ("reference", num_reference)):
            if count < least and not (metric == "is" and what == "reference"):
                raise UserError(f"{metric} needs at least {least} {what} images ({why}), got {count}: give more")
    if "kid" in metrics:
        kid_subset_size(subset_size, num_generated, num_reference)


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


def _bounds(count: int, num_groups: int) -> list[int]:
    """Where consecutive groups of about the same size begin and end."""
    assert count >= num_groups >= 1, "no empty group"
    return [group * count // num_groups for group in range(num_groups + 1)]


def _share(share: float, count: int) -> Score:
    return Score(share, sqrt(share * (1 - share) / count))

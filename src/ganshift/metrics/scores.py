"""IS, FID, KID, precision and recall of features, and colour; torch-fidelity does the mathematics.

Several crops of one image are not independent of each other. Where features have `crops` rows an image, standard errors
are by images all the same: FID leaves out groups of whole images and fits its normal distributions to all crops; IS
splits between images; KID, whose estimate is unbiased for independent rows, and precision and recall, whose neighbours
must not be of the same image, take one crop of each image at random (KID anew in each subset).

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
from ..tensors import Bytes, from_uint8
from .score_record import INCEPTION_SPLITS
from .views import one_of_each

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


def jackknife(features: Float32[Tensor, "n d"], num_groups: int, crops: int = 1) -> Iterator[Statistics]:
    """Those of the whole set, and then those without each of its consecutive groups of images.

    Sums are taken in double precision around the mean of the first rows, since sums around 0 lose digits.
    """
    count, dim = features.shape
    bounds = _bounds(count, num_groups, crops)
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


def fid(generated: Float32[Tensor, "n d"], reference: Statistics, crops: int = 1) -> Score:
    """FID, and its standard error by the jackknife over groups of generated images; the reference counts as fixed."""
    groups = min(JACKKNIFE_GROUPS, len(generated) // crops)
    value, *without = [frechet_distance(found, reference) for found in jackknife(generated, groups, crops)]
    return Score(value, sqrt(groups - 1) * float(np.std(without)))


def inception_score(logits: Float32[Tensor, "n classes"], crops: int = 1) -> Score:
    """exp of the mean KL(p(y|x) ‖ p(y)): mean and standard deviation over consecutive splits, as published."""
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

    found = [
        isc_features_to_metric(logits[start:stop], splits=1, shuffle=False)[KEY_METRIC_ISC_MEAN]
        for start, stop in pairwise(_bounds(len(logits), INCEPTION_SPLITS, crops))
    ]
    return Score(float(np.mean(found)), float(np.std(found)))


def kid(
    generated: Float32[Tensor, "n d"],
    reference: Float32[Tensor, "m d"],
    subsets: int,
    subset_size: int,
    crops: int = 1,
) -> Score:
    """Unbiased squared MMD under the kernel (x·y/d + 1)³: mean and standard deviation over random subsets of images."""
    from torch_fidelity.defaults import DEFAULTS
    from torch_fidelity.metric_kid import kernel_mmd

    draw = np.random.RandomState(DEFAULTS["rng_seed"])  # torch-fidelity's draws

    def rows(features: Float32[Tensor, "n d"]) -> np.ndarray:
        chosen = draw.choice(len(features) // crops, subset_size, replace=False)
        return np.asarray(chosen * crops + draw.randint(crops, size=subset_size))

    pairs = np.array([[rows(generated), rows(reference)] for _ in range(subsets)])
    found = []
    for ours, theirs in torch.from_numpy(pairs).to(generated.device):
        x, y = generated[ours], reference[theirs]
        on_cpu = generated.device.type == "cpu"
        found.append(torch.tensor(kernel_mmd(x.numpy(), y.numpy())).double() if on_cpu else squared_mmd(x, y))
    values = torch.stack(found).cpu().numpy()  # all together, so that a device is waited for once
    return Score(float(np.mean(values)), float(np.std(values)))


def squared_mmd(x: Float32[Tensor, "k d"], y: Float32[Tensor, "k d"]) -> Float64[Tensor, ""]:
    """Unbiased, where the features are; torch-fidelity's is NumPy's."""
    x, y = x.double(), y.double()
    xx, yy, xy = ((one @ other.T / x.shape[1] + 1) ** 3 for one, other in ((x, x), (y, y), (x, y)))
    within = xx.sum() - xx.trace() + yy.sum() - yy.trace()
    return within / (len(x) * (len(x) - 1)) - 2 * xy.mean()


def precision_recall(
    generated: Float32[Tensor, "n d"], reference: Float32[Tensor, "m d"], crops: int = 1
) -> tuple[Score, Score]:
    """Share of generated images near real ones, and of real ones near generated; binomial standard errors."""
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    generated, reference = one_of_each(generated, crops), one_of_each(reference, crops)
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


def colours(images: Bytes) -> Float32[Tensor, "n 6"]:
    """Mean and mean square of each channel of each colour image, in [-1, 1]."""
    pixels = from_uint8(images).flatten(2)
    return torch.cat([pixels.mean(2), pixels.square().mean(2)], 1)


def colour_differences(generated: Float32[Tensor, "n 6"], reference: Float32[Tensor, "m 6"]) -> Float64[Tensor, "6"]:
    """Of each channel the mean, and then the standard deviation over all pixels: generated minus reference."""

    def moments(rows: Tensor) -> Tensor:
        means, squares = rows.double().mean(0).chunk(2)
        return torch.cat([means, (squares - means.square()).clamp_min(0).sqrt()])

    return moments(generated) - moments(reference)


def colour(generated: Float32[Tensor, "n 6"], reference: Float32[Tensor, "m 6"]) -> Score:
    """Mean of the absolute `colour_differences`, and its standard error by the jackknife, as FID's."""
    bounds = _bounds(len(generated), min(JACKKNIFE_GROUPS, len(generated)))
    without = [
        colour_differences(torch.cat([generated[:start], generated[stop:]]), reference).abs().mean().item()
        for start, stop in pairwise(bounds)
    ]
    value = colour_differences(generated, reference).abs().mean().item()
    return Score(value, sqrt(len(without) - 1) * float(np.std(without)))


def check_enough(
    metrics: Collection[str], num_generated: int, num_reference: int, subset_size: int | None = None
) -> None:
    """Raise a `UserError` where one of the metrics cannot be computed from so few images."""
    fewest = {
        "is": (INCEPTION_SPLITS, f"it has {INCEPTION_SPLITS} splits"),
        "fid": (3, "it is computed again without some"),
        "kid": (4, "its subsets are half of them"),
        "prc": (NEIGHBOURS + 1, f"it takes {NEIGHBOURS} neighbours"),
        "colour": (2, "it is computed again without some"),
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


def _bounds(count: int, num_groups: int, crops: int = 1) -> list[int]:
    """Where consecutive groups of about the same size begin and end, none of them within an image."""
    images = count // crops
    assert images >= num_groups >= 1, "no empty group"
    return [group * images // num_groups * crops for group in range(num_groups + 1)]


def _share(share: float, count: int) -> Score:
    return Score(share, sqrt(share * (1 - share) / count))

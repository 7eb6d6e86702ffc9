"""Is it copying? Whether generated images are nearer to training images than held-out real images are.

After Meehan et al. 2020, "A non-parametric test to detect data-copying in generative models" (arXiv 2004.05675): its
global rank test, without cells; and beside it a test of the nearest few, which a handful of copies among many fair
images cannot hide from.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

ALARM_PROBABILITY = 0.01
"""How often fair generated images raise the alarm, at most."""
NEAREST_SHARE, NEAREST_FEWEST = 0.01, 12
"""Of all distances, the smallest that are looked at by themselves."""
ROWS = 1024
"""Rows of the distance matrix in memory at once."""


@dataclass(frozen=True)
class Copying:
    """Distances of generated and held-out images to their nearest training images, and what they say."""

    distances: Float[Tensor, " n"]
    """Of each generated image."""
    indices: Int64[Tensor, " n"]
    """Its nearest training image."""
    held_out_distances: Float[Tensor, " m"]
    all_nearer: float
    """Probability of ranks so low if generated images were as far away as held-out ones (Mann-Whitney)."""
    nearest_generated: float
    """Probability of so many generated images among the nearest of all (hypergeometric)."""

    @property
    def alarm(self) -> bool:
        """Whether either probability is too small, with half the allowance each."""
        return min(self.all_nearer, self.nearest_generated) < ALARM_PROBABILITY / 2

    def most_suspicious(self, count: int) -> Int64[Tensor, " k"]:
        """The numbers of the generated images nearest to training images, nearest first."""
        return self.distances.argsort(stable=True)[:count]


def nearest(
    features: Float[Tensor, "n d"], training: Float[Tensor, "m d"]
) -> tuple[Float[Tensor, " n"], Int64[Tensor, " n"]]:
    """Euclidean distance to the nearest training image, and its number."""
    # Exact differences: the expansion |x|² - 2xy + |y|² would not find distance 0 for a copy.
    found = [
        torch.cdist(rows, training, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
        for rows in features.split(ROWS)
    ]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def copying(generated: Float[Tensor, "n d"], training: Float[Tensor, "t d"], held_out: Float[Tensor, "m d"]) -> Copying:
    """Compare generated with held-out images, which must be of the same kind as the training images but not among them.

    Few held-out images leave copies unnoticed; they do not raise false alarms.
    """
    from scipy.stats import hypergeom, mannwhitneyu

    distances, indices = nearest(generated, training)
    baseline, _ = nearest(held_out, training)
    ours, theirs = distances.double().numpy(), baseline.double().numpy()
    total = len(ours) + len(theirs)
    few = min(total, max(NEAREST_FEWEST, round(NEAREST_SHARE * total)))
    # Held-out images first among equals: ties must not raise an alarm.
    order = np.lexsort((np.r_[np.ones(len(ours)), np.zeros(len(theirs))], np.r_[ours, theirs]))
    among = int((order[:few] < len(ours)).sum())
    return Copying(
        distances,
        indices,
        baseline,
        all_nearer=float(mannwhitneyu(ours, theirs, alternative="less").pvalue),
        nearest_generated=float(hypergeom.sf(among - 1, total, len(ours), few)),
    )

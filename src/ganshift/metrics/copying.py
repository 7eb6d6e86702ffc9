"""Is it copying? Whether generated images are nearer to training images than held-out real images are.

After Meehan et al. 2020, "A non-parametric test to detect data-copying in generative models" (arXiv 2004.05675): its
global rank test, without cells; and beside it a test of the nearest few, which a handful of copies among many fair
images cannot hide from.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..errors import UserError, first_line
from ..files import read_text

ALARM_PROBABILITY = 0.01
"""How often fair generated images raise the alarm, at most."""
NEAREST_SHARE, NEAREST_FEWEST = 0.01, 12
"""Of all distances, the smallest that are looked at by themselves."""
ROWS = 1024
"""Rows of the distance matrix in memory at once."""
VERDICT, PAIRS = "copying.json", "copying.png"
"""What the check leaves in the run folder."""


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


def copying(generated: Float[Tensor, " n"], held_out: Float[Tensor, " m"]) -> tuple[float, float]:
    """Compare distances of generated and of held-out images to their nearest training images.

    Were generated images as far away as held-out ones, the first number is the probability of ranks so low
    (Mann-Whitney), the second that of so many generated images among the nearest of all (hypergeometric). Held-out
    images must be of the same kind as the training images but not among them. Few of them leave copies unnoticed; they
    do not raise false alarms.
    """
    from scipy.stats import hypergeom, mannwhitneyu

    ours, theirs = generated.double().numpy(), held_out.double().numpy()
    total = len(ours) + len(theirs)
    few = min(total, max(NEAREST_FEWEST, round(NEAREST_SHARE * total)))
    # Held-out images first among equals: ties must not raise an alarm.
    order = np.lexsort((np.r_[np.ones(len(ours)), np.zeros(len(theirs))], np.r_[ours, theirs]))
    among = int((order[:few] < len(ours)).sum())
    all_nearer = float(mannwhitneyu(ours, theirs, alternative="less").pvalue)
    return all_nearer, float(hypergeom.sf(among - 1, total, len(ours), few))


def is_alarm(all_nearer: float, nearest_generated: float) -> bool:
    """Whether either probability is too small, with half the allowance each."""
    return min(all_nearer, nearest_generated) < ALARM_PROBABILITY / 2


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the check found, as it is written to the run folder."""

    alarm: bool | None
    """Whether generated images are suspiciously near to training images; None without held-out images."""
    all_nearer: float | None
    """Probability of so small distances on the whole, were the generator fair (Mann-Whitney)."""
    nearest_generated: float | None
    """Probability of so many generated images among the nearest few, were it fair (hypergeometric)."""
    median_distance: float
    """Of generated images to their nearest training images."""
    median_held_out_distance: float | None
    num_generated: int
    num_training: int
    num_held_out: int
    pairs: Sequence[Mapping[str, Any]]
    """The nearest few: number of the `generated` image, name of the `training` image, and their `distance`."""
    extractor: str
    extractor_hash: str
    seed: int
    model_hash: str
    versions: dict[str, str]

    def in_words(self) -> str:
        """One sentence for the screen and the report."""
        found = (
            f"{self.num_generated:,} generated images lie {self.median_distance:.3g} from their nearest of "
            f"{self.num_training:,} training images (median, in {self.extractor} features)"
        )
        if self.median_held_out_distance is None:
            return f"{found}; held-out images would show whether that is copying (--held-out)"
        found += f", {self.num_held_out:,} held-out images {self.median_held_out_distance:.3g}"
        if not self.alarm:
            return f"no sign of copying: {found}"
        return (
            f"it seems to copy: {found}; by chance, distances so small would come with probability "
            f"{min(self.all_nearer or 0.0, self.nearest_generated or 0.0):.1g}"
        )


def load_verdict(run: Path) -> Verdict | None:
    """What the last check of a run found, if there was one; a `UserError` if its file is damaged."""
    path = run / VERDICT
    try:
        verdict = Verdict(**json.loads(read_text(path)))
        verdict.in_words()  # what is no number cannot be put into words
        len(verdict.pairs)
        return verdict
    except FileNotFoundError:
        return None
    except (RecursionError, OverflowError, OSError, ValueError, TypeError) as error:
        raise UserError(f"cannot read {path}: {first_line(error)}; evaluate {run} again, or delete the file") from error

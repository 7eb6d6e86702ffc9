"""What can be done with latents before a generator sees them: drawing, truncation, interpolation; pure functions."""

import math
from typing import SupportsFloat, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError
from ..tensors import Latents
from .arguments import number, whole_number

OTHER_STREAM = 0x7A6D_4C1B
"""Sets the seed of redrawn values apart from that of the latents, so that the two are independent."""


def draw_latents(
    count: SupportsIndex, seed: SupportsIndex, truncation: SupportsFloat | None = None, dim: int = 128
) -> Latents:
    """Standard normal latents [count, dim], truncated if said; a larger count starts with the same ones.

    128 numbers make an image in both published codes.
    """
    count, seed = whole_number("the number of images", count, 1), whole_number("seed", seed, 0)
    latents = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))
    return latents if truncation is None else truncate(latents, truncation, seed)


def truncate(latents: Latents, threshold: SupportsFloat, seed: SupportsIndex) -> Latents:
    """Redraw every number beyond the threshold until it lies within (Brock et al. 2019, section 3.1).

    The result of standard normal latents follows the normal distribution truncated to [-threshold, threshold]; numbers
    within stay as they are. The threshold is in standard deviations; smaller ones give better images that differ less.
    What a redrawn number becomes depends on the seed and its place only. Redrawing is done at once, by the inverse of
    the truncated distribution function, so that a tiny threshold takes no longer.
    """
    seed, threshold = whole_number("seed", seed, 0), number("truncation, in standard deviations,", threshold)
    if threshold <= 0:
        raise UserError(f"truncation must be more than 0 standard deviations, got {threshold}")
    generator = torch.Generator().manual_seed(seed ^ OTHER_STREAM)
    uniform = 2 * torch.rand(latents.shape, generator=generator, dtype=torch.float64) - 1
    redrawn = math.sqrt(2) * torch.erfinv(uniform * math.erf(threshold / math.sqrt(2)))
    redrawn = redrawn.to(latents).clamp(-threshold, threshold)  # rounding may have led out
    return torch.where(latents.abs() > threshold, redrawn, latents)


def slerp(start: Latents, end: Latents, steps: SupportsIndex) -> Float[Tensor, "n steps z"]:
    """Go from each start to its end in equal steps of angle along the arc between them (White 2016, section 2.1).

    Vectors of one length keep it all the way. That is what normal latents of many dimensions need: they lie close to a
    sphere, and the middle of the straight line is nearer to the origin than almost any latent drawn. The first and the
    last step are the start and the end, bit for bit. Between equal or opposite directions, where no arc or no single
    one is the shortest, the way is straight.
    """
    steps = whole_number("steps of an interpolation, its two ends among them,", steps, 2)
    a, b = start[:, None].double(), end[:, None].double()  # n 1 z
    towards_a, towards_b = F.normalize(a, dim=2), F.normalize(b, dim=2)
    # Unlike the arc cosine of the inner product, exact to rounding near 0 and 180 degrees.
    apart, along = (towards_a - towards_b).norm(dim=2, keepdim=True), (towards_a + towards_b).norm(dim=2, keepdim=True)
    angle = 2 * torch.atan2(apart, along)
    share = torch.linspace(0, 1, steps, dtype=torch.float64, device=start.device)[:, None]  # steps 1
    straight = angle.sin() < 1e-6  # equal or opposite, so that no single great circle joins them
    sine = angle.sin().where(~straight, 1.0)
    weight_a = torch.where(straight, 1 - share, ((1 - share) * angle).sin() / sine)
    weight_b = torch.where(straight, share, (share * angle).sin() / sine)
    return (weight_a * a + weight_b * b).to(start.dtype)

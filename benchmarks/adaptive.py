"""Adaptive augmentation of what a critic sees (Karras et al. 2020, arXiv 2006.06676), as pictures of 32 pixels need it.

Written from the paper's section 3 and appendix B: the flips, turns, shifts, scales and colours of "bgc", each with
probability p, which follows the critic's answers. Two things are simpler: pixels between others are bilinear, without a
filter against aliasing, and p can rise to 1 within `PACE` images, not 500,000, which no run of minutes shows.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ganshift.tensors import Images, Scores

TARGET = 0.6
"""Mean sign of the scores of real images that is aimed at: 0 is a critic that knows nothing, 1 one that is sure."""
EVERY = 4
"""Batches after which p moves."""
PACE = 5_000.0
"""Images that p takes from 0 to 1."""
SHIFT = 1 / 8
"""Largest whole shift, and deviation of others, as a part of the side."""
Matrices = Float[Tensor, "n d d"]


class AdaptiveAugment:
    """Changes colour images at random, the more the surer the critic is of real ones."""

    def __init__(self) -> None:
        self.probability = 0.0
        self._signs: list[Tensor] = []

    def observe(self, real_scores: Scores) -> None:
        """Move p after every fourth batch: up where the mean sign is above the target, else down."""
        self._signs.append(real_scores.detach().sign())
        if len(self._signs) == EVERY:
            signs = torch.cat(self._signs)
            step = math.copysign(len(signs) / PACE, signs.mean().item() - TARGET)
            self.probability = min(max(self.probability + step, 0.0), 1.0)
            self._signs = []

    def __call__(self, images: Images) -> Images:
        """Move and colour images [n, 3, h, w] in [-1, 1]; what comes in from outside is mirrored."""
        grid = F.affine_grid(self._places(*images.shape[::3])[:, :2], list(images.shape), align_corners=False)
        moved = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        matrix = self._colours(len(images))
        return torch.einsum("nij,njhw->nihw", matrix[:, :3, :3], moved) + matrix[:, :3, 3, None, None]

    def _places(self, count: int, side: int) -> Matrices:
        """Where the pixels of an image come from; image coordinates run from -1 to 1."""
        some = self.probability
        rotated = 1 - math.sqrt(1 - some)  # twice, so that p of all images are rotated at all
        mirrored = 1 - 2 * self._chosen(torch.randint(2, (count,)), some)
        turned = self._chosen(torch.randint(4, (count,)), some) * math.pi / 2
        whole = self._chosen(((2 * torch.rand(2, count) - 1) * SHIFT * side).round() * 2 / side, some)
        scaled = torch.exp2(self._chosen(0.2 * torch.randn(count), some))
        stretched = torch.exp2(self._chosen(0.2 * torch.randn(count), some))
        first, second = (self._chosen((2 * torch.rand(count) - 1) * math.pi, rotated) for _ in range(2))
        shifted = self._chosen(2 * SHIFT * torch.randn(2, count), some)
        return (
            _scaling(mirrored, torch.ones(count))
            @ _rotation(turned)
            @ _shift(whole)
            @ _scaling(scaled, scaled)
            @ _rotation(first)
            @ _scaling(stretched, 1 / stretched)
            @ _rotation(second)
            @ _shift(shifted)
        )

    def _colours(self, count: int) -> Matrices:
        """What colours become, as a map of (red, green, blue, 1)."""
        some = self.probability
        brighter = self._chosen(0.2 * torch.randn(count), some)
        contrast = torch.exp2(self._chosen(0.5 * torch.randn(count), some))
        inverted = 1 - 2 * self._chosen(torch.randint(2, (count,)), some)
        hue = self._chosen((2 * torch.rand(count) - 1) * math.pi, some)
        saturation = torch.exp2(self._chosen(torch.randn(count), some))
        gray = torch.full((3, 3), 1 / 3)  # projects on the axis of grays
        across = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)  # turns around it
        turned = hue.cos()[:, None, None] * (torch.eye(3) - gray) + hue.sin()[:, None, None] * across
        linear = contrast[:, None, None] * (inverted[:, None, None] * gray + saturation[:, None, None] * turned)
        matrix = torch.eye(4).repeat(count, 1, 1)
        matrix[:, :3, :3] = linear
        matrix[:, :3, 3] = (brighter * contrast * inverted)[:, None]
        return matrix

    @staticmethod
    def _chosen(values: Tensor, probability: float) -> Float[Tensor, "*values"]:
        """Values of a part of the images, the last axis, and 0 for the others."""
        return values * (torch.rand(values.shape[-1]) < probability)


def _scaling(x: Tensor, y: Tensor) -> Matrices:
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(y)], dim=-1))


def _rotation(angle: Tensor) -> Matrices:
    matrix = torch.eye(3).repeat(len(angle), 1, 1)
    matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos()
    matrix[:, 1, 0] = angle.sin()
    matrix[:, 0, 1] = -angle.sin()
    return matrix


def _shift(by: Tensor) -> Matrices:
    matrix = torch.eye(3).repeat(by.shape[1], 1, 1)
    matrix[:, :2, 2] = by.t()
    return matrix

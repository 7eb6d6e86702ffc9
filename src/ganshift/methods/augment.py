"""Differentiable augmentation of what a critic sees, real and fake alike (Zhao et al. 2020, arXiv 2006.10738).

A generator does not learn to draw augmented images, because its gradient passes through the augmentation; the critic
cannot learn few real images by heart. Draws come from torch's generator of the images' device. Images are in [-1, 1];
what comes in from outside an image is 0, mid-gray.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..tensors import Images

TRANSLATION = 1 / 8
"""Largest shift, as a part of the side."""
CUTOUT = 1 / 2
"""Side of the square that is cut out, as a part of the image's."""


def color(images: Images) -> Images:
    """Shift brightness by up to 0.5, scale saturation by 0 to 2 and contrast by 0.5 to 1.5; transparency stays."""
    colours, transparency = images[:, :3], images[:, 3:]
    colours = colours + _uniform(images, -0.5, 0.5)
    gray = colours.mean(dim=1, keepdim=True)
    colours = gray + (colours - gray) * _uniform(images, 0.0, 2.0)
    mean = colours.mean(dim=(1, 2, 3), keepdim=True)
    colours = mean + (colours - mean) * _uniform(images, 0.5, 1.5)
    return torch.cat([colours, transparency], dim=1)


def translation(images: Images) -> Images:
    """Shift each image by whole pixels, up to an eighth of its side in each direction."""
    height, width = images.shape[2:]
    down, right = round(height * TRANSLATION), round(width * TRANSLATION)
    padded = F.pad(images, (right, right, down, down))
    rows = _offsets(images, 2 * down + 1) + torch.arange(height, device=images.device)  # n h
    columns = _offsets(images, 2 * right + 1) + torch.arange(width, device=images.device)  # n w
    image = torch.arange(len(images), device=images.device)
    return padded.permute(0, 2, 3, 1)[image[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cutout(images: Images) -> Images:
    """Blank one square of half the side in each image; its centre may be anywhere, so that part may lie outside."""
    inside = []
    for side in images.shape[2:]:
        centre = _offsets(images, side + 1)  # n 1
        place = torch.arange(side, device=images.device) + 0.5
        inside.append((place - centre).abs() < side * CUTOUT / 2)  # n side
    rows, columns = inside
    kept = ~(rows[:, :, None] & columns[:, None, :])
    return images * kept[:, None]


POLICIES: dict[str, Callable[[Images], Images]] = {"color": color, "translation": translation, "cutout": cutout}
"""Augmentations by name, in the order in which they are applied."""


def augment(images: Images, policy: str) -> Images:
    """Apply the augmentations that a comma-separated policy names; none if it is empty."""
    names = policy.split(",")
    for name, change in POLICIES.items():
        if name in names:
            images = change(images)
    return images


def _uniform(images: Images, low: float, high: float) -> Tensor:
    """One number per image, in a shape that broadcasts over it."""
    return low + (high - low) * torch.rand(len(images), 1, 1, 1, device=images.device, dtype=images.dtype)


def _offsets(images: Images, choices: int) -> Tensor:
    """One whole number from 0 to choices - 1 per image, as a column."""
    return torch.randint(choices, (len(images), 1), device=images.device)

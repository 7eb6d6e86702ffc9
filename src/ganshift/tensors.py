"""Shape aliases and the one range convention: images are float tensors in [-1, 1], stored as uint8 in [0, 255]."""

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

Images = Float[Tensor, "n c h w"]
"""A batch of images in [-1, 1]."""
Bytes = UInt8[Tensor, "n c h w"]
"""The same batch as it is stored, in [0, 255]."""
Latents = Float[Tensor, "n z"]
"""Standard normal inputs of a generator."""
Labels = Int[Tensor, " n"]
"""Class numbers from 0."""
Scores = Float[Tensor, " n"]
"""What a critic says of each image: larger is more real, without bounds."""
Scalar = Float[Tensor, ""]
"""One number on the graph, such as a loss."""
Terms = dict[str, Tensor]
"""Named scalar terms of a loss, already weighted; their sum is what is minimised."""

Side = int | tuple[int, int]
"""The side of a square image in pixels, or the height and width of any."""


def height_and_width(size: Side) -> tuple[int, int]:
    """Both sides in pixels."""
    return (size, size) if isinstance(size, int) else size


def from_uint8(stored: Bytes) -> Images:
    """Map 0 to -1 and 255 to 1, linearly (x/127.5 - 1, as both published codes scale)."""
    return stored.to(torch.float32) / 127.5 - 1


def to_uint8(images: Images) -> Bytes:
    """Round to the nearest stored level, clamping what lies outside [-1, 1]; inverts `from_uint8` exactly."""
    return ((images.detach().to(torch.float32) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def dequantize(stored: Bytes, noise: Images) -> Images:
    """Spread each stored level over its own interval: 2(x/256 - 0.5) + noise/128, for `noise` uniform in [0, 1).

    Keeps a critic from telling real images by their 256 levels (the scaling of the published 32-pixel code).
    """
    return 2 * (stored.to(torch.float32) / 256 - 0.5) + noise / 128


def to_colour(images: Images) -> Float[Tensor, "n 3 h w"]:
    """Show gray in three channels and transparency over white; colour stays as it is."""
    if images.shape[1] == 4:
        opacity = (images[:, 3:] + 1) / 2
        return images[:, :3] * opacity + 1 - opacity
    return images.expand(-1, 3, -1, -1)


def to_channels(images: Images, channels: int) -> Float[Tensor, "n {channels} h w"]:
    """Show images in 1, 3 or 4 channels: colour as its mean, gray in three, transparency over white, others opaque."""
    if images.shape[1] == channels:
        return images
    colour = to_colour(images)
    if channels == 1:
        return colour.mean(dim=1, keepdim=True)
    return colour if channels == 3 else torch.cat([colour, torch.ones_like(colour[:, :1])], dim=1)


def image_grid(images: Images, columns: int, margin: int = 2) -> UInt8[np.ndarray, "height width 3"]:
    """Lay images out in rows of `columns`, as the pixels of one colour picture on white."""
    stored = to_uint8(to_colour(images)).cpu().permute(0, 2, 3, 1).numpy()
    count, height, width, _ = stored.shape
    rows, columns = -(-count // columns), min(columns, count)
    grid = np.full((rows * (height + margin) + margin, columns * (width + margin) + margin, 3), 255, np.uint8)
    for number, image in enumerate(stored):
        row, column = divmod(number, columns)
        top, left = row * (height + margin) + margin, column * (width + margin) + margin
        grid[top : top + height, left : left + width] = image
    return grid

"""Shape aliases and the one range convention: images are float tensors in [-1, 1], stored as uint8 in [0, 255]."""

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


def from_uint8(stored: Bytes) -> Images:
    """Map 0 to -1 and 255 to 1, linearly (x/127.5 - 1, as both published codes scale)."""
    return stored.to(torch.float32) / 127.5 - 1


def to_uint8(images: Images) -> Bytes:
    """Round to the nearest stored level, clamping what lies outside [-1, 1]; inverts `from_uint8` exactly."""
    return ((images.detach().to(torch.float32) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

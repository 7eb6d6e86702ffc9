"""A large picture in overlapping tiles: the result of doing it at once, for networks that look a limited way around."""

import torch
from jaxtyping import Float
from torch import Tensor

from ...nn.norm import BatchNorm, FixedInstanceNorm
from .backbone import TranslationBackbone

TILE = 512
"""Side of what is kept of a tile, at least."""


@torch.no_grad()
def translate_in_tiles(
    network: TranslationBackbone, image: Float[Tensor, "1 a h w"], margin: int, tile: int | None = None
) -> Float[Tensor, "1 b h w"]:
    """What `network.eval()(image)` gives, up to rounding. The image may lie on another device than the network.

    `margin` is how far around a pixel the network looks, at least, in pixels. A network with norms that take the
    statistics of an image cannot be run on tiles, each of which has others: it gets the image at once.
    """
    device, step = next(network.parameters()).device, 2**network.num_halvings
    if any(_looks_at_all(module) for module in network.modules()):
        return network(image.to(device)).to(image.device)
    margin, tile = -(-margin // step) * step, max(tile or TILE, 2 * margin) // step * step
    height, width = image.shape[2:]
    rows = []
    for top in range(0, height, tile):
        parts = []
        for left in range(0, width, tile):
            first_row, first_column = max(top - margin, 0), max(left - margin, 0)
            window = image[:, :, first_row : top + tile + margin, first_column : left + tile + margin]
            made = network(window.to(device)).to(image.device)
            part = made[:, :, top - first_row :, left - first_column :]
            parts.append(part[:, :, :tile, :tile])
        rows.append(torch.cat(parts, dim=3))
    return torch.cat(rows, dim=2)


def _looks_at_all(module: torch.nn.Module) -> bool:
    return isinstance(module, FixedInstanceNorm) or (isinstance(module, BatchNorm) and module.use_image)

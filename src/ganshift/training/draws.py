"""Random numbers of an iteration: drawn for the whole batch, so that it does not matter how many processes share it."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .distributed import part_of


def seed_of(*numbers: int) -> int:
    """A 63-bit seed from several numbers; neighbours get unrelated ones."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


class Draws:
    """Draws from torch's generator of a device; each process draws the same numbers and gets the rows of its images."""

    def __init__(self, device: torch.device):
        self.device = device

    def normal(self, batch: int, *shape: int) -> Float[Tensor, "n *shape"]:
        """Standard normal numbers for each image."""
        return torch.randn(batch, *shape, device=self.device)[part_of(batch)]

    def uniform(self, batch: int, *shape: int) -> Float[Tensor, "n *shape"]:
        """Numbers from 0 to 1 for each image."""
        return torch.rand(batch, *shape, device=self.device)[part_of(batch)]

    def integers(self, high: int, batch: int) -> Int[Tensor, " n"]:
        """A whole number from 0 to high - 1 for each image."""
        return torch.randint(high, (batch,), device=self.device)[part_of(batch)]

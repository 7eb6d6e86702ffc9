"""The averaged copy of a network that sampling uses."""

import copy

import torch
from torch import nn


class Ema:
    """Exponential moving average of a network's weights and buffers, with its half-life counted in images.

    While few images have been shown the half-life is at most a tenth of them, so that the start weights fade early
    (the ramp-up of Karras et al. 2024, arXiv 2312.02696, their code's `ema_rampup_ratio`).
    """

    def __init__(self, network: nn.Module, half_life: int):
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life = half_life

    @torch.no_grad()
    def update(self, network: nn.Module, images_seen: int, images: int) -> None:
        """Move the average towards the network after `images` more, `images_seen` in all."""
        half_life = min(self.half_life, images_seen / 10)
        weight = 1 - 0.5 ** (images / half_life) if half_life > 0 else 1.0
        averages = [*self.average.parameters(), *self.average.buffers()]
        torch._foreach_lerp_(averages, [*network.parameters(), *network.buffers()], weight)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The average's weights."""
        return self.average.state_dict()

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the average."""
        self.average.load_state_dict(state)

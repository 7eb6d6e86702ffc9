"""The averaged copy of a network that sampling uses."""

import copy

import torch
from torch import nn


class Ema:
    """Exponential moving average of a network's weights and buffers, with its half-life counted in images.

    While few images have been shown the half-life is at most a tenth of them, so that the start weights fade early
    (the ramp-up of Karras et al. 2024, arXiv 2312.02696, their code's `ema_rampup_ratio`). Half-life 0 averages nothing
    and holds nothing: then the network is copied when its average is asked for.
    """

    def __init__(self, network: nn.Module, half_life: int):
        self.half_life = half_life
        self._network = network
        self._average = _frozen_copy(network) if half_life else None

    @property
    def average(self) -> nn.Module:
        """The averaged network, in evaluation mode and without gradients."""
        return self._average or _frozen_copy(self._network)

    @torch.no_grad()
    def update(self, images_seen: int, images: int) -> None:
        """Move the average towards the network after `images` more, `images_seen` in all."""
        if self._average is None:
            return
        weight = 1 - 0.5 ** (images / min(self.half_life, images_seen / 10))
        averages = [*self._average.parameters(), *self._average.buffers()]
        torch._foreach_lerp_(averages, [*self._network.parameters(), *self._network.buffers()], weight)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The average's weights, if there is one."""
        return self._average.state_dict() if self._average else {}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the average."""
        if self._average:
            self._average.load_state_dict(state)


def _frozen_copy(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).eval().requires_grad_(False)

"""Norms and start weights that the networks of CycleGAN, CUT and pix2pix share."""

from typing import Literal

from torch import nn

from ...errors import choose
from ...nn.norm import BatchNorm, FixedInstanceNorm

NormKind = Literal["instance", "batch", "none"]
NORMS = ("instance", "batch", "none")


def new_norm(kind: NormKind, channels: int) -> nn.Module:
    """A norm for so many channels; that of instances learns nothing."""
    choose(kind, NORMS, "norm")
    if kind == "batch":
        return BatchNorm(channels)
    return FixedInstanceNorm() if kind == "instance" else nn.Identity()


def has_bias(kind: NormKind) -> bool:
    """Whether convolutions in front of a norm have a bias: as published, in front of one of instances alone."""
    return kind == "instance"


def draw_weights(network: nn.Module) -> None:
    """Start weights as published: kernels and gains with a deviation of 0.02, biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, BatchNorm):
            nn.init.normal_(module.gain, mean=1, std=0.02)

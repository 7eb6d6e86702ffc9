"""Variables of a published DualGAN checkpoint, given as arrays, to state dicts of our networks. Needs no TensorFlow.

Published names: `A_g_` is the generator a to b and `B_g_` the other; `A_d_` judges images of b and `B_d_` those of a.
Kernels there are (height, width, in, out), or (height, width, out, in) where transposed: the same reordering brings
both to torch's (out, in, height, width) and (in, out, height, width).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import UserError
from ...training.weights import copy_weights
from ..importing import MISFIT
from .networks import CRITIC_STAGES, Critic, UNet

GENERATORS = {"gen_ab": "A_g", "gen_ba": "B_g"}
CRITICS = {"critic_b": "A_d", "critic_a": "B_d"}
CRITIC_NAMES = (("h0_conv", None), ("h1_conv", "bn1"), ("h2_conv", "bn2"), ("h3_conv", "bn3"), ("h3_1_conv", "bn3_1"))
"""Published names of the critic's convolutions, and of the norms that follow them."""


@dataclass(frozen=True)
class PublishedNetworks:
    """What a published checkpoint holds; everything is by the names gen_ab, gen_ba, critic_a and critic_b."""

    arguments: dict[str, dict[str, Any]]
    """Of our networks' constructors."""
    state_dicts: dict[str, dict[str, Tensor]]
    size: int | None
    """Image side that a global critic was built for; unknown with patches."""

    def build(self) -> dict[str, UNet | Critic]:
        """The networks with their weights; a `UserError` where these do not fit."""
        networks: dict[str, UNet | Critic] = {}
        for name, arguments in self.arguments.items():
            networks[name] = UNet(**arguments) if name in GENERATORS else Critic(**arguments)
            copy_weights(networks[name], self.state_dicts[name], name, MISFIT)
        return networks


def from_tensorflow(variables: Mapping[str, np.ndarray], swap_red_and_blue: bool = False) -> PublishedNetworks:
    """Map published variables, by their names, to our networks.

    The published code reads images as BGR: with `swap_red_and_blue` the layers that touch images of three or four
    channels are reordered, so that the networks take and give RGB. Raises `UserError` listing what does not fit.
    """
    given = {name.removesuffix(":0"): array for name, array in variables.items()}
    levels = len([name for name in given if re.fullmatch(r"A_g_e\d+_conv/w", name)])
    head = "patch" if "A_d_h4/w" in given else "global"

    names = {network: _generator_names(prefix, levels) for network, prefix in GENERATORS.items()}
    names |= {network: _critic_names(prefix, head) for network, prefix in CRITICS.items()}
    expected = {name for keys in names.values() for name in keys.values()}
    missing, unknown = sorted(expected - given.keys()), sorted(given.keys() - expected)
    if missing or unknown or not levels:
        raise UserError(
            "the variables must be those of a published DualGAN checkpoint; "
            f"missing: {', '.join(missing) or ('A_g_e1_conv/w' if not levels else 'none')}; "
            f"unknown: {', '.join(unknown) or 'none'}"
        )
    state_dicts = {
        network: {key: _to_torch(given[name]) for key, name in keys.items()} for network, keys in names.items()
    }
    if swap_red_and_blue:
        for network, weights in state_dicts.items():
            _swap_red_and_blue(network, weights, levels)

    channels = {"a": given["A_g_e1_conv/w"].shape[2], "b": given["B_g_e1_conv/w"].shape[2]}
    linear = given.get("A_d_d_h3_lin/Matrix")
    size = None  # the published critic is built for a square power of two
    if linear is not None:
        size = isqrt(linear.shape[0] // given["A_d_h3_1_conv/w"].shape[3]) * 2**CRITIC_STAGES
    # With norms everywhere, and no linear layer, nothing depends on the size.
    shared = {"size": size or 2**levels, "as_published": True}
    of_generators = {"width": given["A_g_e1_conv/w"].shape[3], "levels": levels, "dropout": 0.0, **shared}
    of_critics = {"width": given["A_d_h0_conv/w"].shape[3], "head": head, **shared}
    arguments: dict[str, dict[str, Any]] = {
        name: {"in_channels": channels[name[-2]], "out_channels": channels[name[-1]], **of_generators}
        for name in GENERATORS
    }
    arguments |= {name: {"channels": channels[name[-1]], **of_critics} for name in CRITICS}
    return PublishedNetworks(arguments, state_dicts, size)


def _generator_names(prefix: str, levels: int) -> dict[str, str]:
    names: dict[str, str] = {}
    for i in range(levels):
        down, up = f"e{i + 1}", f"d{i + 1}"
        names |= _pair(f"down.{i}.conv", f"{prefix}_{down}_conv", "w", "biases")
        names |= _pair(f"up.{i}.conv", f"{prefix}_{up}", "w", "biases")
        if i > 0:
            names |= _pair(f"down.{i}.norm", f"{prefix}_bn_{down}", "scale", "center")
        if i < levels - 1:
            names |= _pair(f"up.{i}.norm", f"{prefix}_bn_{up}", "scale", "center")
    return names


def _critic_names(prefix: str, head: str) -> dict[str, str]:
    names: dict[str, str] = {}
    for i, (conv, norm) in enumerate(CRITIC_NAMES):
        names |= _pair(f"stages.{i}.conv", f"{prefix}_{conv}", "w", "biases")
        if norm:
            names |= _pair(f"stages.{i}.norm", f"{prefix}_{norm}", "scale", "center")
    if head == "patch":
        return names | _pair("head", f"{prefix}_h4", "w", "biases")
    return names | _pair("head", f"{prefix}_d_h3_lin", "Matrix", "bias")


def _pair(ours: str, published: str, weight: str, bias: str) -> dict[str, str]:
    return {f"{ours}.weight": f"{published}/{weight}", f"{ours}.bias": f"{published}/{bias}"}


def _to_torch(array: np.ndarray) -> Tensor:
    """Kernels to torch's order of axes; the matrix of a linear layer is transposed; vectors stay."""
    order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
    return torch.from_numpy(np.ascontiguousarray(array.transpose(order)))


def _swap_red_and_blue(network: str, weights: dict[str, Tensor], levels: int) -> None:
    """Reorder the first layer's input channels, and the output channels of a generator's last layer, in place."""
    first = "down.0.conv.weight" if network in GENERATORS else "stages.0.conv.weight"
    last = [f"up.{levels - 1}.conv.weight", f"up.{levels - 1}.conv.bias"] if network in GENERATORS else []
    for key, axis in ((first, 1), *((key, 1 if key.endswith("weight") else 0) for key in last)):
        channels = weights[key].shape[axis]
        if channels >= 3:
            order = torch.tensor([2, 1, 0, *range(3, channels)])
            weights[key] = weights[key].index_select(axis, order)

"""Snapshots of StyleGAN2-ADA in PyTorch: the names of their tensors, and what shapes and layers say of the networks.

Stored weights have unit variance, and layers scale them when they run (equalised learning rates, Karras et al. 2018);
here the scales, `weight_gain` and `bias_gain`, go into the weights.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from ...errors import UserError
from ...training.torch_files import StoredNetwork
from ..importing import MISFIT
from .stored import FoundNetwork, check_filter, found, generator_format, is_snapshot, numbers_in, of_snapshot, renamed
from .stylegan2 import StyleGAN2Critic, StyleGAN2Generator, check_clamp

FILTER = re.compile(r"(^|\.)resample_filter$")
"""A constant of many layers: [1, 3, 3, 1] in both directions."""
IN_BOTH = ((r"^mapping\.layers\.", "mapping.fc"), (r"^mapping\.embedding\.", "mapping.embed."))
IN_GENERATOR = (
    *IN_BOTH,
    (r"\.noise$", ".noise_const"),
    (r"\.to_image\.conv\.", ".torgb."),
    (r"\.to_image\.affine\.", ".torgb.affine."),
    ("^start$", "synthesis.b4.const"),
    ("^mean_style$", "mapping.w_avg"),
)
"""Our names, and what snapshots call them; blocks are called by their size."""


def generator_of(stored: StoredNetwork) -> FoundNetwork:
    """A generator of ours with the weights of one of theirs."""
    weights = stored.weights
    _check_settings(stored, architectures=("skip",))
    sizes = _sizes(weights, r"synthesis\.b(\d{1,4})\.")
    style_dim = weights["mapping.w_avg"].shape[0]
    num_classes = _num_classes(weights)
    arguments = {
        "size": sizes[-1],
        "latent_dim": weights["mapping.fc0.weight"].shape[1] - (style_dim if num_classes else 0),
        "style_dim": style_dim,
        "mapping_layers": numbers_in(weights, r"mapping\.fc(\d{1,3})\."),
        "widths": [weights[f"synthesis.b{size}.conv1.weight"].shape[0] for size in sizes],
        "channels": weights["synthesis.b4.torgb.weight"].shape[0],
        "num_classes": num_classes,
        "clamp": _clamp(stored),
    }
    return _found(StyleGAN2Generator, arguments, stored, _in_generator)


def critic_of(stored: StoredNetwork) -> FoundNetwork:
    """A critic of ours with the weights of one of theirs."""
    weights = stored.weights
    _check_settings(stored, architectures=("resnet", "orig"))
    sizes = _sizes(weights, r"b(\d{1,4})\.")[::-1]
    widths = [weights[f"b{size}.conv0.weight"].shape[0] for size in sizes[:-1]]
    group = stored.settings["b4.mbstd.group_size"]
    if group is not None and (type(group) is not int or group < 1):
        raise UserError(f"{MISFIT}: its groups of images are none")
    arguments = {
        "size": sizes[0],
        "widths": [*widths, weights["b4.conv.weight"].shape[0]],
        "channels": weights[f"b{sizes[0]}.fromrgb.weight"].shape[1],
        "num_classes": _num_classes(weights),
        "mapping_layers": numbers_in(weights, r"mapping\.fc(\d{1,3})\."),
        "skip": f"b{sizes[0]}.skip.weight" in weights,
        "group": group,
        "clamp": _clamp(stored),
    }
    return _found(StyleGAN2Critic, arguments, stored, partial(_in_critic, sizes[0]))


def _sizes(weights: Mapping[str, Tensor], pattern: str) -> list[int]:
    """The sizes of maps, from 4 on."""
    sizes = sorted({int(match[1]) for name in weights if (match := re.match(pattern, name))})
    if not sizes or sizes != [4 * 2**level for level in range(len(sizes))]:
        raise UserError(f"{MISFIT}: the sizes of its maps are {', '.join(map(str, sizes)) or 'none'}")
    return sizes


def _num_classes(weights: Mapping[str, Tensor]) -> int:
    return weights["mapping.embed.weight"].shape[1] if "mapping.embed.weight" in weights else 0


def _clamp(stored: StoredNetwork) -> float | None:
    """What all layers are clamped to, but for the 1x1 convs beside others, which never are."""
    clamps = {
        value
        for name, value in stored.settings.items()
        if name.endswith(".conv_clamp") and not name.endswith(".skip.conv_clamp")
    }
    (clamp,) = clamps
    check_clamp(clamp)
    return None if clamp is None else float(clamp)


def _check_settings(stored: StoredNetwork, architectures: tuple[str, ...]) -> None:
    """Raise if a layer says that it is of a kind that is not read."""
    choices = {"architecture": architectures, "activation": ("lrelu", "linear")}
    for name, value in stored.settings.items():
        kind = name.rpartition(".")[2]
        if value not in choices.get(kind, (value,)):
            raise UserError(f"its {name} is {value!r:.40}, and only {' or '.join(choices[kind])} is read")


def _found(
    make: type[StyleGAN2Generator] | type[StyleGAN2Critic],
    arguments: dict[str, Any],
    stored: StoredNetwork,
    name_of: Callable[[str], str],
) -> FoundNetwork:
    for name, kernel in stored.weights.items():
        if FILTER.search(name):
            check_filter(name, kernel)

    def scaled(name: str) -> Tensor:
        """A tensor of theirs as its layer uses it."""
        gain = stored.settings.get(f"{name}_gain", 1)
        if not isinstance(gain, int | float):
            raise UserError(f"{MISFIT}: its {name}_gain is not a number")
        return stored.weights[name].float() * gain

    def changed(ours: str, theirs: str) -> Tensor:
        if ours == "mapping.embedding.weight":
            return scaled(theirs).t() + scaled("mapping.embed.bias")
        return scaled(theirs)

    known = re.compile(rf"{FILTER.pattern}|^mapping\.embed\.bias$")
    return found(make, arguments, stored.weights, name_of, known=known, changed=changed)


def _in_generator(ours: str) -> str:
    """What snapshots call a tensor of our generator."""
    name = re.sub(r"^blocks\.(\d+)\.", lambda match: f"synthesis.b{4 * 2 ** int(match[1])}.", ours)
    return renamed(name, IN_GENERATOR)


def _in_critic(size: int, ours: str) -> str:
    """What snapshots call a tensor of our critic of images of this size."""
    name = re.sub(r"^blocks\.(\d+)\.", lambda match: f"b{size // 2 ** int(match[1])}.", ours)
    return renamed(name, [*IN_BOTH, (r"^from_image\.", f"b{size}.fromrgb."), (r"^(conv|fc|out)\.", r"b4.\1.")])


STYLEGAN2 = generator_format(
    title="StyleGAN2-ADA",
    architecture="stylegan2",
    licence=(
        "NVIDIA's Source Code License, of StyleGAN2-ADA and the weights that it publishes, allows research and "
        "evaluation alone, nothing commercial."
    ),
    recognises=lambda file: is_snapshot(file, re.compile(r"synthesis\.b4\.const$|b4\.fc\.weight$")),
    networks=lambda content: of_snapshot(content, generator_of, critic_of),
)

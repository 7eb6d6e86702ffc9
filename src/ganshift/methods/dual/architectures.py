"""The architectures of `dual` by the names that `config.json` and `--architecture` have."""

from collections.abc import Mapping
from typing import Any

from ...errors import choose
from .backbone import DomainCritic, TranslationBackbone
from .config import DualConfig, with_tuples
from .networks import Critic, UNet
from .patch_critic import PatchCritic, PixelCritic, layers_for
from .pix2pix import FEWEST_LEVELS, NestedUNet
from .resnet import ResNetTranslator

GENERATORS: dict[str, type[TranslationBackbone]] = {
    "unet": UNet,
    "resnet": ResNetTranslator,
    "pix2pix": NestedUNet,
}
"""Generators by architecture."""
CRITICS: dict[str, type[DomainCritic]] = {"dualgan": Critic, "patch": PatchCritic, "pixel": PixelCritic}
"""Critics by the kind that `config.json` names."""
WIDE_IMAGES = 256
"""Shorter side from which ResNet generators have 9 blocks as published; for smaller images, 6."""


def new_generator(architecture: object, arguments: Mapping[str, Any]) -> TranslationBackbone:
    """A generator from what `config.json` says of it."""
    return GENERATORS[choose(architecture, GENERATORS, "architecture")](**with_tuples(arguments))


def new_critic(arguments: Mapping[str, Any]) -> DomainCritic:
    """A critic from what `config.json` says of it."""
    of_kind = with_tuples(arguments)
    return CRITICS[choose(of_kind.pop("kind", None), CRITICS, "kind of critic")](**of_kind)


def generator_arguments(config: DualConfig, in_channels: int, out_channels: int) -> dict[str, Any]:
    """Constructor arguments of a new generator, as config.json keeps them."""
    shared = {"in_channels": in_channels, "out_channels": out_channels, "width": config.generator_width}
    if config.architecture == "resnet":
        return shared | {"blocks": 9 if config.size >= WIDE_IMAGES else 6, "dropout": config.drop_probability > 0}
    if config.architecture == "pix2pix":
        return shared | {"levels": max(FEWEST_LEVELS, config.num_levels), "norm": "instance"}
    return shared | {
        "levels": config.num_levels,
        "size": config.size_in_json,
        "dropout": config.drop_probability,
        "as_published": config.as_published,
    }


def critic_arguments(config: DualConfig, channels: int, architecture: str) -> dict[str, Any]:
    """The kind and constructor arguments of a new critic that goes with an architecture."""
    shared, field = {"channels": channels, "width": config.critic_width}, config.receptive_field
    if architecture != "unet":
        return {"kind": "patch", **shared, **({} if field is None else {"layers": layers_for(field)})}
    more = {"size": config.size_in_json, "head": config.critic, "as_published": config.as_published}
    if config.critic == "patch" and field is not None:
        more["receptive_field"] = field
    return {"kind": "dualgan", **shared, **more}

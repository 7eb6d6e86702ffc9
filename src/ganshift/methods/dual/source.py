"""The translator that a run starts from, and what its networks are."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ...errors import UserError
from ...inference.names import find_model
from ...training import run_folder
from ...training.weights import build_on_paper, check_fit, load_weights
from .architectures import critic_arguments, generator_arguments, new_critic, new_generator
from .config import DualConfig
from .model import Translator

logger = logging.getLogger("ganshift")
NETWORKS = ("gen_ab", "gen_ba", "critic_a", "critic_b")


@dataclass(frozen=True)
class Networks:
    """The four networks of a run, by the names gen_ab, gen_ba, critic_a and critic_b."""

    architecture: str
    arguments: Mapping[str, Mapping[str, Any]]
    """Of their constructors, as config.json keeps them."""
    weights: Mapping[str, Mapping[str, Tensor]]
    """Of those that do not start anew."""
    image_statistics: bool = False
    """Whether batch norms take the statistics of each image, but for training."""

    @property
    def channels(self) -> tuple[int, int]:
        """Of domain a and of domain b."""
        return self.arguments["gen_ab"]["in_channels"], self.arguments["gen_ab"]["out_channels"]

    def build(self, name: str) -> nn.Module:
        """One network, freshly drawn, and then as its weights say if there are any."""
        arguments = self.arguments[name]
        network = new_generator(self.architecture, arguments) if name.startswith("gen_") else new_critic(arguments)
        if name in self.weights:
            network.load_state_dict(dict(self.weights[name]))
        return network

    def description(self) -> dict[str, Any]:
        """What config.json says of them; critics of DualGAN follow from the settings."""
        told: dict[str, Any] = {"architecture": self.architecture}
        told |= {name: of for name, of in self.arguments.items() if of.get("kind") != "dualgan"}
        return {**told, "image_statistics": True} if self.image_statistics else told


def networks_from_scratch(config: DualConfig, channels_a: int, channels_b: int) -> Networks:
    """The networks that the settings describe, for domains of so many channels."""
    return Networks(
        config.architecture,
        {
            "gen_ab": generator_arguments(config, channels_a, channels_b),
            "gen_ba": generator_arguments(config, channels_b, channels_a),
            "critic_a": critic_arguments(config, channels_a, config.architecture),
            "critic_b": critic_arguments(config, channels_b, config.architecture),
        },
        weights={},
    )


def networks_of_source(config: DualConfig) -> Networks:
    """The networks of `config.source`; those that it does not have are described like their counterparts.

    Once the run has a checkpoint, they are what the run itself says: the weights are in the checkpoint, and the source
    may have moved or gone. Raises a `UserError` if the source is no dual run or damaged.
    """
    assert config.source is not None
    begun = run_folder.has_begun(config.out)
    folder = config.out if begun else find_model(config.source)
    described = run_folder.read_config(folder)
    if described.get("method") != "dual":
        raise UserError(f"{folder} holds a {described.get('method')} run; a source must be a dual run")
    where = str(folder / run_folder.CONFIG)
    translator = build_on_paper(lambda: Translator.from_config(described), where, "a dual model")
    generators = {name: described[name] for name in ("gen_ab", "gen_ba") if described.get(name)}
    critics = {name: described[name] for name in ("critic_a", "critic_b") if described.get(name)}
    on_paper = {
        name: build_on_paper(partial(new_critic, arguments), where, "critics of a dual model")
        for name, arguments in critics.items()
    }
    weights: dict[str, dict[str, Tensor]] = {}
    if not begun:
        weights = _weights(folder / run_folder.MODEL, translator)
        if (folder / run_folder.DOMAIN_CRITICS).exists():
            weights |= _weights(folder / run_folder.DOMAIN_CRITICS, nn.ModuleDict(on_paper))
        if missing := [name for name in NETWORKS if name not in weights]:
            start = "it starts" if len(missing) == 1 else "they start"
            logger.warning("%s has no %s: %s anew", config.source, ", ".join(missing), start)
    gen_ab, architecture = generators["gen_ab"], described.get("architecture", "unet")
    turned = {**gen_ab, "in_channels": gen_ab["out_channels"], "out_channels": gen_ab["in_channels"]}
    new_critics = {
        f"critic_{domain}": critic_arguments(config, channels, architecture)
        for domain, channels in translator.channels.items()
    }
    arguments = {"gen_ba": turned, **generators, **new_critics, **critics}
    return Networks(
        architecture, {name: arguments[name] for name in NETWORKS}, weights, described.get("image_statistics") is True
    )


def _weights(path: Path, networks: nn.Module) -> dict[str, dict[str, Tensor]]:
    """The weights of a file by network, all of which are there."""
    every = load_weights(path)
    check_fit(networks, every, str(path), "config.json and weights are of different runs")
    found: dict[str, dict[str, Tensor]] = {}
    for name, value in every.items():
        network, _, rest = name.partition(".")
        found.setdefault(network, {})[rest] = value
    return found

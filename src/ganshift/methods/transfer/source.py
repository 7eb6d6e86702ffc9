"""Opening the source that a run starts from (Wang et al. 2018, section 3)."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ...errors import UserError
from ...inference.names import find_model
from ...training import run_folder
from ...training.config import require
from ...training.weights import build_on_paper, check_fit, load_weights
from .feature_critic import FeatureCritic
from .networks import ARCHITECTURES, new_networks

GENERATOR_PREFIX = "generator."
"""What the generator's weights are called in a model file."""


@dataclass(frozen=True)
class Source:
    """A trained generator and critic to start from."""

    where: str
    description: Mapping[str, Any]
    """The `config.json` of its run."""
    generator_arguments: Mapping[str, Any]
    critic_arguments: Mapping[str, Any]
    classes: tuple[str, ...]
    generator: Mapping[str, Tensor]
    critic: Mapping[str, Tensor]
    feature_critic: Mapping[str, Tensor]
    """Empty where the source has none."""


def open_source(name: str) -> Source:
    """Read a bundled source by name, a run folder or the model file in one, or a model of the Hugging Face hub."""
    folder = find_model(name)
    config = run_folder.read_config(folder)
    if config.get("method") != "transfer":
        raise UserError(f"{name} holds a {config.get('method')} run; a source must be a transfer run")
    source = _described(name, folder, config)
    weights = load_weights(folder / run_folder.MODEL)
    source = replace(
        source,
        generator={name.removeprefix(GENERATOR_PREFIX): value for name, value in weights.items()},
        critic=load_weights(folder / run_folder.CRITIC),
        feature_critic=load_weights(folder / run_folder.FEATURE_CRITIC) if "feature_critic" in config else {},
    )
    _check_weights(source, folder)
    return source


def source_of_run(out: Path, name: str) -> Source:
    """The source that a run starts from; once the run has a checkpoint, what the run itself says of its networks.

    Then there are no weights in it: they are in the checkpoint, and the source may have moved or gone.
    """
    if not run_folder.has_begun(out):
        return open_source(name)
    return _described(name, out, run_folder.read_config(out))


def check_classes(classes: Any, num_classes: int) -> tuple[str, ...]:
    """The names of the classes, in NFC as those of folders are; a `UserError` unless they are as many names as said."""
    fit = isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes)
    require(fit and len(classes) == num_classes, f"there must be {num_classes} names of classes, got {classes!r:.80}")
    return tuple(unicodedata.normalize("NFC", name) for name in classes)


def _described(name: str, folder: Path, config: Mapping[str, Any]) -> Source:
    """A source without weights, as the description in its folder has it."""
    generator, critic, classes = (config.get(name) for name in ("generator", "critic", "classes"))
    architecture = ARCHITECTURES.get(str(config.get("architecture", "resnet")))
    if architecture and architecture.not_trained:
        raise UserError(f"source {name} cannot be trained further: {architecture.not_trained}")
    if isinstance(generator, dict) and critic is None:
        raise UserError(f"source {name} has no critic to train on: name another")
    named = isinstance(classes, list) and all(isinstance(each, str) for each in classes)
    if not (isinstance(generator, dict) and isinstance(critic, dict) and named):
        raise UserError(f"{folder / run_folder.CONFIG} does not describe a transfer model")
    return Source(
        where=name,
        description={"architecture": "resnet", **config},
        generator_arguments=generator,
        critic_arguments=critic,
        classes=check_classes(classes, len(classes or ())),
        generator={},
        critic={},
        feature_critic={},
    )


def _check_weights(source: Source, folder: Path) -> None:
    """Raise unless the weights are those of the networks that the description names: a run builds the same."""
    where = str(folder / run_folder.CONFIG)
    networks = (source.generator_arguments, source.critic_arguments)
    generator, critic = build_on_paper(
        lambda: new_networks(source.description["architecture"], *networks), where, "a transfer model"
    )
    num_classes = generator.num_classes or source.critic_arguments.get("num_classes", 0)
    check_classes(source.classes, num_classes)
    found: list[tuple[nn.Module, Mapping[str, Tensor]]] = [(generator, source.generator), (critic, source.critic)]
    if source.feature_critic:
        found.append((FeatureCritic(size=generator.size, num_classes=num_classes), source.feature_critic))
    for network, weights in found:
        check_fit(network, weights, f"source {source.where}", "config.json and weights are of different runs")

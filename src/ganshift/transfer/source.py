"""Opening the source that a run starts from (Wang et al. 2018, section 3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import UserError
from ..runtime import run_folder
from ..runtime.weights import load_weights

CRITIC = "critic.safetensors"
"""The critic's weights, beside the model of a transfer run, so that the run can be a source."""
GENERATOR_PREFIX = "generator."
"""What the generator's weights are called in a model file."""


@dataclass(frozen=True)
class Source:
    """A trained generator and critic to start from."""

    where: str
    generator_arguments: Mapping[str, Any]
    critic_arguments: Mapping[str, Any]
    classes: tuple[str, ...]
    generator: Mapping[str, Tensor]
    critic: Mapping[str, Tensor]


def bundled_sources() -> dict[str, Path]:
    """The source models that ship with the package, by name."""
    root = Path(str(resources.files("ganshift") / "sources"))
    return {path.name: path for path in sorted(root.iterdir()) if path.is_dir()} if root.is_dir() else {}


def open_source(name: str) -> Source:
    """Read a bundled source by name, a run folder, or the model file in one."""
    bundled = bundled_sources()
    folder = bundled.get(name) or Path(name)
    if folder.name == run_folder.MODEL:
        folder = folder.parent
    if not folder.is_dir():
        raise UserError(
            f"there is no source {name!r}: give a run folder of ganshift transfer, "
            f"or one of the bundled sources ({', '.join(bundled) or 'none'})"
        )
    config = run_folder.read_config(folder)
    if config.get("method") != "transfer":
        raise UserError(f"{folder} holds a {config.get('method')} run; a source must be a transfer run")
    weights = load_weights(folder / run_folder.MODEL)
    generator, critic, classes = (config.get(name) for name in ("generator", "critic", "classes"))
    if not (isinstance(generator, dict) and isinstance(critic, dict) and isinstance(classes, list)):
        raise UserError(f"{folder / run_folder.CONFIG} does not describe a transfer model")
    return Source(
        where=name,
        generator_arguments=generator,
        critic_arguments=critic,
        classes=tuple(classes),
        generator={name.removeprefix(GENERATOR_PREFIX): value for name, value in weights.items()},
        critic=load_weights(folder / CRITIC),
    )

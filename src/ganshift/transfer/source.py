"""Opening the source that a run starts from (Wang et al. 2018, section 3)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import UserError, first_line
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
    """Read a bundled source by name, a run folder or the model file in one, or a model of the Hugging Face hub."""
    folder = _find(name)
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


def _find(name: str) -> Path:
    """The folder that a source's name stands for."""
    bundled = bundled_sources()
    if name in bundled:
        return bundled[name]
    path = Path(name)
    if path.is_dir():
        return path
    if path.is_file():
        if path.name == run_folder.MODEL:
            return path.parent
        raise UserError(f"--source {name} is no model: give a run folder, or the {run_folder.MODEL} in one")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return _download(name)
    raise UserError(
        f"there is no source {name!r}: give a run folder of ganshift transfer, an owner/model of the Hugging Face hub, "
        f"or one of the bundled sources ({', '.join(bundled) or 'none'})"
    )


def _download(name: str) -> Path:
    """The files of a hub model, from the hub or from its cache on this machine."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(name, allow_patterns=[run_folder.CONFIG, run_folder.MODEL, CRITIC]))
    except (OSError, HfHubHTTPError) as error:
        raise UserError(
            f"source {name!r} is no folder here, and the Hugging Face hub did not give a model of that name "
            f"({first_line(error)}): check the name and the network, or give a run folder"
        ) from None

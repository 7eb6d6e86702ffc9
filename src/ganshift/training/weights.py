"""Reading network weights from safetensors files, with errors a user can act on."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..errors import UserError, first_line
from ..files import open_regular, write_atomically

Built = TypeVar("Built")


def load_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, all finite; other precisions become float32."""
    try:
        open_regular(path).close()
        weights = load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: the run there has not saved a model yet") from None
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path} cannot be read ({first_line(error)}): take another copy, or train its run on to write it again"
        ) from None
    for name, value in weights.items():
        if not value.is_floating_point():
            raise UserError(f"{path} is not a model: its {name} is of type {value.dtype}; train on to write it again")
        weights[name] = value.float()
        if not weights[name].isfinite().all():
            raise UserError(f"{path}: its {name} has values that are not finite; train on, or go back to another model")
    return weights


def save_weights(path: Path, network: nn.Module | Mapping[str, Tensor], prefix: str = "") -> None:
    """Write the weights of a network, or by name, each name behind the prefix, whole or not at all."""
    content = serialised(network, prefix)
    write_atomically(path, lambda beside: beside.write_bytes(content))


def hash_of_weights(network: nn.Module, prefix: str = "") -> str:
    """SHA-256 of the file that `save_weights` would write."""
    return hashlib.sha256(serialised(network, prefix)).hexdigest()


def hash_of_file(*parts: Path) -> str:
    """SHA-256 of a file of weights, as cards have it; of one in parts, of all of them in order."""
    digest = hashlib.sha256()
    for path in parts:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def serialised(network: nn.Module | Mapping[str, Tensor], prefix: str = "") -> bytes:
    """The file that `save_weights` writes."""
    weights = network.state_dict() if isinstance(network, nn.Module) else network
    return save({prefix + name: value.cpu().contiguous() for name, value in weights.items()})


def copy_weights(
    network: nn.Module, weights: Mapping[str, Tensor], where: str, hint: str, assign: bool = False
) -> None:
    """Copy all weights into the network; a `UserError` names the first tensor whose shapes differ.

    `assign` makes the tensors themselves the weights, for a network that was built without memory.
    """
    check_fit(network, weights, where, hint)
    network.load_state_dict(dict(weights), assign=assign)


def check_fit(network: nn.Module, weights: Mapping[str, Tensor], where: str, hint: str) -> None:
    """Raise a `UserError` that names the first tensor whose shapes differ, if one does."""
    own = network.state_dict()
    for name in sorted({*own, *weights}):
        check_shape(own.get(name), weights.get(name), name, where, hint)


def check_shape(ours: Tensor | None, theirs: Tensor | None, name: str, where: str, hint: str) -> None:
    """Raise a `UserError` that names a tensor whose shapes differ, or that one side alone has."""
    needed, there = ("absent" if value is None else tuple(value.shape) for value in (ours, theirs))
    if needed != there:
        raise UserError(f"{where} does not fit: its {name} is {there}, but must be {needed}; {hint}")


def build_on_paper(make: Callable[[], Built], where: str, what: str) -> Built:
    """Build a network without memory from arguments that a file names, so that absurd ones cost nothing.

    A `UserError` that `where` does not describe `what` if they are no arguments of it.
    """
    try:
        with torch.device("meta"):
            return make()
    except Exception as error:  # of wrong types and sizes, constructors raise anything
        raise UserError(f"{where} does not describe {what}: {first_line(error)}") from None

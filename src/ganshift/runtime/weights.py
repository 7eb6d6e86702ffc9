"""Reading network weights from safetensors files, with errors a user can act on."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..errors import UserError
from .checkpoint import write_atomically


def load_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file; half precision becomes float32."""
    try:
        weights = load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: the run there has not saved a model yet") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read ({error}): train on to write it again") from None
    return {name: value.float() for name, value in weights.items()}


def save_weights(path: Path, network: nn.Module, prefix: str = "") -> None:
    """Write a network's weights, each name behind the prefix, whole or not at all."""
    content = _serialised(network, prefix)
    write_atomically(path, lambda beside: beside.write_bytes(content))


def hash_of_weights(network: nn.Module, prefix: str = "") -> str:
    """SHA-256 of the file that `save_weights` would write."""
    return hashlib.sha256(_serialised(network, prefix)).hexdigest()


def _serialised(network: nn.Module, prefix: str) -> bytes:
    return save({prefix + name: value.cpu().contiguous() for name, value in network.state_dict().items()})


def copy_weights(
    network: nn.Module, weights: Mapping[str, Tensor], where: str, hint: str, assign: bool = False
) -> None:
    """Copy all weights into the network; a `UserError` names the first tensor whose shapes differ.

    `assign` makes the tensors themselves the weights, for a network that was built without memory.
    """
    own = network.state_dict()
    for name in sorted({*own, *weights}):
        ours = tuple(own[name].shape) if name in own else "absent"
        theirs = tuple(weights[name].shape) if name in weights else "absent"
        if ours != theirs:
            raise UserError(f"{where} does not fit: its {name} is {theirs}, needed is {ours}; {hint}")
    network.load_state_dict(dict(weights), assign=assign)

"""What a method makes of a published TensorFlow checkpoint, and what a checkpoint is to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from re import Pattern
from typing import Any, TypeVar

import numpy as np
from torch import Tensor, nn

from ..errors import UserError, first_line
from ..training.weights import copy_weights, save_weights

Result = TypeVar("Result")


@dataclass(frozen=True)
class Checkpoint:
    """A published checkpoint that has been read."""

    prefix: Path
    """Its name, without the ending of a file."""
    variables: Mapping[str, np.ndarray]
    """All but those of the optimisers, by full name."""

    def mapped(self, build: Callable[[], Result]) -> Result:
        """What `build` makes of the variables; shapes that no network has become a `UserError`."""
        try:
            return build()
        except UserError as error:
            raise UserError(f"checkpoint {self.prefix}: {error}") from None
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError, ZeroDivisionError) as error:
            raise UserError(
                f"checkpoint {self.prefix} has variables of shapes that no published network has: {first_line(error)}"
            ) from None

    def fill(self, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Copy weights into a network; a `UserError` if they do not fit."""
        copy_weights(network, weights, f"checkpoint {self.prefix}", "no published network has these shapes together")


@dataclass(frozen=True, kw_only=True)
class ImportedRun:
    """A checkpoint as a run."""

    description: Mapping[str, Any]
    """What config.json says of its networks."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """What config.json says of how it was imported, beside the checkpoint's name and hash."""
    write: Callable[[Path], None]
    """Writes the weights into the run folder, which is held and described already; may take a while."""
    found: Sequence[str]
    """Lines that say what the checkpoint holds."""


@dataclass(frozen=True, kw_only=True)
class TensorFlowImport:
    """How a method's published checkpoints become its runs."""

    title: str
    """What its published networks are called."""
    variable: Pattern[str]
    """Found in the name of some variable of each of its checkpoints, and of none of another method's."""
    convert: Callable[[Checkpoint, Sequence[str] | None, bool], ImportedRun]
    """Given a checkpoint, the names of the classes in the order of the published labels, or None for numbers, and
    whether to keep the published order of channels. Raises a `UserError` if the checkpoint is not what it seems."""


def write_weights(path: Path, network: nn.Module, prefix: str = "") -> None:
    """Write a network's weights, each name behind the prefix; a `UserError` where that cannot be."""
    try:
        save_weights(path, network, prefix)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error

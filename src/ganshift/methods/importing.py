"""What a method makes of a published TensorFlow checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from re import Pattern
from typing import Any

import numpy as np

MISFIT = "no published network has these shapes together"
"""What is said of weights that fit no network."""


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
    convert: Callable[[Mapping[str, np.ndarray], Sequence[str] | None, bool], ImportedRun]
    """Given all variables but those of the optimisers, by full name, the names of the classes in the order of the
    published labels, or None for numbers, and whether to keep the published order of channels. What it raises, the
    command says to be the checkpoint's fault."""

"""What a method gives the loop, and what the loop gives back."""

import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from ..tensors import Terms
from .monitor.best import Evaluation


@runtime_checkable
class Stateful(Protocol):
    """Anything a checkpoint has to hold."""

    def state_dict(self) -> dict[str, Any]:
        """What to save."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any:
        """Restore what was saved."""
        ...


@dataclass
class Pace:
    """A factor of all step sizes: halved by each rollback."""

    factor: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a method gives the loop."""

    description: Mapping[str, Any]
    """Content of config.json; its "training" entry holds the settings."""
    images_per_iteration: int
    images_per_epoch: int
    batches: Callable[[int], Generator[Any, None, None]]
    """From the images seen to the endless batches that follow; one batch feeds one iteration."""
    iterate: Callable[[Any, int, int], Terms]
    """One iteration on a batch, given the images seen before it and the budget; returns weighted terms."""
    state: Mapping[str, Stateful]
    """Everything that changes while training, by name."""
    sheets: Callable[[], Mapping[str, np.ndarray]]
    """Sample sheets by name, as uint8 pixels (h, w, c)."""
    export: Callable[[Path], None]
    """Write the files that inference loads into a folder."""
    device: torch.device
    """Where it computes."""
    follows_budget: bool = False
    """Whether a schedule depends on the budget."""
    summary: str = ""
    """What is trained on what, to be said at the start."""
    documents: Mapping[str, str] = field(default_factory=dict)
    """Texts to keep in the run folder, by file name; empty ones are left out."""
    evaluate: Callable[[], Evaluation] | None = None
    """Scores the model; draws nothing that training draws, and leaves the networks as they are."""
    gaps: Sequence[str] = ()
    """The terms that say how far critics tell real from fake."""
    advice: Mapping[str, str] = field(default_factory=dict)
    """Which settings to try, by kind of `Finding`."""
    pace: Pace = field(default_factory=Pace)
    """What step sizes are multiplied by; set by the loop, heeded by `iterate`."""
    micro_batch: Callable[[], int | None] = lambda: None
    """Images that are computed at a time, which may change when memory runs out; None for all of a batch."""


@dataclass(frozen=True)
class Outcome:
    """How a call of `fit` ended."""

    images: int
    """Real images shown, in all sittings."""
    seconds: float
    """Time spent training, in all sittings."""
    stopped_by: signal.Signals | None = None
    """The signal that ended it before the budget was spent."""

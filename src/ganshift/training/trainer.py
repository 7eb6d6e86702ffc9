"""What a method gives the loop: a trainer, which holds everything that a run changes and does one iteration at a time.

A trainer is also there to be used by hand. In a notebook::

    trainer = TransferTrainer.from_config(config)
    batches = trainer.batches(trainer.seen)
    for _ in range(3):
        print(trainer.iteration(next(batches)))
"""

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from ..data.sampling import ORDER
from ..data.value_range import FIND, Wanted, parse_range, stored_range
from ..errors import UserError, first_line
from ..tensors import Terms
from . import run_folder
from .config import RunConfig
from .draws import seed_of
from .grad_accumulation import Updates
from .memory import is_out_of_memory
from .monitor.best import Evaluation
from .precision import precision_on


@runtime_checkable
class Stateful(Protocol):
    """Anything a checkpoint has to hold."""

    def state_dict(self) -> dict[str, Any]:
        """What to save."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any:
        """Restore what was saved."""
        ...


class Trainer(ABC):
    """A run of one method: networks, optimisers and data. The loop (`loop.fit`) knows no more than is declared here."""

    description: Mapping[str, Any]
    """Content of config.json: method, networks with their architecture, data, versions, and the settings under
    "training"."""
    summary: str = ""
    """What is trained on what, to be said at the start."""
    documents: Mapping[str, str] = {}
    """Texts to keep in the run folder, by file name; empty ones are left out."""
    unnamed_architecture: str | None = None
    """The architecture of runs whose `config.json` names none: those of 0.1.0 had one only."""
    update: Updates | None = None
    """What moves the networks, where that is ours."""
    follows_budget: bool = False
    """Whether a schedule depends on the budget."""
    evaluate: Callable[[], Evaluation] | None = None
    """Scores the model, where it can be; draws nothing that training draws, and leaves the networks as they are."""
    gaps: Sequence[str] = ()
    """The terms that say how far critics tell real from fake."""
    advice: Mapping[str, str] = {}
    """Which settings to try, by kind of `monitor.health.Finding`."""

    def __init__(self, config: RunConfig, device: torch.device, images_per_epoch: int) -> None:
        self.config, self.device = config, device
        self.precision = precision_on(device, config.computes_in)
        """What convolutions and products compute in."""
        self.images_per_iteration, self.images_per_epoch = config.images_per_iteration, images_per_epoch
        self.budget = config.budget(config.images_per_iteration, images_per_epoch)
        """Real images to show in all."""
        self.seen = 0
        """Real images shown."""
        self.rollbacks = 0
        """How often the run has gone back after a collapse."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: Any) -> "Trainer":
        """Open the data and build everything that training needs; writes nothing."""

    @abstractmethod
    def batches(self, position: int) -> Generator[Any, None, None]:
        """The endless batches that follow this many images; each feeds one iteration."""

    @abstractmethod
    def run_iteration(self, batch: Any) -> Terms:
        """The method's iteration on a batch: learning rates, the algorithm, averages. Returns weighted loss terms."""

    @abstractmethod
    def parts(self) -> Mapping[str, Stateful]:
        """Everything that changes while training, by its name in checkpoints."""

    @abstractmethod
    def sample_grids(self) -> Mapping[str, np.ndarray]:
        """Grids of samples by name, as uint8 pixels [h, w, c]."""

    @abstractmethod
    def save_model(self, folder: Path) -> None:
        """Write the files that inference loads into a folder."""

    def iteration(self, batch: Any) -> Terms:
        """One iteration, all draws of which follow from the seed, the images seen and the rollbacks.

        It seeds torch's generators. Raises `NonFiniteLoss` if a loss is not finite, before anything has moved along it
        (on CUDA `refuse_failed` does, and until then nothing moves), and a `UserError` if not even one image fits into
        memory.
        """
        again = [self.rollbacks] if self.rollbacks else []
        torch.manual_seed(seed_of(self.config.seed, self.seen, *again))
        try:
            terms = self.run_iteration(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(
                f"out of memory ({first_line(error)}): a smaller --batch, narrower networks or smaller images need less"
            ) from None
        self.seen += self.images_per_iteration
        return terms

    def refuse_failed(self, means: Mapping[str, float]) -> None:
        """Raise `NonFiniteLoss` where an iteration could not, since it did not wait for the device."""
        if self.update is not None:
            self.update.refuse_failed(means)

    @property
    def learning_rate_factor(self) -> float:
        """What learning rates are multiplied by: each rollback halves them."""
        return 0.5**self.rollbacks

    def state_dict(self) -> dict[str, Any]:
        """The states of all parts, by name."""
        return {name: part.state_dict() for name, part in self.parts().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore all parts."""
        for name, part in self.parts().items():
            part.load_state_dict(state[name])


def wanted_range(out: Path, given: str | None, of: str = "images") -> Wanted:
    """How a run reads the values of a set of images: as the run that `out` holds, or else as given, or as it will find.

    A run that is resumed finds nothing anew; what is given for it is compared like other settings.
    """
    if (out / run_folder.CONFIG).exists():
        return stored_range(run_folder.read_config(out), of)
    return FIND if given is None else parse_range(given)


def order_to_json(out: Path) -> dict[str, str]:
    """How a run orders sets of many images (`data.sampling`), as `config.json` keeps it.

    Runs of 0.1.0 say nothing of it, and sort; they go on so.
    """
    return {} if is_of_first_version(out) else {ORDER: "computed"}


def is_of_first_version(out: Path) -> bool:
    """Whether the folder holds a run that 0.1.0 began, which goes on as it was."""
    return (out / run_folder.CONFIG).exists() and ORDER not in run_folder.read_config(out)


@dataclass(frozen=True)
class Outcome:
    """How a call of `fit` ended."""

    images: int
    """Real images shown, in all sittings."""
    seconds: float
    """Time spent training, in all sittings."""
    stopped_by: signal.Signals | None = None
    """The signal that ended it before the budget was spent."""

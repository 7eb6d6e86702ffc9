"""The training runs that are measured: the published ones, on pictures that packages ship."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring import Action
from ganshift.methods.dual.config import PRESETS as DUAL_PRESETS
from ganshift.methods.dual.config import DualConfig
from ganshift.methods.registry import method_of
from ganshift.methods.transfer.config import PRESETS as TRANSFER_PRESETS
from ganshift.methods.transfer.config import TransferConfig
from ganshift.training.config import RunConfig
from ganshift.training.loop import arithmetic
from ganshift.training.trainer import Trainer

BUDGET = 10**9
"""Far away, so that no schedule changes anything."""


@dataclass(frozen=True)
class Case:
    """One training run, as settings of its method, without evaluations; `quick` makes a small one of it."""

    method: str
    settings: dict[str, Any]
    quick: dict[str, Any]

    def config(self, folder: Path, quick: bool, **more: Any) -> TransferConfig | DualConfig:
        """The run on the pictures that `write_pictures` puts below a folder."""
        settings = {**self.settings, "evaluate_every": 0, **(self.quick if quick else {}), **more}
        if self.method == "transfer":
            return TransferConfig(**settings, data=folder / "classes", out=folder / "out")
        return DualConfig(**settings, data=folder / "domains", out=folder / "out")


_NARROW = {"generator_width": 8, "critic_width": 8}
CASES = {
    "transfer32": Case(
        "transfer",
        TRANSFER_PRESETS["cifar10"] | {"as_published": True},
        {**_NARROW, "batch": 8},
    ),
    "transfer64": Case(
        "transfer",
        TRANSFER_PRESETS["authors64"] | {"conditioning": "acgan", "as_published": True},
        {**_NARROW, "batch": 2},
    ),
    "dual256": Case("dual", DUAL_PRESETS["sketch-photo"] | {"as_published": True, "ema_images": 0}, _NARROW),
}
"""As published: 32 px, width 128, batch 64, the penalty counted twice; 64 px, width 64, batch 16; 256 px, batch 1."""


def trainer_of(config: RunConfig) -> Trainer:
    """What the loop would be given."""
    return method_of(config).trainer().from_config(config)


def iteration(trainer: Trainer) -> Action:
    """One iteration of a run on a batch of its own, as it is in the middle of the run; waits for its terms."""
    batch = next(trainer.batches(0))
    trainer.budget, trainer.seen = BUDGET, trainer.images_per_iteration

    def once() -> None:
        with arithmetic(trainer):
            for term in trainer.iteration(batch).values():
                term.item()

    return once

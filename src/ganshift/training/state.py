"""Where a run stands: what a checkpoint holds beside the networks and optimisers of the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..tensors import Terms
from . import background, checkpoint, run_folder
from .distributed import is_first
from .monitor.best import Scores
from .monitor.health import Health
from .trainer import Trainer


@dataclass
class Means:
    """Running means of named terms since the last line of the log."""

    sums: dict[str, list[float]] = field(default_factory=dict)
    _unread: list[tuple[Sequence[str], Tensor]] = field(default_factory=list)

    def add(self, terms: Terms) -> None:
        """Count one more value of each term; waits for no device."""
        if terms:
            self._unread.append((tuple(terms), torch.stack(tuple(terms.values()))))

    def read(self) -> dict[str, float]:
        """The means so far; waits for the device that computes them."""
        if self._unread:
            values = iter(torch.cat([values for _, values in self._unread]).tolist())
            for name in (name for names, _ in self._unread for name in names):
                total, count = self.sums.get(name, (0.0, 0.0))
                self.sums[name] = [total + next(values), count + 1]
            self._unread.clear()
        return {name: total / count for name, (total, count) in self.sums.items()}

    def state_dict(self) -> dict[str, list[float]]:
        """The sum and the number of values of each term."""
        self.read()
        return self.sums

    def take(self) -> dict[str, float]:
        """Return the means and start over."""
        means = self.read()
        self.sums = {}
        return means


class TrainState:
    """What the loop keeps of a run beside the trainer: time spent, terms to be logged, health and scores."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.seconds = 0.0
        """Time spent training, in all sittings."""
        self.means = Means()
        self.health = Health()
        self.scores = Scores()
        self.writing = background.Background(background.writes_in_thread(trainer.device))
        """Writes checkpoints."""

    def content(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "budget": self.trainer.budget,
            "seconds": self.seconds,
            "means": self.means.state_dict(),
            "state": self.trainer.state_dict(),
            "health": self.health.state_dict(),
            "scores": self.scores.state_dict(),
        }

    def load(self, content: Mapping[str, Any], where: Path) -> None:
        """Restore everything; runs begun before there were scores and health have none yet.

        A `UserError` that names the folder `where` if this is the checkpoint of something else.
        """
        checkpoint.restore(self.trainer.parts(), content, where)
        self.trainer.seen = content["images"]
        self.seconds, self.means = content["seconds"], Means(content["means"])
        if "health" in content:
            checkpoint.restore({"health": self.health, "scores": self.scores}, {**content, "state": content}, where)
        self.trainer.rollbacks = self.health.rollbacks

    def return_to(self, content: Mapping[str, Any], where: Path) -> None:
        """Roll back to a checkpoint: what was said, the best that was kept and the time spent stay."""
        messages, rollbacks = self.health.messages, self.health.rollbacks
        best, seconds = self.scores.best, self.seconds
        self.load(content, where)
        self.health.messages, self.health.rollbacks = messages, rollbacks + 1
        self.scores.best, self.seconds = best, seconds
        self.trainer.rollbacks = self.health.rollbacks

    def write_messages(self, out: Path) -> None:
        """Keep what was said in the run folder, once there is something, as far as the run has come."""
        path = out / run_folder.HEALTH
        if not is_first():
            return
        if self.health.messages or path.exists():
            run_folder.write_json(path, {"rollbacks": self.health.rollbacks, "messages": self.health.messages})

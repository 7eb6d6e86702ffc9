"""How fast a run trains on this machine, found by training for a few seconds and keeping nothing."""

import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import final

import torch

from ..errors import UserError
from .loop import arithmetic
from .memory import keep_freed_memory
from .optim import NonFiniteLoss
from .trainer import Trainer

_NO_BUDGET = sys.maxsize
"""In images; schedules then stand still, which changes no iteration's cost."""


@final
@dataclass(frozen=True)
class Throughput:
    """Time per iteration, data loading included; sample grids and checkpoints come on top."""

    images: int
    """Real images that were shown while the time was taken."""
    seconds: float
    """How long that took."""

    @property
    def images_per_second(self) -> float:
        """Real images shown in a second."""
        return self.images / self.seconds

    @property
    def seconds_per_1000_images(self) -> float:
        """Seconds it takes to show a thousand real images."""
        return 1000 * self.seconds / self.images


def throughput(
    trainer: Trainer, seconds: int | float = 5.0, clock: Callable[[], float] = time.perf_counter
) -> Throughput:
    """Time whole iterations of a trainer until `seconds` have passed; writes no file, and the trainer moves on.

    The first iteration warms up and is not counted, unless it alone takes that long. The global random state stays as
    it was. A `UserError` says why these settings could not train.
    """
    keep_freed_memory()
    trainer.budget = _NO_BUDGET
    trainer.seen = trainer.images_per_iteration  # the second iteration: in the first one, a generator may rest
    with closing(trainer.batches(trainer.seen)) as batches, arithmetic(trainer):

        def go_on() -> None:
            try:
                terms = trainer.iteration(next(batches))
            except NonFiniteLoss as error:
                raise UserError(
                    f"training stops at {trainer.seen:,} images: {error}; try smaller learning rates"
                ) from None
            torch.stack(tuple(terms.values())).tolist()  # waits for the device

        began = clock()
        go_on()
        passed = clock() - began
        if passed >= seconds:
            return Throughput(trainer.images_per_iteration, passed)
        warm, began, passed = trainer.seen, clock(), 0.0
        while passed < seconds:
            go_on()
            passed = clock() - began
        return Throughput(trainer.seen - warm, passed)

"""How fast a run would train on this machine, found by training for a few seconds and keeping nothing."""

import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import final

from ..errors import UserError
from ..methods.dual.config import DualConfig
from ..methods.transfer.config import TransferConfig
from .config import RunConfig
from .log import quiet
from .loop import iterate, training_ground
from .memory import keep_freed_memory
from .optim import NonFiniteLoss
from .state import Means
from .trainer import Job

_NO_BUDGET = sys.maxsize
"""In images; schedules then stand still, which changes no iteration's cost."""


@final
@dataclass(frozen=True)
class Pace:
    """What iterations cost, reading of images included; sample sheets and checkpoints come on top."""

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


def pace(config: TransferConfig | DualConfig, seconds: int | float = 5.0) -> Pace:
    """Open the data, build the networks and time whole iterations until `seconds` have passed; writes no file.

    The first iteration warms up and is not counted, unless it alone takes that long. The global random state stays as
    it was. A `UserError` says why these settings could not train.
    """
    keep_freed_memory()
    with quiet():  # what is said when opening belongs to a run
        return time_iterations(config, new_job(replace(config, evaluate_every=0)), seconds)


def time_iterations(
    config: RunConfig, job: Job, seconds: int | float, clock: Callable[[], float] = time.perf_counter
) -> Pace:
    """Time iterations of a job, as `pace` does; its state moves on."""
    seen = job.images_per_iteration  # the second iteration: in the first of a transfer run, the generator rests
    with closing(job.batches(seen)) as batches, training_ground(config, job):

        def go_on() -> None:
            nonlocal seen
            try:
                terms = iterate(config, job, next(batches), seen, _NO_BUDGET)
            except NonFiniteLoss as error:
                raise UserError(f"training stops at {seen:,} images: {error}; try smaller learning rates") from None
            Means().add(terms)  # waits for the device, as the loop does for its log
            seen += job.images_per_iteration

        began = clock()
        go_on()
        passed = clock() - began
        if passed >= seconds:
            return Pace(job.images_per_iteration, passed)
        warm, began, passed = seen, clock(), 0.0
        while passed < seconds:
            go_on()
            passed = clock() - began
        return Pace(seen - warm, passed)


def new_job(config: TransferConfig | DualConfig) -> Job:
    """Open the data and build what the loop needs, whichever method the settings are of; writes nothing."""
    if isinstance(config, TransferConfig):
        from ..methods.transfer.trainer import new_job as new_transfer_job

        return new_transfer_job(config)
    from ..methods.dual.trainer import new_job as new_dual_job

    return new_dual_job(config)

"""The one training loop: budget, cadences, log, checkpoints, resume and interruption. It knows no GAN.

Every random draw of an iteration follows from (seed, images seen), so that running the same command again goes on
exactly where the last checkpoint stood, and nothing has to be replayed.
"""

import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image

from ..errors import UserError
from ..tensors import Terms
from . import checkpoint, run_folder
from .config import RunConfig
from .log import ProgressLine, RunLog, say
from .optim import NonFiniteLoss

SHOWN_TERMS = 4
"""How many loss terms fit on the progress line."""


@runtime_checkable
class Stateful(Protocol):
    """Anything a checkpoint has to hold."""

    def state_dict(self) -> dict[str, Any]:
        """What to save."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any:
        """Restore what was saved."""
        ...


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


@dataclass(frozen=True)
class Outcome:
    """How a call of `fit` ended."""

    images: int
    """Real images shown, in all sittings."""
    seconds: float
    """Time spent training, in all sittings."""
    stopped_by: signal.Signals | None = None
    """The signal that ended it before the budget was spent."""


@dataclass
class Means:
    """Running means of named terms since the last line of the log."""

    sums: dict[str, list[float]] = field(default_factory=dict)

    def add(self, terms: Terms) -> None:
        """Count one more value of each term."""
        for name, value in terms.items():
            total, count = self.sums.get(name, (0.0, 0.0))
            self.sums[name] = [total + value.item(), count + 1]

    def take(self) -> dict[str, float]:
        """Return the means and start over."""
        means = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        return means


def fit(config: RunConfig, job: Job) -> Outcome:
    """Train until the budget is spent or a signal asks to stop; resume if the run folder holds a checkpoint."""
    budget = config.budget(job.images_per_iteration, job.images_per_epoch)
    run_folder.claim(config.out, job.description)
    seen, seconds, means = _resume(config.out, job)
    if seen >= budget:
        say(f"{config.out} already has {seen:,} of {budget:,} images: nothing to do. A larger budget trains on.")
        return Outcome(seen, seconds)

    def save() -> None:
        state = {name: part.state_dict() for name, part in job.state.items()}
        checkpoint.save(
            config.out / run_folder.CHECKPOINTS,
            seen,
            {"seconds": seconds, "means": means.sums, "state": state},
            config.keep_checkpoints,
        )
        job.export(config.out)

    with (
        closing(RunLog(config.out, seen)) as log,
        closing(job.batches(seen)) as batches,
        torch.random.fork_rng(),
        _stop_signals() as stop,
        ProgressLine(config.out.name, budget, seen) as progress,
    ):
        if seen == 0:
            _write_sheets(config.out, job, log, seen)
        while seen < budget and not stop:
            batch = next(batches)
            started = time.monotonic()
            torch.manual_seed(_seed_of(config.seed, seen))
            try:
                terms = job.iterate(batch, seen, budget)
            except NonFiniteLoss as error:
                raise UserError(f"stopped at {seen:,} images: {error}. {_what_is_saved(config.out)}") from None
            seconds += time.monotonic() - started
            before, seen = seen, seen + job.images_per_iteration
            last = seen >= budget
            means.add(terms)
            note = ""
            if last or _crossed(config.log_every, before, seen):
                line = means.take()
                log.write(seen, line, iteration=seen // job.images_per_iteration, seconds=round(seconds, 3))
                note = "  ".join(f"{name} {value:.3g}" for name, value in list(line.items())[:SHOWN_TERMS])
            progress.update(seen, note)
            if last or _crossed(config.sample_every, before, seen):
                _write_sheets(config.out, job, log, seen)
            if last or stop or _crossed(config.checkpoint_every, before, seen):
                save()
    if stop:
        say(f"stopped by {stop[0].name} at {seen:,} of {budget:,} images; saved. The same command goes on from here.")
    return Outcome(seen, seconds, stop[0] if stop else None)


def _crossed(every: int, before: int, seen: int) -> bool:
    """Whether a multiple of `every` images was reached since `before`."""
    return seen // every > before // every


def _resume(out: Path, job: Job) -> tuple[int, float, Means]:
    content = checkpoint.load_latest(out / run_folder.CHECKPOINTS)
    if content is None:
        return 0, 0.0, Means()
    for name, part in job.state.items():
        part.load_state_dict(content["state"][name])
    say(f"resuming {out} at {content['images']:,} images")
    return content["images"], content["seconds"], Means(content["means"])


def _write_sheets(out: Path, job: Job, log: RunLog, seen: int) -> None:
    folder = out / run_folder.SAMPLES
    folder.mkdir(exist_ok=True)
    for name, pixels in job.sheets().items():
        path = folder / f"{name}-{seen:012d}.png"
        picture = Image.fromarray(pixels)
        checkpoint.write_atomically(path, partial(picture.save, format="png"))
        log.image(name, pixels, seen)


def _seed_of(seed: int, seen: int) -> int:
    """A 63-bit seed for the iteration that starts at `seen` images; neighbours get unrelated ones."""
    return int(np.random.SeedSequence([seed, seen]).generate_state(1, np.uint64)[0] >> 1)


def _what_is_saved(out: Path) -> str:
    saved = (out / run_folder.CHECKPOINTS).is_dir()
    return "The checkpoint before it is kept" if saved else "No checkpoint was due yet"


@contextmanager
def _stop_signals() -> Iterator[list[signal.Signals]]:
    """Collect SIGINT and SIGTERM in a list instead of dying in the middle of an update; the second one does end it."""
    received: list[signal.Signals] = []

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(signal.Signals(number))
        say("stopping after this iteration (again to stop at once)")

    if threading.current_thread() is not threading.main_thread():
        yield received  # signals reach the main thread only
        return
    before = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

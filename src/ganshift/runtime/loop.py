"""The one training loop: budget, cadences, log, checkpoints, resume and interruption. It knows no GAN.

Every random draw of an iteration follows from (seed, images seen), so that running the same command again goes on
exactly where the last checkpoint stood, and nothing has to be replayed.
"""

import errno
import logging
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
from .distributed import any_has, from_first, is_first, world_size
from .fast import begin_iteration, fast_arithmetic
from .log import NoLog, ProgressLine, RunLog, say
from .memory import keep_freed_memory
from .optim import NonFiniteLoss
from .shares import seed_of

WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
"""What the system says when a disk is full, read-only, not ours, or failing."""
logger = logging.getLogger("ganshift")

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
    device: torch.device
    """Where it computes."""
    follows_budget: bool = False
    """Whether a schedule depends on the budget."""
    summary: str = ""
    """What is trained on what, to be said at the start."""
    documents: Mapping[str, str] = field(default_factory=dict)
    """Texts to keep in the run folder, by file name; empty ones are left out."""


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

    def read(self) -> dict[str, float]:
        """The means so far."""
        return {name: total / count for name, (total, count) in self.sums.items()}

    def take(self) -> dict[str, float]:
        """Return the means and start over."""
        means = self.read()
        self.sums = {}
        return means


def fit(config: RunConfig, job: Job) -> Outcome:
    """Train until the budget is spent or a signal asks to stop; resume if the run folder holds a checkpoint."""
    keep_freed_memory()
    try:
        return _fit(config, job)
    except OSError as error:
        if error.errno not in WRITE_ERRORS:
            raise
        raise UserError(
            f"cannot write to {config.out}: {error.strerror}; what was saved before is kept. "
            "Make room and give the same command again"
        ) from None


def _fit(config: RunConfig, job: Job) -> Outcome:
    budget = config.budget(job.images_per_iteration, job.images_per_epoch)
    from_first(partial(_claim, config, job))
    _refuse_other_data(job)
    seen, seconds, means = _resume(config.out, job, budget)
    saved_at = seen
    if seen >= budget:
        if is_first() and not (config.out / run_folder.MODEL).exists():
            job.export(config.out)
        say(f"{config.out} already has {seen:,} of {budget:,} images: nothing to do. A larger budget trains on.")
        return Outcome(seen, seconds)

    def write() -> None:
        state = {name: part.state_dict() for name, part in job.state.items()}
        content = {"budget": budget, "seconds": seconds, "means": means.sums, "state": state}
        job.export(config.out)  # first, so that a checkpoint never stands beside an older model
        checkpoint.save(config.out / run_folder.CHECKPOINTS, seen, content, config.keep_checkpoints)

    def save() -> int:
        from_first(write)
        return seen

    if job.summary:
        say(f"{job.summary}: {budget:,} images to show, {seen:,} done")
    with (
        closing(RunLog(config.out, seen) if is_first() else NoLog()) as log,
        closing(job.batches(seen)) as batches,
        _own_randomness(job.device),
        fast_arithmetic(job.device, config.fast),
        _stop_signals() as stop,
        ProgressLine(config.out.name, budget, seen) as progress,
    ):
        if seen == 0:
            from_first(partial(_write_sheets, config.out, job, log, seen))
        while seen < budget and not any_has(bool(stop), job.device):
            batch = next(batches)
            started = time.monotonic()
            torch.manual_seed(seed_of(config.seed, seen))
            begin_iteration(job.device, config.fast)
            try:
                terms = job.iterate(batch, seen, budget)
            except NonFiniteLoss as error:
                raise UserError(f"stopped at {seen:,} images: {error}. {_what_is_saved(config.out)}") from None
            seconds += time.monotonic() - started
            before, seen = seen, seen + job.images_per_iteration
            last = seen >= budget
            means.add(terms)
            note = _shown(means.read()) if before == 0 else ""
            if last or _crossed(config.log_every, before, seen):
                line = means.take()
                log.write(seen, line, iteration=seen // job.images_per_iteration, seconds=round(seconds, 3))
                note = _shown(line)
            progress.update(seen, note)
            if last or _crossed(config.sample_every, before, seen):
                from_first(partial(_write_sheets, config.out, job, log, seen))
            if last or _crossed(config.checkpoint_every, before, seen):
                saved_at = save()
        if saved_at < seen:
            save()
    if seen < budget:
        kept = "saved" if seen else "nothing to save yet"
        signals = from_first(lambda: stop) or [signal.SIGTERM]  # another process may have been asked to
        where = f"{seen:,} of {budget:,} images"
        say(f"stopped by {signals[0].name} at {where}; {kept}. The same command goes on from here.")
        return Outcome(seen, seconds, signals[0])
    return Outcome(seen, seconds)


def _shown(terms: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3g}" for name, value in list(terms.items())[:SHOWN_TERMS])


def _crossed(every: int, before: int, seen: int) -> bool:
    """Whether a multiple of `every` images was reached since `before`."""
    return seen // every > before // every


def _claim(config: RunConfig, job: Job) -> None:
    """Make the run folder this run's."""
    run_folder.claim(config.out, job.description, config.defaults())
    for name, text in job.documents.items():
        if text:
            run_folder.write_text(config.out / name, text)


def _refuse_other_data(job: Job) -> None:
    """Raise if this process sees other images than the first, which may be on another host."""
    data = job.description.get("data")
    if data != from_first(lambda: data):
        raise UserError(
            "the images that this process finds are others than those of the first process: copy the same files "
            "to the same place on every host"
        )


def _resume(out: Path, job: Job, budget: int) -> tuple[int, float, Means]:
    content = from_first(lambda: checkpoint.load_latest(out / run_folder.CHECKPOINTS))
    if content is None:
        if world_size() > 1:  # wherever another process got its start from, it begins as the first one does
            _load(job, from_first(lambda: {name: part.state_dict() for name, part in job.state.items()}))
        return 0, 0.0, Means()
    _load(job, content["state"])
    seen = content["images"]
    say(f"resuming {out} at {seen:,} images")
    if job.follows_budget and budget != content["budget"] and seen < budget:
        logger.warning(
            "the budget was %s images and is %s: the learning rate's decay now ends there, so that this run "
            "will not equal one that had this budget from the start",
            f"{content['budget']:,}",
            f"{budget:,}",
        )
    return seen, content["seconds"], Means(content["means"])


def _load(job: Job, state: Mapping[str, Any]) -> None:
    for name, part in job.state.items():
        part.load_state_dict(state[name])


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Leave the caller's random generators as they were, on the CPU and on the device that is used."""
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"):
        yield


def _write_sheets(out: Path, job: Job, log: RunLog | NoLog, seen: int) -> None:
    folder = out / run_folder.SAMPLES
    folder.mkdir(exist_ok=True)
    for name, pixels in job.sheets().items():
        path = folder / f"{name}-{seen:012d}.png"
        picture = Image.fromarray(pixels)
        checkpoint.write_atomically(path, partial(picture.save, format="png"))
        log.image(name, pixels, seen)


def _what_is_saved(out: Path) -> str:
    saved = any((out / run_folder.CHECKPOINTS).glob("*.pt"))
    kept = "The checkpoint before it is kept" if saved else "No checkpoint was due yet"
    return f"{kept}; try smaller learning rates in a new --out"


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

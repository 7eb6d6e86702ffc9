"""The one training loop: budget, cadences, log, evaluations, checkpoints, resume and interruption. It knows no GAN.

Every random draw of an iteration follows from (seed, images seen, rollbacks), so that running the same command again
goes on exactly where the last checkpoint stood, and nothing has to be replayed. After a rollback the learning rates are
halved and the draws are others, so that a collapse is not replayed either.
"""

import errno
import logging
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from PIL import Image

from ..errors import UserError
from ..files import write_atomically
from ..tensors import Terms
from . import checkpoint, run_folder
from .cadence import Cadence, crossed
from .config import RunConfig
from .distributed import any_has, from_first, is_first, world_size
from .log import ProgressLine, RunLog, say
from .memory import keep_freed_memory
from .monitor.best import mend_best, write_best
from .monitor.health import Finding, gradient_norms
from .optim import NonFiniteLoss
from .precision import computing_in, same_bits
from .signals import collected_signals
from .state import TrainState
from .trackers import require_packages
from .trainer import Outcome, Trainer

WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
"""What the system says when a disk is full, read-only, not ours, or failing."""
AGREE_EVERY = 16
"""Iterations after which processes with accelerators tell each other of requests to stop."""
SHOWN_TERMS = 4
"""How many loss terms fit on the progress line."""
MOST_ROLLBACKS = 3
"""A run that collapses once more needs other settings."""
_NEW_OUT = "try smaller learning rates in a new --out"
logger = logging.getLogger("ganshift")


class Collapse(Exception):  # noqa: N818 - it says what happened, and never leaves this file
    """The run is to go back to its last healthy checkpoint."""


def fit(trainer: Trainer) -> Outcome:
    """Train until the budget is spent, a signal asks to stop or training is no longer worth it; resume if possible."""
    out = trainer.config.out
    from_first(partial(require_packages, trainer.config.trackers))
    keep_freed_memory()
    try:
        with ExitStack() as stack:
            from_first(lambda: stack.enter_context(run_folder.held(out)))
            return _fit(trainer)
    except OSError as error:
        if error.errno not in WRITE_ERRORS:
            raise
        raise UserError(
            f"cannot write to {out}: {error.strerror}; what was saved before is kept. "
            "Make room and give the same command again"
        ) from None


def _fit(trainer: Trainer) -> Outcome:
    config, out, budget = trainer.config, trainer.config.out, trainer.budget
    from_first(partial(_claim, trainer))
    _refuse_other_data(trainer)
    state = _resume(trainer)
    if trainer.seen >= budget:
        if is_first() and not (out / run_folder.MODEL).exists():
            trainer.save_model(out)
        say(f"{out} already has {trainer.seen:,} of {budget:,} images: nothing to do. A larger budget trains on.")
        return Outcome(trainer.seen, state.seconds)
    if trainer.summary:
        say(f"{trainer.summary}: {budget:,} images to show, {trainer.seen:,} done")
    with arithmetic(trainer), collected_signals(_tell_of_stop) as stop, state.writing.until_done():
        while trainer.seen < budget and not _agreed(stop, trainer) and not _enough(config, state):
            try:
                _sit(trainer, state, stop)
            except Collapse as collapse:
                _roll_back(trainer, state, str(collapse))
        stopped_by = stop[0] if stop else None
    if trainer.seen < budget and stopped_by:
        kept = "saved" if trainer.seen else "nothing to save yet"
        say(
            f"stopped by {stopped_by.name} at {trainer.seen:,} of {budget:,} images; {kept}. "
            "The same command goes on from here."
        )
        return Outcome(trainer.seen, state.seconds, stopped_by)
    if trainer.seen < budget:
        say(
            f"stopped at {trainer.seen:,} images: {state.scores.in_words()}. The best is in {out / run_folder.BEST}. "
            "The same command with --when-stalled advise trains on."
        )
    elif state.scores.best is not None and state.scores.best["images"] < trainer.seen:
        say(f"{state.scores.best_in_words()}: it is in {out / run_folder.BEST}")
    return Outcome(trainer.seen, state.seconds)


def _sit(trainer: Trainer, state: TrainState, stop: list[signal.Signals]) -> None:
    """Train from where the run stands until the budget is spent or something ends it."""
    config, budget = trainer.config, trainer.budget
    saved_at, already = trainer.seen, state.seconds
    share = 1.0 if trainer.device.type == "cpu" else config.overhead
    evaluations = Cadence(config.evaluate_every, share)
    grids, checkpoints = Cadence(config.sample_every, share), Cadence(config.checkpoint_every, share)
    optimizers = {name: part for name, part in trainer.parts().items() if isinstance(part, torch.optim.Optimizer)}
    with (
        _open_log(trainer) as log,
        closing(trainer.batches(trainer.seen)) as batches,
        ProgressLine(config.out.name, budget, trainer.seen) as progress,
    ):
        if trainer.seen == 0:
            from_first(partial(_write_grids, trainer, log))
            if config.on_collapse == "rollback":
                _save(trainer, state)
        while trainer.seen < budget and not _agreed(stop, trainer) and not _enough(config, state):
            # What is due after this iteration.
            before, seen = trainer.seen, trainer.seen + trainer.images_per_iteration
            last = seen >= budget
            logs = last or crossed(config.log_every, before, seen)
            trained = state.seconds - already
            evaluates = _evaluates(trainer) and (last or evaluations.is_due(before, seen, trained))
            samples = last or grids.is_due(before, seen, trained)
            saves = last or checkpoints.is_due(before, seen, trained)

            # The iteration. To look at what it did is to wait for the device.
            batch = next(batches)
            started = time.monotonic()
            with gradient_norms(optimizers if logs else {}) as norms:
                terms = _iterate(trainer, state, batch)
            state.means.add(terms)
            state.means.add(norms)
            note = ""
            if before == 0 or logs or evaluates or samples or saves:
                note = _shown(_look(trainer, state))
            state.seconds += time.monotonic() - started

            # Log, scores, and what they say of the run's health.
            wrong: list[tuple[Finding, str]] = []
            if logs:
                line = state.means.take()
                micro_batch = trainer.update.micro_batch if trainer.update else None
                more = {} if micro_batch is None else {"micro_batch": micro_batch}
                iteration = seen // trainer.images_per_iteration
                if log:
                    log.write(seen, line, iteration=iteration, seconds=round(state.seconds, 3), **more)
                found = state.health.of_line(line, trainer.gaps)
                wrong += state.health.assess(seen, found, "log", trainer.advice, decides=not _evaluates(trainer))
            if evaluates:
                with evaluations.timed():
                    wrong += _evaluate(trainer, state, log)
            progress.update(seen, note)

            # Samples and checkpoints.
            if samples:
                with grids.timed():
                    from_first(partial(_write_grids, trainer, log))
            if wrong:
                _react(trainer, state, wrong)
            if saves:
                with checkpoints.timed():
                    saved_at = _save(trainer, state)
        if saved_at < trainer.seen:
            _look(trainer, state)
            _save(trainer, state)


@contextmanager
def _open_log(trainer: Trainer) -> Iterator[RunLog | None]:
    """The log, which the first process alone keeps; what keeps it from opening ends all."""
    config, logs = trainer.config, []
    from_first(lambda: logs.append(RunLog(config.out, trainer.seen, config.trackers, config.to_json())))
    with closing(logs[0]) if logs else nullcontext() as log:
        yield log


@contextmanager
def arithmetic(trainer: Trainer) -> Iterator[None]:
    """Compute as the settings say, and leave the process's arithmetic and random generators as they were."""
    device = trainer.device
    devices = [] if device.type == "cpu" else [device]
    with (
        torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"),
        computing_in(trainer.precision, device),
        same_bits(trainer.config.deterministic),
    ):
        yield


def _iterate(trainer: Trainer, state: TrainState, batch: Any) -> Terms:
    with _finite(trainer, state):
        return trainer.iteration(batch)


def _look(trainer: Trainer, state: TrainState) -> Mapping[str, float]:
    """The means of all terms since the last line of the log."""
    means = state.means.read()
    with _finite(trainer, state):
        trainer.refuse_failed(means)
    return means


@contextmanager
def _finite(trainer: Trainer, state: TrainState) -> Iterator[None]:
    """Go back, or stop, if a loss inside the block is not finite."""
    try:
        yield
    except NonFiniteLoss as error:
        if trainer.config.on_collapse == "rollback":
            raise Collapse(f"{state.health.say(trainer.seen, 'not finite', str(error))}.") from None
        state.writing.wait()
        saved = any((trainer.config.out / run_folder.CHECKPOINTS).glob("*.pt"))
        kept = "The checkpoint before it is kept" if saved else "No checkpoint was due yet"
        raise UserError(f"stopped at {trainer.seen:,} images: {error}. {kept}; {_NEW_OUT}") from None


def _evaluates(trainer: Trainer) -> bool:
    return trainer.evaluate is not None and trainer.config.evaluate_every > 0


def _evaluate(trainer: Trainer, state: TrainState, log: RunLog | None) -> list[tuple[Finding, str]]:
    """Score the model, keep it if it is the best, say how it went; returns what is wrong with it."""
    out, seen = trainer.config.out, trainer.seen
    started = time.monotonic()
    assert trainer.evaluate, "_evaluates says so"
    mine = trainer.evaluate()  # all share the work
    found = from_first(lambda: mine)  # and go on from the same numbers
    seconds = round(time.monotonic() - started, 3)
    score = {"name": found.name, "value": found.value, "error": found.error}
    signs = {**{f"diversity/{name}": value for name, value in found.diversity.items()}, **found.signs}
    line = {"images": seen, "seconds": seconds, "score": score, "signs": signs, "cards": list(found.records)}
    if log:
        log.write_evaluation(line)
    findings = state.health.of_evaluation(found.diversity, found.findings)
    wrong = state.health.assess(seen, findings, "evaluation", trainer.advice, decides=True)
    is_best = state.scores.add(seen, found)
    if is_best:
        content = state.content()
        from_first(partial(write_best, out, seen, line, content, trainer.save_model))
    say(f"{seen:,} images: {found.in_words()}{', the best so far' if is_best else ''}")
    if state.scores.to_be_told:
        said = state.health.say(seen, "stalled", f"{state.scores.in_words()}.")
        if trainer.config.when_stalled == "advise":
            say(f"advice {said} The best is in {out / run_folder.BEST}.", always=True)
    state.write_messages(out)
    return wrong


def _react(trainer: Trainer, state: TrainState, wrong: list[tuple[Finding, str]]) -> None:
    """Do about what is wrong what the settings say."""
    config = trainer.config
    state.write_messages(config.out)
    messages = " And ".join(message for _, message in wrong)
    if config.on_collapse == "rollback" and any(finding.going_back_helps for finding, _ in wrong):
        raise Collapse(messages)
    if config.on_collapse == "stop":
        _save(trainer, state)
        raise UserError(
            f"stopped on signs of collapse {messages} Other settings need a new --out; the same command with "
            "--on-collapse advise goes on as it is"
        )
    say(f"warning: signs of collapse {messages}", always=True)


def _roll_back(trainer: Trainer, state: TrainState, messages: str) -> None:
    """Take up the last healthy checkpoint, with half the learning rates; the newer ones are deleted."""
    folder = trainer.config.out / run_folder.CHECKPOINTS
    from_first(state.writing.wait)
    healthy = from_first(lambda: checkpoint.newest_of(folder, state.health.healthy_at))
    if state.health.rollbacks >= MOST_ROLLBACKS:
        raise UserError(
            f"stopped on signs of collapse {messages} Going back {MOST_ROLLBACKS} times did not help: {_NEW_OUT}"
        )
    if healthy is None:
        raise UserError(
            f"stopped on signs of collapse {messages} There is no healthy checkpoint to go back to: {_NEW_OUT}"
        )

    def go_back() -> dict[str, Any] | None:
        checkpoint.drop_after(folder, healthy)
        return checkpoint.load_latest(folder)

    content = from_first(go_back)
    assert content is not None
    collapsed_at = trainer.seen
    state.return_to(content, folder)
    state.health.say(
        collapsed_at,
        "rollback",
        f"back to {trainer.seen:,} images, with learning rates times {trainer.learning_rate_factor:g} "
        f"(rollback {trainer.rollbacks} of {MOST_ROLLBACKS})",
    )
    _save(trainer, state)
    state.write_messages(trainer.config.out)
    say(f"signs of collapse {messages} Going {state.health.messages[-1]['message']}", always=True)


def _save(trainer: Trainer, state: TrainState) -> int:
    config, seen, writing = trainer.config, trainer.seen, state.writing

    def write() -> None:
        writing.wait()
        trainer.save_model(config.out)  # first, so that a checkpoint never stands beside an older model
        healthy_at = state.health.healthy_at if config.on_collapse == "rollback" else None
        folder = config.out / run_folder.CHECKPOINTS
        content = checkpoint.packed(seen, state.content()) if writing.in_thread else state.content()
        writing.start(partial(checkpoint.save, folder, seen, content, config.keep_checkpoints, healthy_at))

    from_first(write)
    return seen


def _enough(config: RunConfig, state: TrainState) -> bool:
    """Whether the settings say to stop, since training no longer helps."""
    return config.when_stalled == "stop" and config.evaluate_every > 0 and state.scores.stalled


def _shown(terms: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3g}" for name, value in list(terms.items())[:SHOWN_TERMS])


def _claim(trainer: Trainer) -> None:
    """Make the run folder this run's, and whole."""
    out = trainer.config.out
    run_folder.claim(out, trainer.description, trainer.config.defaults(), trainer.unnamed_architecture)
    mend_best(out)
    for name, text in trainer.documents.items():
        if text:
            run_folder.write_text(out / name, text)


def _refuse_other_data(trainer: Trainer) -> None:
    """Raise if this process sees other images than the first, which may be on another host."""
    data = trainer.description.get("data")
    if data != from_first(lambda: data):
        raise UserError(
            "this process finds other images than the first process: copy the same files "
            "to the same place on every host"
        )


def _tell_of_stop(received: list[signal.Signals]) -> None:
    """Ctrl-C twice is impatience; a batch system or a connection that drops sends several signals by itself."""
    if received[-1] == signal.SIGINT and received.count(signal.SIGINT) > 1:
        raise KeyboardInterrupt
    if len(received) == 1:
        say("stopping after this iteration (Ctrl-C again to stop at once)")


def _agreed(stop: list[signal.Signals], trainer: Trainer) -> bool:
    """Whether any process was asked to stop: then all are. A signal that comes meanwhile counts the next time.

    To ask is to wait for the device, so those with accelerators do not ask after each iteration.
    """
    iterations = trainer.seen // trainer.images_per_iteration
    if world_size() > 1 and trainer.device.type != "cpu" and iterations % AGREE_EVERY:
        return False
    agreed = any_has(bool(stop), trainer.device)
    if agreed and not stop:
        stop.append(signal.SIGTERM)
    return agreed


def _resume(trainer: Trainer) -> TrainState:
    out, state = trainer.config.out, TrainState(trainer)
    content = from_first(lambda: checkpoint.load_latest(out / run_folder.CHECKPOINTS))
    if content is None:
        if world_size() > 1:  # wherever another process has its start from, it begins as the first one does
            trainer.load_state_dict(from_first(trainer.state_dict))
        return state
    state.load(content, out / run_folder.CHECKPOINTS)
    state.write_messages(out)
    say(f"resuming {out} at {trainer.seen:,} images")
    if trainer.follows_budget and trainer.budget != content["budget"] and trainer.seen < trainer.budget:
        logger.warning(
            "the budget was %s images and is now %s: the learning rate's decay now ends there, so this run will "
            "differ from one that had this budget from the start",
            f"{content['budget']:,}",
            f"{trainer.budget:,}",
        )
    return state


def _write_grids(trainer: Trainer, log: RunLog | None) -> None:
    folder = trainer.config.out / run_folder.SAMPLES
    folder.mkdir(exist_ok=True)
    for name, pixels in trainer.sample_grids().items():
        path = folder / f"{name}-{trainer.seen:012d}.png"
        picture = Image.fromarray(pixels)
        write_atomically(path, partial(picture.save, format="png"))
        if log:
            log.image(name, pixels, trainer.seen)

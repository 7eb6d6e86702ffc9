"""The one training loop: budget, cadences, log, evaluations, checkpoints, resume and interruption. It knows no GAN.

Every random draw of an iteration follows from (seed, images seen, rollbacks), so that running the same command again
goes on exactly where the last checkpoint stood, and nothing has to be replayed. After a rollback the step sizes are
halved and the draws are others, so that a collapse is not replayed either.
"""

import errno
import logging
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ..errors import UserError
from ..files import write_atomically
from ..tensors import Terms
from . import checkpoint, run_folder
from .config import RunConfig
from .distributed import any_has, from_first, is_first, world_size
from .grad_accumulation import seed_of
from .log import NoLog, ProgressLine, RunLog, say
from .memory import keep_freed_memory
from .monitor.best import mend_best, write_best
from .monitor.health import Said, gradient_norms
from .optim import NonFiniteLoss
from .precision import begin_iteration, fast_arithmetic
from .signals import stop_signals
from .state import Course
from .trackers import require_packages
from .trainer import Job, Outcome

WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
"""What the system says when a disk is full, read-only, not ours, or failing."""
SHOWN_TERMS = 4
"""How many loss terms fit on the progress line."""
MOST_ROLLBACKS = 3
"""A run that collapses once more needs other settings."""
logger = logging.getLogger("ganshift")


class Collapse(Exception):  # noqa: N818 - it says what happened, and never leaves this file
    """The run is to go back to its last healthy checkpoint."""


def fit(config: RunConfig, job: Job) -> Outcome:
    """Train until the budget is spent, a signal asks to stop or training is no longer worth it; resume if possible."""
    from_first(partial(require_packages, config.trackers))
    keep_freed_memory()
    try:
        with ExitStack() as stack:
            from_first(lambda: stack.enter_context(run_folder.held(config.out)))
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
    run = _resume(config.out, job, budget)
    if run.seen >= budget:
        if is_first() and not (config.out / run_folder.MODEL).exists():
            job.export(config.out)
        say(f"{config.out} already has {run.seen:,} of {budget:,} images: nothing to do. A larger budget trains on.")
        return Outcome(run.seen, run.seconds)
    if _enough(config, run):
        return _stopped_for_the_score(config, run)
    if job.summary:
        say(f"{job.summary}: {budget:,} images to show, {run.seen:,} done")
    stopped_by: signal.Signals | None = None
    with training_ground(config, job), stop_signals() as stop:
        while run.seen < budget and not _agreed(stop, job) and not _enough(config, run):
            try:
                _sit(config, job, run, budget, stop)
            except Collapse as collapse:
                _roll_back(config, job, run, str(collapse))
        stopped_by = stop[0] if stop else None
    if run.seen < budget and stopped_by:
        kept = "saved" if run.seen else "nothing to save yet"
        say(
            f"stopped by {stopped_by.name} at {run.seen:,} of {budget:,} images; {kept}. "
            "The same command goes on from here."
        )
        return Outcome(run.seen, run.seconds, stopped_by)
    if run.seen < budget:
        return _stopped_for_the_score(config, run)
    if run.scores.best is not None and run.scores.best["images"] < run.seen:
        say(f"{run.scores.best_in_words()}: it is in {config.out / run_folder.BEST}")
    return Outcome(run.seen, run.seconds)


def _sit(config: RunConfig, job: Job, run: Course, budget: int, stop: list[signal.Signals]) -> None:
    """Train from where the run stands until the budget is spent or something ends it."""
    saved_at = run.seen
    optimizers = {name: part for name, part in job.state.items() if isinstance(part, torch.optim.Optimizer)}
    with (
        closing(_open_log(config, run.seen)) as log,
        closing(job.batches(run.seen)) as batches,
        ProgressLine(config.out.name, budget, run.seen) as progress,
    ):
        if run.seen == 0:
            from_first(partial(_write_sheets, config.out, job, log, run.seen))
            if config.on_collapse == "rollback":
                _save(config, job, run, budget)
        while run.seen < budget and not _agreed(stop, job) and not _enough(config, run):
            before, seen = run.seen, run.seen + job.images_per_iteration
            last = seen >= budget
            logs = last or _crossed(config.log_every, before, seen)
            batch = next(batches)
            started = time.monotonic()
            with gradient_norms(optimizers if logs else {}) as norms:
                terms = _iterate(config, job, batch, run, budget)
            run.seconds += time.monotonic() - started
            run.seen = seen
            run.means.add(terms)
            run.means.add(norms)
            note = _shown(run.means.read()) if before == 0 else ""
            wrong: list[Said] = []
            if logs:
                line = run.means.take()
                more = {} if (at_once := job.micro_batch()) is None else {"micro_batch": at_once}
                iteration = seen // job.images_per_iteration
                log.write(seen, line, iteration=iteration, seconds=round(run.seconds, 3), **more)
                note = _shown(line)
                found = run.health.of_line(line, job.gaps)
                wrong += run.health.judge(seen, found, "log", decides=not _evaluates(config, job))
            if _evaluates(config, job) and (last or _crossed(config.evaluate_every, before, seen)):
                wrong += _evaluate(config, job, run, budget, log)
            progress.update(seen, note)
            if last or _crossed(config.sample_every, before, seen):
                from_first(partial(_write_sheets, config.out, job, log, seen))
            if wrong:
                _react(config, job, run, budget, wrong)
            if last or _crossed(config.checkpoint_every, before, seen):
                saved_at = _save(config, job, run, budget)
        if saved_at < run.seen:
            _save(config, job, run, budget)


def _open_log(config: RunConfig, seen: int) -> RunLog | NoLog:
    """The log, kept by the first process; what keeps it from opening ends all."""
    logs: list[RunLog] = []
    from_first(lambda: logs.append(RunLog(config.out, seen, config.trackers, config.to_json())))
    return logs[0] if logs else NoLog()


@contextmanager
def training_ground(config: RunConfig, job: Job) -> Iterator[None]:
    """Compute as the settings say, and leave the process's arithmetic and random generators as they were."""
    with _own_randomness(job.device), fast_arithmetic(job.device, config.fast, config.computes_in):
        yield


def iterate(config: RunConfig, job: Job, batch: Any, seen: int, budget: int, rollbacks: int = 0) -> Terms:
    """One iteration on a `training_ground`, all draws of which follow from (seed, images seen, rollbacks)."""
    torch.manual_seed(seed_of(config.seed, seen, *([rollbacks] if rollbacks else [])))
    begin_iteration(job.device, config.fast)
    return job.iterate(batch, seen, budget)


def _iterate(config: RunConfig, job: Job, batch: Any, run: Course, budget: int) -> Terms:
    try:
        return iterate(config, job, batch, run.seen, budget, run.health.rollbacks)
    except NonFiniteLoss as error:
        if config.on_collapse == "rollback":
            raise Collapse(f"{run.health.say(run.seen, 'not finite', str(error))}.") from None
        raise UserError(f"stopped at {run.seen:,} images: {error}. {_what_is_saved(config.out)}") from None


def _evaluates(config: RunConfig, job: Job) -> bool:
    return job.evaluate is not None and config.evaluate_every > 0


def _evaluate(config: RunConfig, job: Job, run: Course, budget: int, log: RunLog | NoLog) -> list[Said]:
    """Score the model, keep it if it is the best, say how it went; returns what is wrong with it."""
    assert job.evaluate is not None
    started = time.monotonic()
    mine = job.evaluate()  # all share the work
    found = from_first(lambda: mine)  # and go on from the same numbers
    seconds = round(time.monotonic() - started, 3)
    score = {"name": found.name, "value": found.value, "error": found.error}
    signs = {**{f"diversity/{name}": value for name, value in found.diversity.items()}, **found.signs}
    line = {"images": run.seen, "seconds": seconds, "score": score, "signs": signs, "cards": list(found.cards)}
    log.write_evaluation(line)
    findings = run.health.of_evaluation(found.diversity, found.findings)
    wrong = run.health.judge(run.seen, findings, "evaluation", decides=True)
    is_best = run.scores.add(run.seen, found)
    if is_best:
        content = run.content(budget, job.state)
        from_first(partial(write_best, config.out, run.seen, line, content, job.export))
    say(f"{run.seen:,} images: {found.in_words()}{', the best so far' if is_best else ''}")
    if run.scores.to_be_told:
        said = run.health.say(run.seen, "stalled", f"{run.scores.in_words()}.")
        if config.when_stalled == "advise":
            say(f"advice {said} The best is in {config.out / run_folder.BEST}.", always=True)
    run.write_messages(config.out)
    return wrong


def _react(config: RunConfig, job: Job, run: Course, budget: int, wrong: list[Said]) -> None:
    """Do about what is wrong what the settings say."""
    run.write_messages(config.out)
    messages = " And ".join(said.message for said in wrong)
    if config.on_collapse == "rollback" and any(said.finding.going_back_helps for said in wrong):
        raise Collapse(messages)
    if config.on_collapse == "stop":
        _save(config, job, run, budget)
        raise UserError(
            f"stopped on signs of collapse {messages} Other settings need a new --out; the same command with "
            "--on-collapse advise goes on as it is"
        )
    say(f"warning: signs of collapse {messages}", always=True)


def _roll_back(config: RunConfig, job: Job, run: Course, messages: str) -> None:
    """Take up the last healthy checkpoint, with half the step sizes; the newer ones are deleted."""
    folder = config.out / run_folder.CHECKPOINTS
    healthy = from_first(lambda: checkpoint.newest_of(folder, run.health.healthy_at))
    if run.health.rollbacks >= MOST_ROLLBACKS:
        raise UserError(
            f"stopped on signs of collapse {messages} Going back {MOST_ROLLBACKS} times did not help: {_new_out()}"
        )
    if healthy is None:
        raise UserError(
            f"stopped on signs of collapse {messages} There is no healthy checkpoint to go back to: {_new_out()}"
        )

    def go_back() -> dict[str, Any] | None:
        checkpoint.drop_after(folder, healthy)
        return checkpoint.load_latest(folder)

    content = from_first(go_back)
    assert content is not None
    collapsed_at = run.seen
    run.return_to(content, job.state, config.out / run_folder.CHECKPOINTS)
    job.pace.factor = 0.5**run.health.rollbacks
    run.health.say(
        collapsed_at,
        "rollback",
        f"back to {run.seen:,} images, with step sizes times {job.pace.factor:g} "
        f"(rollback {run.health.rollbacks} of {MOST_ROLLBACKS})",
    )
    _save(config, job, run, content["budget"])
    run.write_messages(config.out)
    say(f"signs of collapse {messages} Going {run.health.messages[-1]['message']}", always=True)


def _save(config: RunConfig, job: Job, run: Course, budget: int) -> int:
    def write() -> None:
        job.export(config.out)  # first, so that a checkpoint never stands beside an older model
        healthy_at = run.health.healthy_at if config.on_collapse == "rollback" else None
        content = run.content(budget, job.state)
        checkpoint.save(config.out / run_folder.CHECKPOINTS, run.seen, content, config.keep_checkpoints, healthy_at)

    from_first(write)
    return run.seen


def _enough(config: RunConfig, run: Course) -> bool:
    """Whether the settings say to stop, since training no longer helps."""
    return config.when_stalled == "stop" and config.evaluate_every > 0 and run.scores.stalled


def _stopped_for_the_score(config: RunConfig, run: Course) -> Outcome:
    say(
        f"stopped at {run.seen:,} images: {run.scores.in_words()}. The best is in {config.out / run_folder.BEST}. "
        "The same command with --when-stalled advise trains on."
    )
    return Outcome(run.seen, run.seconds)


def _shown(terms: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3g}" for name, value in list(terms.items())[:SHOWN_TERMS])


def _crossed(every: int, before: int, seen: int) -> bool:
    """Whether a multiple of `every` images was reached since `before`."""
    return seen // every > before // every


def _claim(config: RunConfig, job: Job) -> None:
    """Make the run folder this run's, and whole."""
    run_folder.claim(config.out, job.description, config.defaults())
    mend_best(config.out)
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


def _agreed(stop: list[signal.Signals], job: Job) -> bool:
    """Whether any process was asked to stop: then all are."""
    if any_has(bool(stop), job.device) and not stop:
        stop.append(signal.SIGTERM)
    return bool(stop)


def _resume(out: Path, job: Job, budget: int) -> Course:
    run = Course(job.advice)
    content = from_first(lambda: checkpoint.load_latest(out / run_folder.CHECKPOINTS))
    if content is None:
        if world_size() > 1:  # wherever another process has its start from, it begins as the first one does
            for name, state in from_first(lambda: run.content(budget, job.state)["state"]).items():
                job.state[name].load_state_dict(state)
        return run
    run.load(content, job.state, out / run_folder.CHECKPOINTS)
    job.pace.factor = 0.5**run.health.rollbacks
    run.write_messages(out)
    say(f"resuming {out} at {run.seen:,} images")
    if job.follows_budget and budget != content["budget"] and run.seen < budget:
        logger.warning(
            "the budget was %s images and is %s: the learning rate's decay now ends there, so that this run "
            "will not equal one that had this budget from the start",
            f"{content['budget']:,}",
            f"{budget:,}",
        )
    return run


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
        write_atomically(path, partial(picture.save, format="png"))
        log.image(name, pixels, seen)


def _what_is_saved(out: Path) -> str:
    saved = any((out / run_folder.CHECKPOINTS).glob("*.pt"))
    kept = "The checkpoint before it is kept" if saved else "No checkpoint was due yet"
    return f"{kept}; {_new_out()}"


def _new_out() -> str:
    return "try smaller learning rates in a new --out"

"""A study from beginning to end: its cells, several at once, and then its results.

Every thread does what every other process does that works in the same folder: it takes the first cell that is neither
finished nor somebody else's, by locking a file, and lets a process train it, so that a cell that runs out of memory
takes no other with it. What is finished is read from the folder.
"""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import torch
from accelerate.utils import get_cpu_distributed_information
from filelock import FileLock, Timeout

from ...errors import UserError
from ...training.log import duration, say, show_table
from ...training.run_folder import write_text
from ...training.signals import collected_signals
from . import worker
from .answers import PROBE
from .benefit import benefits
from .cell import STATE, Cell
from .page import PAGE, write_page
from .recipe import Study
from .results import CELLS, TABLE, kept_apart, means, rows, write_csv

RECIPE = "recipe.toml"
"""The recipe in the folder of a study; written when work on it begins."""
POLL_SECONDS = 0.2
"""How often a cell's process is looked at."""
LOOK_SECONDS = 1.0
"""How often it is looked for something to do where there was nothing."""


def run_study(study: Study, processes: int = 1, device: str | None = None, command: str = "") -> int:
    """Train and measure what is left of a study, `processes` cells at once, and write the results that `command` made.

    A cell is tried once, and one that fails stops no other. Signals that ask to stop are handed on, so that the cells
    save before they stop; a second Ctrl-C stops them at once. Cells that other processes are training are waited for.
    Returns the exit code: 0, 1 if a cell failed, or 128 and the number of the signal.
    """
    try:
        (study.out / STATE).mkdir(parents=True, exist_ok=True)
        with _writing(study):
            write_text(study.out / RECIPE, study.recipe.text)
    except OSError as error:
        raise UserError(f"cannot write to --out {study.out}: {error.strerror}") from error
    finished = sum(cell.finished for cell in study.cells)
    say(f"{study.recipe.name}: {len(study.cells) - finished} cells to train, {finished} finished")
    with collected_signals(_tell_of_stop) as received, ThreadPoolExecutor(processes) as pool:
        sitting = _Sitting(study, processes, device, received)
        for thread in [pool.submit(sitting.work, slot) for slot in range(processes)]:
            thread.result()
    write_results(study, command)
    if received:
        return 128 + received[0]
    return worker.FAILED if any(sitting.failed(cell) and not cell.finished for cell in study.cells) else 0


def write_results(study: Study, command: str) -> None:
    """Show the scores, and write them and the page into the folder."""
    table = rows(study)
    for sentence in kept_apart(table):
        say(f"warning: {sentence}", always=True)
    benefit = benefits(table)
    with _writing(study):
        write_csv(study.out, table)
        write_page(study, table, benefit, command)
    if found := means(table):
        show_table([{**labels, "score": name, "n": mean.number, "value": mean} for labels, name, mean in found])
    for each in benefit:
        show_table(each.arms(PROBE, ["closeness"]), unbroken=("learned",))
        say(each.sentence(), always=True)
    say(f"results: {study.out / PAGE}, {study.out / TABLE}, {study.out / CELLS}")


def _writing(study: Study) -> FileLock:
    """Held while what belongs to the whole study is written: its recipe, its results."""
    return FileLock(study.out / STATE / "results.lock")


def _tell_of_stop(received: list[signal.Signals]) -> None:
    say("stopping the cells (Ctrl-C again to stop at once)" if len(received) == 1 else "stopping")


class _Sitting:
    """The cells of a study while one process works on them."""

    def __init__(self, study: Study, processes: int, device: str | None, received: Sequence[signal.Signals]):
        self._cells, self._processes, self._device, self._received = study.cells, processes, device, received
        self._began = (study.out / RECIPE).stat().st_mtime  # by the clock of the disk, which may not be ours
        self._waiting: set[int] = set()
        """Threads that have nothing to do until others are done."""

    def failed(self, cell: Cell) -> bool:
        """Whether the cell failed since this began, here or in another process."""
        path = cell.state("failed.txt")
        return path.exists() and path.stat().st_mtime >= self._began

    def work(self, slot: int) -> None:
        """Take one cell after the other until none is left, or a signal asks to stop."""
        while not self._received and (left := self._left()):
            if any(self._take(cell, slot) for cell in left):
                self._waiting.discard(slot)
                continue
            if slot not in self._waiting:
                self._waiting.add(slot)
                if len(self._waiting) == self._processes:
                    say(f"waiting for {len(left)} cells that other processes are training")
            time.sleep(LOOK_SECONDS)

    def _left(self) -> list[Cell]:
        return [cell for cell in self._cells if not self._settled(cell)]

    def _settled(self, cell: Cell) -> bool:
        return self.failed(cell) or cell.finished

    def _take(self, cell: Cell, slot: int) -> bool:
        """Do what there is to do about a cell; false if it waits for its source, or another is at work on it."""
        if cell.source and not self._settled(cell.source):
            return False
        with suppress(Timeout), FileLock(cell.state("lock"), timeout=0):
            if cell.source and self.failed(cell.source):
                self._fail(cell, f"its source {cell.source.run.name} failed")
            elif not self._settled(cell):
                self._train(cell, slot)
            return True
        return False

    def _train(self, cell: Cell, slot: int) -> None:
        """Let a process train and measure the cell, hand signals on to it, and say how it ended."""
        cell.state("failed.txt").unlink(missing_ok=True)
        say(f"{cell.place} started; its output is in {cell.messages}")
        began, handed_on = time.monotonic(), 0
        environment = dict(os.environ)
        if self._processes > 1:
            threads = max(1, len(os.sched_getaffinity(0)) // self._processes)
            environment.setdefault("OMP_NUM_THREADS", str(threads))
        with cell.messages.open("ab") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", worker.__name__],
                stdin=subprocess.PIPE,  # its end tells the worker that this process is gone
                stdout=said,
                stderr=said,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches this process only, which hands it on once
            )
        with suppress(BrokenPipeError), process:  # a worker that dies at once reads nothing
            assert process.stdin is not None
            process.stdin.write(pickle.dumps((cell, self._device or self._accelerator(slot))))
            process.stdin.flush()
            while process.poll() is None:
                for number in self._received[handed_on:]:
                    process.send_signal(number)
                    handed_on += 1
                time.sleep(POLL_SECONDS)
        code = process.returncode
        if code == 0:
            say(f"{cell.place} finished in {duration(time.monotonic() - began)}; {len(self._left())} left")
        elif code == worker.FAILED:
            lines = cell.messages.read_text(encoding="utf-8", errors="replace").splitlines()
            self._fail(cell, lines[-1] if lines else "it does not say why")
        elif self._received:
            say(f"{cell.place} stopped")
        else:
            ended_by = -code if code < 0 else code - 128
            name = signal.Signals(ended_by).name if ended_by in {*signal.Signals} else f"code {code}"
            self._fail(cell, f"its process ended with {name}, which was not this study's doing: was memory short?")

    def _fail(self, cell: Cell, reason: str) -> None:
        write_text(cell.state("failed.txt"), reason + "\n")
        say(f"{cell.place} failed ({reason}); its output is in {cell.messages}", always=True)

    def _accelerator(self, slot: int) -> str | None:
        """The accelerator of a process, in turn, where there are several; None leaves the choice to the run."""
        count, kind = torch.accelerator.device_count(), torch.accelerator.current_accelerator()
        first = get_cpu_distributed_information().local_rank * self._processes  # by what a launcher says, if one does
        return f"{kind.type}:{(first + slot) % count}" if kind is not None and count > 1 else None

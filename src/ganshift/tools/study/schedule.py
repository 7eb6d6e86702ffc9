"""Training the cells of a study, several at once, beside other processes that train cells of the same study.

Each cell is a process of its own, so that one that runs out of memory takes no other with it. Processes do not talk to
each other: a cell is taken by locking a file, and what is finished is read from the folder. Those that a launcher
starts together (accelerate launch, torchrun, mpirun) only begin at different cells.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import torch

from ...training.log import duration, say
from ...training.signals import collected_signals
from .folder import StudyFolder
from .recipe import Cell
from .worker import FAILED, order

POLL_SECONDS = 0.2
"""How often the processes are looked at."""
LOOK_SECONDS = 5.0
"""How often cells that could not be started are looked at again, unless one of ours ends."""
LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
"""What a launcher tells its processes in the environment."""


@final
@dataclass(frozen=True)
class Rank:
    """Which of the processes that a launcher started together this is."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @classmethod
    def take(cls) -> "Rank":
        """As the launcher's environment variables say; alone if there are none.

        The variables are taken away, since a cell is a run of one process, which must not wait for others.
        """
        from accelerate.utils import get_cpu_distributed_information

        found = get_cpu_distributed_information()  # reads variables only, and opens no process group
        for name in LAUNCHED:
            os.environ.pop(name, None)
        return cls(found.rank, found.world_size, found.local_rank)


@final
@dataclass
class Ending:
    """How a sitting ended."""

    failed: list[Cell] = field(default_factory=list)
    elsewhere: list[Cell] = field(default_factory=list)
    """Other processes are at work on these."""
    stopped_by: signal.Signals | None = None


@final
@dataclass
class _Working:
    """A cell that is being trained."""

    cell: Cell
    process: subprocess.Popen[bytes]
    slot: int
    told: int = 0
    """How many signals it was sent."""
    began: float = field(default_factory=time.monotonic)


def run_cells(
    folder: StudyFolder, cells: Sequence[Cell], processes: int = 1, device: str | None = None, rank: Rank | None = None
) -> Ending:
    """Train and measure all cells that are not finished, `processes` at once; those that fail are left behind.

    A cell is tried once in a sitting. Signals that ask to stop are handed on, so that the cells save before they
    stop; a second Ctrl-C stops them at once.
    """
    sitting = _Sitting(folder, cells, processes, device, rank or Rank())
    with collected_signals(_tell_of_stop) as received:
        while sitting.go_on(received):
            time.sleep(POLL_SECONDS)
    sitting.ending.stopped_by = received[0] if received else None
    return sitting.ending


class _Sitting:
    """What is being trained, and what is left to do."""

    def __init__(self, folder: StudyFolder, cells: Sequence[Cell], processes: int, device: str | None, rank: Rank):
        self.ending = Ending()
        self._folder, self._processes, self._device, self._rank = folder, processes, device, rank
        self._sources = {cell.name: cell for cell in cells if cell.evaluation is None}
        left = [cell for cell in cells if folder.record(cell) is None]
        own = left[rank.rank :: rank.world_size]
        self._pending = [*own, *(cell for cell in left if cell not in own)]  # then what others did not get to
        self._working: list[_Working] = []
        self._began = time.time()
        self._seconds: list[float] = []
        """What the cells took that finished in this sitting."""
        self._look_at = 0.0

    def go_on(self, received: Sequence[signal.Signals]) -> bool:
        """Look after the processes once; whether there is more to do."""
        for work in [work for work in self._working if work.process.poll() is not None]:
            self._working.remove(work)
            self._conclude(work, stopping=bool(received))
            self._look_at = 0.0
        if received:
            for work in self._working:
                for number in received[work.told :]:
                    work.process.send_signal(number)
                work.told = len(received)
            return bool(self._working)
        if len(self._working) < self._processes and time.monotonic() >= self._look_at:
            waiting = self._start_what_can_be()
            self._look_at = time.monotonic() + LOOK_SECONDS
            if not self._working and not waiting:
                self.ending.elsewhere = self._pending
                return False
        return True

    def _start_what_can_be(self) -> bool:
        """Fill the free slots; whether a cell waits for a source."""
        waiting = False
        for cell in list(self._pending):
            if len(self._working) == self._processes:
                break
            source = self._sources.get(cell.needs or "")
            if self._folder.record(cell) is not None:  # by another process
                self._pending.remove(cell)
            elif self._failed_lately(cell):
                self._pending.remove(cell)
                self.ending.failed.append(cell)
            elif source and self._failed_lately(source):
                self._fail(cell, f"its source {source.name} failed")
                self._pending.remove(cell)
            elif source and self._folder.record(source) is None:
                waiting = True
            elif (claimed := self._folder.claim(cell)) is not None:
                if self._folder.record(cell) is None:  # nobody finished it just before
                    self._working.append(self._start(cell, claimed))
                self._pending.remove(cell)
                os.close(claimed)  # the child has it open
        return waiting

    def _start(self, cell: Cell, claimed: int) -> _Working:
        slot = min(set(range(self._processes)) - {work.slot for work in self._working})
        environment = dict(os.environ)
        if self._processes > 1:
            threads = max(1, len(os.sched_getaffinity(0)) // self._processes)
            environment.setdefault("OMP_NUM_THREADS", str(threads))
        command = order(self._folder, cell, self._device or _own_device(self._rank.local_rank * self._processes + slot))
        self._folder.failure_path(cell).unlink(missing_ok=True)
        messages = self._folder.messages_path(cell)
        with messages.open("a") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # its end tells the child that this process is gone
                stderr=file,
                env=environment,
                pass_fds=[claimed],
                start_new_session=True,  # Ctrl-C reaches this process only, which hands it on once
            )
        say(f"{cell.place} begins; what it says is in {messages}")
        return _Working(cell, process, slot)

    def _conclude(self, work: _Working, stopping: bool) -> None:
        """Say how a cell's process ended."""
        code, cell = work.process.returncode, work.cell
        assert work.process.stdin is not None
        work.process.stdin.close()
        seconds = time.monotonic() - work.began
        if code == 0:
            self._seconds.append(seconds)
            left = self._count_left()
            ahead = duration(left * sum(self._seconds) / len(self._seconds) / self._processes)
            say(
                f"{cell.place} finished in {duration(seconds)}; {left} left{f', which take about {ahead}' * (left > 0)}"
            )
        elif code == FAILED:
            self._report_failure(cell)
        elif stopping:
            say(f"{cell.place} stopped")
        else:
            number = -code if code < 0 else code - 128
            name = signal.Signals(number).name if number in signal.Signals.__members__.values() else f"code {code}"
            self._fail(cell, f"its process ended with {name}, which was not this study's doing: was memory short?")

    def _count_left(self) -> int:
        """Cells that nobody has finished, those in work included."""
        return sum(self._folder.record(cell) is None for cell in self._pending) + len(self._working)

    def _fail(self, cell: Cell, reason: str) -> None:
        self._folder.fail(cell, reason)
        self._report_failure(cell)

    def _report_failure(self, cell: Cell) -> None:
        self.ending.failed.append(cell)
        reason = self._folder.failure(cell) or "unknown"
        say(
            f"{cell.place} failed ({reason.splitlines()[-1]}); all of it in {self._folder.failure_path(cell)}",
            always=True,
        )

    def _failed_lately(self, cell: Cell) -> bool:
        """Whether the cell failed since this sitting began, here or in another process."""
        path = self._folder.failure_path(cell)
        return path.exists() and path.stat().st_mtime >= self._began


def _own_device(number: int) -> str | None:
    """The accelerator for a process, in turn, where there are several; None leaves the choice to the run."""
    count = torch.accelerator.device_count()
    kind = torch.accelerator.current_accelerator()
    return f"{kind.type}:{number % count}" if kind is not None and count > 1 else None


def _tell_of_stop(received: list[signal.Signals]) -> None:
    say("stopping the cells (Ctrl-C again to stop at once)" if len(received) == 1 else "stopping")

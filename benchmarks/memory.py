"""Peak memory, each case in a process of its own, because the largest extent of a process never falls again."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring import Action

STATUS = Path("/proc/self/status")


def peak_growth(prepare: Callable[[], Action]) -> tuple[Action, float | None]:
    """An action that has been done twice, and the megabytes (10^6 bytes) that it needs on top of the imports.

    `prepare` opens the data, builds networks and optimisers, and returns an iteration; the second has the optimisers'
    states from the start. The largest extent is Linux's VmHWM; getrusage's ru_maxrss would start at the extent of the
    process that started this one. None where the system is not Linux.
    """
    before = status("VmRSS") if STATUS.exists() else 0
    action = prepare()
    action()
    action()
    return action, (status("VmHWM") - before) / 1e6 if STATUS.exists() else None


def status(name: str) -> int:
    """A line of the process's status on Linux, such as VmRSS, in bytes."""
    (line,) = (line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024

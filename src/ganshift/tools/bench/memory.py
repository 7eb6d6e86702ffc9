"""Peak memory, each case in a process of its own, because the largest extent of a process never falls again."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ...training.memory import keep_freed_memory
from .cases import CASES, iteration, new_job
from .method import Action

STATUS = Path("/proc/self/status")


def peak_megabytes(module: str, *arguments: str) -> float | None:
    """What `python -m module arguments` reports by `report_memory`; None where the system is not Linux."""
    if not STATUS.exists():
        return None
    command = [sys.executable, "-m", module, *arguments]
    return float(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))


def peak_growth(prepare: Callable[[], Action]) -> tuple[Action, float | None]:
    """An action that has been done twice, and the megabytes (10^6 bytes) that it needs on top of the imports.

    `prepare` opens the data, builds networks and optimisers, and returns an iteration; the second has the optimisers'
    states from the start. The largest extent is Linux's VmHWM; getrusage's ru_maxrss would start at the extent of the
    process that started this one. None where the system is not Linux.
    """
    before = _status("VmRSS") if STATUS.exists() else 0
    action = prepare()
    action()
    action()
    return action, (_status("VmHWM") - before) / 1e6 if STATUS.exists() else None


def report_memory(prepare: Callable[[], Action]) -> None:
    """Write the megabytes of `peak_growth` for `peak_megabytes` to read."""
    sys.stdout.write(f"{peak_growth(prepare)[1]}\n")


def _status(name: str) -> int:
    """A line of the process's status, in bytes."""
    (line,) = (line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    case, folder, *quick = sys.argv[1:]
    keep_freed_memory()  # as training does
    report_memory(lambda: iteration(new_job(CASES[case].config(Path(folder), bool(quick)))))

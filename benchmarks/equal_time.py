"""Comparisons at equal processor time of many runs that go on later: cells, each of which has a file once it is done.

What else a machine does changes how long an iteration takes, even in processor seconds: two cores are often one. So
`measure_costs` takes turns once, on a quiet machine, and by that a budget of seconds is a number of iterations: a cell
has the same result whenever, and beside whatever, it is trained.
"""

import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from benchmarks.measuring import Action, machine, spread, take_turns
from ganshift.training.log import say
from ganshift.training.loop import arithmetic
from ganshift.training.memory import keep_freed_memory
from ganshift.training.run_folder import versions
from ganshift.training.trainer import Trainer


class OurTraining:
    """A trainer of this package, without the loop that writes a run."""

    def __init__(self, trainer: Trainer):
        self.trainer, self._batches = trainer, trainer.batches(0)

    def advance(self, iterations: int) -> dict[str, float]:
        """Train for so many iterations; the last terms of the losses, by name."""
        with arithmetic(self.trainer):
            for _ in range(iterations):
                terms = self.trainer.iteration(next(self._batches))
        return {name: float(term) for name, term in terms.items()}


COSTS = "costs.json"
WARM, ITERATIONS, ROUNDS = 2, 4, 5
"""Iterations before costs are measured; iterations of a turn, and turns of each."""


def parser(description: str) -> ArgumentParser:
    """The options that all comparisons have."""
    options = ArgumentParser(description=description)
    options.add_argument("--out", type=Path, required=True, help="folder of the cells")
    options.add_argument("--minutes", type=float, default=80.0, help="begin no cell after so many")
    options.add_argument("--only", default="", help="train only cells, and measure only arms, whose names contain this")
    options.add_argument("--costs", action="store_true", help="measure what an iteration takes, on a quiet machine")
    options.add_argument("--table", action="store_true", help="show what is finished, and stop")
    return options


def measure_costs(options: Namespace, arms: Mapping[str, Callable[[], Trainer]], iterations: int = ITERATIONS) -> None:
    """Write the seconds of one thread that an iteration of each arm takes: medians of turns, with quartiles.

    Arms that have been measured keep what they have.
    """
    out = options.out
    prepare(out)
    rows = costs(out) if (out / COSTS).exists() else []
    missing = {name: start for name, start in arms.items() if name not in {row["what"] for row in rows}}
    actions = {
        name: _some_iterations(OurTraining(start()), iterations)
        for name, start in missing.items()
        if options.only in name
    }
    seconds = take_turns(actions, ROUNDS, clock=time.process_time)
    found = {name: spread([each / iterations for each in taken]) for name, taken in seconds.items()}
    rows += [timing.row(name) for name, timing in found.items()]
    (out / COSTS).write_text(json.dumps({"rows": rows, "machine": machine()}, indent=1))


def iterations_of(out: Path, arm: str, seconds: float) -> int:
    """How many iterations of an arm take so many seconds, by the costs that were measured."""
    return round(seconds / next(row["seconds"] for row in costs(out) if row["what"] == arm))


def costs(out: Path) -> list[dict[str, Any]]:
    """What was measured, a row an arm."""
    return json.loads((out / COSTS).read_text())["rows"]


def train_missing(options: Namespace, cells: Iterable[str], train: Callable[[str], Mapping[str, Any]]) -> None:
    """Train the cells that have no file, while there is time; another process may do the same beside it."""
    prepare(options.out)
    last = time.monotonic() + 60 * options.minutes
    for cell in cells:
        path = options.out / f"{cell}.json"
        if options.only not in cell or path.exists():
            continue
        if time.monotonic() > last:
            break
        try:
            with FileLock(path.with_suffix(".lock"), timeout=0):
                if not path.exists():
                    say(cell)
                    beside = path.with_suffix(".making")
                    beside.write_text(json.dumps({"cell": cell, **train(cell), "versions": versions()}, indent=1))
                    beside.rename(path)
        except Timeout:
            continue


def finished(out: Path) -> dict[str, dict[str, Any]]:
    """What is in the files of the finished cells, by name."""
    found = (json.loads(path.read_text()) for path in sorted(out.glob("*.json")) if path.name != COSTS)
    return {cell["cell"]: cell for cell in found}


def prepare(out: Path) -> None:
    """One thread, whose results do not depend on the cores, and memory as the command line keeps it."""
    torch.set_num_threads(1)
    keep_freed_memory()
    out.mkdir(parents=True, exist_ok=True)


def _some_iterations(training: OurTraining, iterations: int) -> Action:
    training.advance(WARM)
    return lambda: training.advance(iterations)

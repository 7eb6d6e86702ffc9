"""One cell in a process of its own, which `run` starts: train it, measure it."""

import os
import pickle
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from ...errors import UserError
from ...methods.registry import method_of
from ...training.log import say_one_line, show_warnings
from ...training.run_folder import LOCK
from ..evaluate import evaluate
from .cell import Cell

FAILED = 1
"""Exit code of a cell that failed; its last message says why."""


def train_and_measure(cell: Cell, device: str | None = None) -> int | None:
    """Train a cell, or go on with it, and measure it; the signal that stopped it, if one did."""
    method = method_of(cell.config)
    config = replace(cell.config, device=device) if device else cell.config
    if config.out.is_dir():
        with FileLock(config.out / LOCK):  # a process that a killed study left behind may still be saving
            pass
    outcome = method.train(config)
    if outcome.stopped_by:
        return outcome.stopped_by
    records = []
    if cell.evaluation is not None:
        reference, data = cell.evaluation["reference"], config.to_json().get("data")
        among_its_own = data is not None and Path(reference) == Path(data)
        split = {"split": method.held_out_split(config)} if among_its_own else {}
        records = evaluate(config.out, reference, **{"device": config.device, **split, **cell.measures()})
        if (asked := cell.classifier) is not None:
            from .classifier import ask_classifiers  # scikit-learn takes long to import

            ask_classifiers(config.out, asked, config.device).write(config.out)
    cell.finish(records)
    return None


def main() -> int:
    """Train and measure the cell that comes through standard input, and stop as at any signal when that ends."""
    show_warnings()
    cell, device = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        stopped_by = train_and_measure(cell, device)
    except UserError as error:
        say_one_line(str(error))
        return FAILED
    return 128 + stopped_by if stopped_by else 0


def _stop_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())

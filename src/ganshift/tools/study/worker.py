"""One cell in a process of its own: train it, measure it, keep what came of it. `schedule` starts these.

The process ends with 0 when the cell is finished, 1 when it failed, and 128 and the signal's number when it was
stopped. When the process that started it is gone, it stops after its iteration and saves, as at any signal.
"""

import json
import os
import signal
import sys
import threading
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...methods.registry import method_named
from .folder import StudyFolder
from .recipe import Cell, Table

FAILED = 1
"""Exit code of a cell that failed."""


def order(folder: StudyFolder, cell: Cell, device: str | None) -> list[str]:
    """The command that starts a worker on a cell."""
    content = {"study": str(folder.path), "cell": asdict(cell), "device": device}
    return [sys.executable, "-m", "ganshift.tools.study.worker", json.dumps(content)]


def main(given: str) -> int:
    """Carry out what `order` says; why it failed is kept in the study's folder."""
    from ...training.log import say, show_warnings

    threading.Thread(target=_stop_with_parent, daemon=True).start()
    show_warnings()
    content = json.loads(given)
    folder, cell = StudyFolder(Path(content["study"])), Cell(**content["cell"])
    try:
        stopped_by = train_and_measure(folder, cell, content["device"])
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except UserError as error:
        reason = str(error)
    except Exception:
        reason = traceback.format_exc().strip()
    else:
        return 128 + stopped_by if stopped_by else 0
    folder.fail(cell, reason)
    say(f"error: {reason}", always=True)
    return FAILED


def train_and_measure(folder: StudyFolder, cell: Cell, device: str | None = None) -> int | None:
    """Train a cell, or go on with it, and measure it; the signal that stopped it, if one did."""
    from ...training.run_folder import versions
    from ..evaluate import evaluate

    method = method_named(cell.method, cell.name)
    config = cell.config(folder.path, **({"device": device} if device else {}))
    outcome = method.train(config)
    if outcome.stopped_by:
        return outcome.stopped_by
    records = []
    if cell.evaluation is not None:
        reference = cell.evaluation["reference"]
        split = method.held_out_split(config) if reference == cell.settings.get("data") else "train"
        settings = {"split": split, **evaluation_settings(cell.evaluation)}
        records = evaluate(config.out, reference, **settings, device=config.device)
    folder.finish(
        cell,
        {
            "images": outcome.images,
            "seconds": outcome.seconds,
            "cards": [record.to_json() for record in records],
            "versions": versions(),
        },
    )
    return None


def evaluation_settings(evaluation: Table) -> dict[str, Any]:
    """The settings of an evaluation as a recipe writes them, checked; without the reference."""
    from ...metrics.measuring import EvaluationSettings

    settings = {name: value for name, value in evaluation.items() if name != "reference"}
    if isinstance(settings.get("metrics"), list):
        settings["metrics"] = tuple(settings["metrics"])
    if "extractor_weights" in settings:
        settings["extractor_weights"] = Path(settings["extractor_weights"])
    try:
        EvaluationSettings(**settings)
    except TypeError as error:
        raise UserError(f"the evaluation of the recipe cannot be: {error}") from error
    return settings


def _stop_with_parent() -> None:
    """Wait for the end of standard input, which is a pipe from the parent that nothing is written to."""
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

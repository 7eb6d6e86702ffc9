"""What is to come of a study: its cells, and how long those that are not finished will take to train."""

from dataclasses import replace
from typing import Any

from ...errors import UserError
from ...methods.registry import method_of
from ...training.config import RunConfig
from ...training.log import ProgressLine, duration, quiet, say, show_table
from ...training.run_folder import LOG, read_log
from ...training.throughput import throughput
from .recipe import SEED, Study

SAME_COST = frozenset({"out", "images", "iterations", "epochs", SEED, "subset_seed", "load", "source"})
"""Settings that change nothing about what an iteration costs. Sources of one study are of one architecture."""
SECONDS = 3.0
"""How long each kind of cell is timed."""


def show_plan(study: Study, processes: int = 1, device: str | None = None) -> None:
    """Show the cells of a study, which are finished, and how long the others will take; writes nothing.

    Iterations of each kind of cell are timed, with nothing beside them. Grids, checkpoints and scores come on top. A
    `UserError` where none of the cells that are left can train.
    """
    left = [cell for cell in study.cells if not cell.finished]
    training, total = {cell.place: "finished" for cell in study.cells}, 0.0
    timed: dict[str, tuple[float, int]] = {}
    failed: list[str] = []
    with ProgressLine("estimating", len(left), unit="cells") as progress:
        for number, cell in enumerate(left, start=1):
            config = replace(cell.config, evaluate_every=0, device=device or cell.config.device)
            if cell.source:  # not trained yet; the other networks start like those of a run from scratch
                from_scratch: dict[str, Any] = {"source": None, "load": "both"}
                config = replace(config, **from_scratch)
            kind = repr([item for item in config.to_json().items() if item[0] not in SAME_COST])
            try:
                speed, images_per_epoch = timed.get(kind) or timed.setdefault(kind, _time(config))
            except UserError as error:
                training[cell.place] = str(error)
                failed.append(str(error))
            else:
                budget = cell.config.budget(config.images_per_iteration, images_per_epoch)
                log = cell.run / LOG
                lines = read_log(log) if log.exists() else []
                seconds = max(0, budget - (lines[-1]["images"] if lines else 0)) / speed
                training[cell.place] = duration(seconds)
                total += seconds
            progress.update(number)
    if left and len(failed) == len(left):
        raise UserError(f"none of {len(left)} cells can train: {failed[0]}")
    show_table([{"cell": place, "training": text} for place, text in training.items()], unbroken=("cell",))
    shared = f", at best {duration(total / processes)} in {processes} processes" if processes > 1 else ""
    time = f"; about {duration(total)} of training one after the other{shared}, and measuring on top" if left else ""
    say(f"{study.recipe.name}: {len(left)} cells to train, {len(study.cells) - len(left)} finished{time}")


def _time(config: RunConfig) -> tuple[float, int]:
    """Images that are shown in a second, and in an epoch; a `UserError` says why such a run cannot train."""
    with quiet():
        trainer = method_of(config).trainer().from_config(config)
        return throughput(trainer, SECONDS).images_per_second, trainer.images_per_epoch

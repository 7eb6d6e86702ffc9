"""How long a study will take: iterations of each kind of cell are timed for a few seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from ...errors import UserError
from ...methods.registry import method_of
from ...training.log import ProgressLine, quiet
from ...training.run_folder import LOG, read_log
from ...training.throughput import throughput
from .folder import StudyFolder
from .recipe import SEED, Cell

SAME_COST = frozenset({"images", "iterations", SEED, "subset_seed", "load", "source"})
"""Settings that change nothing about what an iteration costs. Sources of one study are of one architecture."""
SECONDS = 3.0
"""How long each kind of cell is timed."""


@final
@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What is left to do of a cell."""

    cell: Cell
    seconds: float | None
    """Training time; sheets, checkpoints and measuring come on top. None if it could not be found out."""
    why_not: str = ""
    """Then, what keeps the cell from being trained."""


def estimate(folder: StudyFolder, cells: Sequence[Cell], device: str | None = None) -> list[Estimate]:
    """Time each kind of cell that is not finished, with nothing else running beside it."""
    kinds: dict[str, list[Cell]] = {}
    for cell in cells:
        if folder.record(cell) is None:
            kinds.setdefault(_kind(cell), []).append(cell)
    found = []
    with ProgressLine("estimating", len(kinds), unit="kinds of cell") as progress:
        for number, alike in enumerate(kinds.values(), start=1):
            found += _of_kind(folder, alike, device)
            progress.update(number)
    return found


def _of_kind(folder: StudyFolder, alike: Sequence[Cell], device: str | None) -> list[Estimate]:
    """Estimates of cells whose iterations cost the same."""
    more: dict[str, Any] = {"device": device} if device else {}
    if alike[0].needs:  # not trained yet; the other networks start like those of a run from scratch
        more |= {"source": None, "load": "both"}
    config = alike[0].config(folder.path, **more)
    try:
        with quiet():
            trainer = method_of(config).trainer().from_config(config)
            speed = throughput(trainer, SECONDS).images_per_second
    except UserError as error:
        return [Estimate(cell=cell, seconds=None, why_not=str(error)) for cell in alike]
    found = []
    for cell in alike:
        budget = cell.config(folder.path).budget(trainer.images_per_iteration, trainer.images_per_epoch)
        log = folder.run(cell) / LOG
        lines = read_log(log) if log.exists() else []
        left = max(0, budget - (lines[-1]["images"] if lines else 0))
        found.append(Estimate(cell=cell, seconds=left / speed))
    return found


def _kind(cell: Cell) -> str:
    """The same text for cells whose iterations cost the same."""
    settings = {name: value for name, value in cell.settings.items() if name not in SAME_COST}
    return repr((sorted(settings.items()), cell.needs is not None))

"""A study from beginning to end: what is to come, the cells, the results."""

from collections.abc import Sequence
from pathlib import Path

from ...training.log import duration, say, show_table
from .estimate import Estimate, estimate
from .folder import StudyFolder
from .page import PAGE, write_page
from .recipe import Cell, Recipe
from .results import CELLS, TABLE, as_narrow_lines, rows, write_csv
from .schedule import Ending, Rank, run_cells
from .worker import evaluation_settings


def run_study(
    recipe: Recipe,
    out: Path,
    processes: int = 1,
    device: str | None = None,
    command: str = "",
    rank: Rank | None = None,
) -> Ending:
    """Train and measure what is left of a study, and write its results, which `command` made.

    Of processes that a launcher started together, the first says how long it will take.
    """
    check_evaluation(recipe)
    folder, rank = StudyFolder(out), rank or Rank()
    folder.open(recipe)
    if rank.rank == 0:
        _say_estimate(recipe, estimate(folder, recipe.cells, device), processes * rank.world_size)
    ending = run_cells(folder, recipe.cells, processes, device, rank)
    write_results(folder, recipe, command)
    if ending.elsewhere:
        say(f"with other processes: {len(ending.elsewhere)} cells. Who ends last writes the full results")
    return ending


def write_results(folder: StudyFolder, recipe: Recipe, command: str) -> None:
    """Show the table and write it, the single cells and the page into the folder."""
    table = rows(folder, recipe)
    for row in table:
        if reasons := row.unlike():
            name = ", ".join(f"{axis} {label}" for axis, label in row.labels.items())
            say(f"warning: cells of {name or 'the study'} were not measured alike ({'; '.join(reasons)})", always=True)
    with folder.writing():
        write_csv(folder, table)
        write_page(folder, recipe, table, command)
    show_table(as_narrow_lines(table))
    say(f"results: {folder.path / PAGE}, {folder.path / TABLE}, {folder.path / CELLS}")


def show_plan(recipe: Recipe, out: Path, processes: int = 1, device: str | None = None) -> None:
    """Show the cells of a study, which are finished, and how long the others will take; writes nothing."""
    check_evaluation(recipe)
    folder = StudyFolder(out)
    estimates = estimate(folder, recipe.cells, device)
    left = {found.cell.place: found for found in estimates}
    show_table(
        [{"cell": cell.place, "training": _state(folder, cell, left.get(cell.place))} for cell in recipe.cells],
        unbroken=("cell",),
    )
    _say_estimate(recipe, estimates, processes)


def check_evaluation(recipe: Recipe) -> None:
    """Raise a `UserError`, before anything slow, if the scores cannot be taken as the recipe says."""
    for cell in recipe.cells:
        if cell.evaluation is not None:
            evaluation_settings(cell.evaluation)


def _state(folder: StudyFolder, cell: Cell, found: Estimate | None) -> str:
    if found is None:
        return "finished"
    return found.why_not if found.seconds is None else duration(found.seconds)


def _say_estimate(recipe: Recipe, estimates: Sequence[Estimate], processes: int) -> None:
    """The time of all cells together, and by how much more processes can shorten it."""
    finished = len(recipe.cells) - len(estimates)
    already = f", {finished} finished" if finished else ""
    seconds = sum((found.seconds or 0.0 for found in estimates), start=0.0)
    shared = f", at best {duration(seconds / processes)} in {processes} processes" if processes > 1 else ""
    time = f"; about {duration(seconds)} of training one after the other{shared}, and measuring on top"
    say(f"{recipe.name}: {len(estimates)} cells to train{already}{time if estimates else ''}")
    unknown = [found for found in estimates if found.seconds is None]
    for reason in sorted({found.why_not for found in unknown}):
        count = sum(found.why_not == reason for found in unknown)
        say(f"warning: {count} of them cannot be trained: {reason}", always=True)

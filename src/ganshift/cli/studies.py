"""What trains and measures many runs: `ganshift study`."""

import shlex
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction

from ..errors import UserError
from .options import OPTIONAL, Maybe, command

SOME_FAILED = 1
"""Exit code when a cell failed."""


@command
def study(
    recipe: Positional[Maybe[str]] = None,
    *,
    out: Maybe[Path] = None,
    data: Annotated[UseAppendAction[tuple[str, ...]], OPTIONAL] = (),
    processes: int = 1,
    device: Maybe[str] = None,
    dry_run: bool = False,
    list: bool = False,
) -> int:
    """Train and score a grid of runs that a recipe describes, and compare the scores.

    The same command continues after an interruption: it skips finished runs and retries failed ones. Several such
    commands on one folder, also on several machines, share the work. docs/study.md explains recipes.

    Args:
        recipe: A recipe's file, or the name of one that ships (see --list).
        out: Folder of the study. Default: runs/ and the recipe's name.
        data: An input of the recipe as NAME=PATH; a PATH alone is its first input. Can be repeated.
        processes: Runs to train at once. They share the processor's cores and use the accelerators in turn.
        device: Where to compute, instead of where the recipe says.
        dry_run: Show the runs and how long they will take, and stop.
        list: Show the recipes that ship.

    Examples:
        ganshift study --list
        ganshift study table1-small --dry-run
        ganshift study table2-small --data my-images/ --out runs/fewer
        ganshift study my-recipe.toml --processes 2
    """
    from ..tools.study.recipe import open_study, read_recipe, shipped
    from ..training.distributed import leave_to_first
    from ..training.log import loading, say, show_table

    if list:
        show_table([{"recipe": name, "question": read_recipe(name).about} for name in shipped()])
        say("Next: ganshift study RECIPE --dry-run")
        return 0
    if not recipe:
        raise UserError("name a recipe: a file, or one that ships (ganshift study --list)")
    if processes < 1:
        raise UserError(f"processes must be at least 1, got {processes}")
    leave_to_first()  # cells are runs of one process each, and whoever a launcher started speaks of its own
    with loading():
        from ..tools.study.plan import show_plan
        from ..tools.study.run import run_study
    opened = open_study(recipe, data, out)
    if dry_run:
        show_plan(opened, processes, device)
        say("Next: the same command without --dry-run")
        return 0
    typed = ["ganshift", "study", recipe, "--out", str(opened.out), *(f"--data={given}" for given in data)]
    typed += ["--device", device] if device else []
    code = run_study(opened, processes, device, shlex.join(typed))
    if code <= SOME_FAILED:
        again = "; the same command tries again what failed" if code else ""
        say(f"Next: open {opened.out}/results.html in a browser{again}")
    return code

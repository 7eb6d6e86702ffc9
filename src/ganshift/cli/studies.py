"""What trains and measures many runs: `ganshift study`."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ..errors import UserError
from .options import read

SOME_FAILED = 1
"""Exit code when a cell failed."""


def study(arguments: Sequence[str]) -> int:
    """Train and measure a grid of runs."""
    import tyro

    @dataclass(frozen=True, kw_only=True)
    class Study:
        """Train and measure a grid of runs that a recipe describes, and lay the scores side by side.

        The same command goes on where it was interrupted, skips what is finished and tries again what failed. Several
        such commands on one folder, also on several machines, share the work. What a recipe is: docs/study.md.
        """

        recipe: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[RECIPE]")] = ""
        """A recipe's file, or the name of one that ships (see --list)."""
        out: Path | None = None
        """Folder of the study; runs/ with the recipe's name if left out."""
        data: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
        """What the recipe leaves to you, as NAME=PATH; a PATH alone is for its first name. Can be repeated."""
        processes: int = 1
        """Cells trained at once, each with its share of the processor's cores, on the accelerators in turn."""
        device: str | None = None
        """Where to compute, instead of what the recipe says."""
        dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
        """Show the cells and how long they will take, and stop."""
        list: tyro.conf.FlagCreatePairsOff[bool] = False
        """Show the recipes that ship."""

    examples = """
        ganshift study --list
        ganshift study table1-small --dry-run
        ganshift study table2-small --data my-images/ --out runs/fewer
        ganshift study my-recipe.toml --processes 2
        """
    options = read(Study, "study", arguments, examples)
    from ..runtime.log import loading, say, show_table
    from ..study.recipe import load_recipe, read_table, shipped

    if options.list:
        show_table([{"recipe": name, "question": read_table(name)[2].get("about", "")} for name in shipped()])
        say("Next: ganshift study RECIPE --dry-run")
        return 0
    if not options.recipe:
        raise UserError("name a recipe: a file, or one that ships (ganshift study --list)")
    if options.processes < 1:
        raise UserError(f"processes must be at least 1, got {options.processes}")
    recipe = load_recipe(options.recipe, options.data)
    out = options.out or Path("runs") / recipe.name
    with loading():
        from ..study.run import run_study, show_plan
        from ..study.schedule import Rank

    if options.dry_run:
        show_plan(recipe, out, options.processes, options.device)
        say("Next: the same command without --dry-run")
        return 0
    rank = Rank.take()
    command = shlex.join(["ganshift", "study", *arguments])
    ending = run_study(recipe, out, options.processes, options.device, command, rank)
    if ending.stopped_by:
        return 128 + ending.stopped_by
    say(
        f"Next: open {out}/results.html in a browser"
        + "; the same command tries again what failed" * bool(ending.failed)
    )
    alone = rank.world_size == 1  # a launcher ends all its processes when one returns an error
    return SOME_FAILED if ending.failed and alone else 0

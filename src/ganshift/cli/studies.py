"""What trains and measures many runs: `ganshift study` and `sources`."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from ..errors import UserError
from .options import OPTIONAL, Device, Json, Maybe, command

if TYPE_CHECKING:
    from ..tools.sources import RankedSource

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
    """Train and measure a grid of runs that a recipe describes, and lay the scores side by side.

    The same command goes on where it was interrupted, skips what is finished and tries again what failed. Several
    such commands on one folder, also on several machines, share the work. What a recipe is: docs/study.md.

    Args:
        recipe: A recipe's file, or the name of one that ships (see --list).
        out: Folder of the study; runs/ with the recipe's name if left out.
        data: What the recipe leaves to you, as NAME=PATH; a PATH alone is for its first name. Can be repeated.
        processes: Cells trained at once, each with its share of the processor's cores, on the accelerators in turn.
        device: Where to compute, instead of what the recipe says.
        dry_run: Show the cells and how long they will take, and stop.
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


@command
def sources(
    sources: Annotated[Positional[tuple[str, ...]], OPTIONAL, arg(metavar="[SOURCE...]")] = (),
    *,
    data: Path,
    trial_images: int = 6_400,
    num_images: Annotated[int, arg(aliases=["-n"])] = 1_000,
    preset: str = "small",
    out: Path = Path("runs/trials"),
    seed: int = 0,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Rank source models for your images: how near each is, how dense and diverse, and how a short trial goes.

    The trial decides; how often it and the other criteria were right was measured, and is said. The same command
    goes on where it was interrupted.

    Args:
        sources: What to rank: run folders, bundled sources by name, hub ids; all that ship if left out.
        data: Your images, as for ganshift transfer.
        trial_images: Images shown in each trial; 0 for none, and then distance alone ranks.
        num_images: Images drawn from a source whenever it is measured.
        preset: Preset of ganshift transfer whose beginning a trial is.
        out: Folder of the trials.
        seed: Of the trials and of what is drawn.

    Examples:
        ganshift sources --data my-images/
        ganshift sources runs/flowers runs/faces digits32 --data my-images/
        ganshift sources runs/flowers runs/faces --data my-images/ --trial-images 0 --json
    """
    from ..training.log import loading, say, show_json, show_table

    with loading():
        from ..inference.names import find_model
        from ..methods.registry import method_in
        from ..tools.sources import rank_sources, reason, reliability

    ranked, refused = rank_sources(
        data,
        sources,
        out=out,
        trial_images=trial_images,
        num_images=num_images,
        preset=preset,
        seed=seed,
        device=device,
    )
    for source, why in refused.items():
        say(f"{source} cannot be used: {why}")
    if not ranked:
        raise UserError("none of the sources can be used with these images")
    if json:
        found = {
            "ranked": [source.to_json() for source in ranked],
            "refused": [{"source": source, "reason": why} for source, why in refused.items()],
            "reason": reason(ranked),
            "reliability": reliability(),
        }
        show_json(found)
        return 0
    show_table([_row(source) for source in ranked])
    say(reason(ranked))
    say(_reliability_in_words(reliability()))
    best = ranked[0].source
    begin = f"ganshift {method_in(find_model(best)).name} --data {data} --source {shlex.quote(best)}"
    say(f"Next: {begin} --preset {preset} --out runs/mine")
    return 0


def _row(source: "RankedSource") -> dict[str, object]:
    """A line of the table; KID is that of the extractor that ships."""
    row: dict[str, object] = {
        "source": source.source,
        "KID before": f"{source.kid:.3g} ± {source.kid_error:.1g}",
        "a class": f"{source.density:,.0f}",
        "diversity": f"{source.diversity:.2f}",
    }
    if source.after_trial is not None:
        row |= {"after trial": f"{source.after_trial:.3g}", "per 1000": f"{source.slope:+.2g}"}
    return row


def _reliability_in_words(found: Mapping[str, Any]) -> str:
    """How often each criterion was right, in a sentence."""
    right = found["right"]
    often = ", ".join(f"{name} {right[name]}" for name in sorted(right, key=right.get, reverse=True))
    cases, by_chance = found["cases"], found["cases"] / found["sources"]
    return (
        f"How far to trust this: in {cases} measured cases of {found['sources']} sources each, the one that was best "
        f"after a whole run was picked by {often} times; by chance, {by_chance:g} times"
    )

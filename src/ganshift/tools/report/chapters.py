"""A chapter for the runs of a method: what they did, laid side by side where there are several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

from ...files import open_regular
from ...methods.words import DomainNames, ReportWords, shown, with_domains
from ...training.log import duration
from ...training.run_folder import LEFT_OUT, MODEL
from .page import Chapter, Commands, Facts, Figure, Notices, Panels, Part, Slider, Table
from .plots import Curve, looks, plot_curves
from .runs import Run, capitalised, number, versions_of
from .settings import all_settings, command_of, differences, unknown_settings
from .watching import best_of, watched

MOST_TERMS = 24
"""Loss terms that are drawn."""


@final
@dataclass(frozen=True, kw_only=True)
class ChapterNotes:
    """What only who made the runs knows of them."""

    introduction: str = ""
    """Takes the place of ours."""
    domains: DomainNames = ("A", "B")
    """What one image of A and one of B is, such as photo and sketch."""
    beside: Sequence[Part] = ()
    """Shown after the sample sheets."""
    last: Sequence[Part] = ()
    """Shown after everything else."""


def chapter(runs: Mapping[str, Run], notes: ChapterNotes) -> Chapter:
    """What one or more runs of one method did, by label."""
    first = next(iter(runs.values()))
    method, words = first.method, first.words
    parts: list[Part] = _problems(runs)
    if len(runs) > 1:
        parts.append(_at_a_glance(runs))
    parts += [*_evolution(runs, notes), *notes.beside]
    parts += watched(runs)
    parts += _curves(runs, words)
    parts += _differences(runs)
    if len(runs) == 1:
        (run,) = runs.values()
        parts.append(Facts(title="What ran", facts=_facts(run)))
        if settings := all_settings(run):
            parts.append(Facts(title="All settings", facts=settings, folded=True))
    parts += [*_commands(runs), *notes.last]
    introduction = notes.introduction or words.introduction(list(runs.values()), notes.domains)
    return Chapter(
        title=with_domains(words.title, notes.domains) or f"{capitalised(method.name)}: {method.summary}",
        introduction=introduction or f"{capitalised(method.summary)}.",
        parts=parts,
    )


def _problems(runs: Mapping[str, Run]) -> list[Part]:
    """What is missing of the runs, or damaged."""
    items = []
    for label, run in runs.items():
        missing = [f"There is no {MODEL}: no model was saved yet."] if not (run.path / MODEL).is_file() else []
        names = [grid.name for grid in run.grids if not run.grid_files(grid.name)] if run.grids else ["*"]
        missing += [f"There are no sample sheets (samples/{name}-*.png)." for name in names]
        prefix = f"{label}: " if len(runs) > 1 else ""
        items += [f"{prefix}{problem}" for problem in [*missing, *run.problems]]
    return [Notices(title="What is missing", items=items)] if items else []


def _evolution(runs: Mapping[str, Run], notes: ChapterNotes) -> list[Part]:
    """Grids over time: of one run all in one part, of several a part for each kind of grid."""
    parts: dict[str, Slider] = {}
    for name in dict.fromkeys(grid.name for run in runs.values() for grid in run.grids):
        for label, run in runs.items():
            grid = next((grid for grid in run.grids if grid.name == name), None)
            if grid is None or not (grids := run.grid_files(name)):
                continue
            kind = with_domains(grid.label, notes.domains)
            title, track = ("Step by step", kind) if len(runs) == 1 else (f"{kind}, step by step", label)
            caption = f"Move a slider, also with the arrow keys. {run.words.about_grids}".rstrip()
            part = parts.get(title, Slider(title=title, tracks={}, caption=caption, alt=run.words.grid_alt))
            parts[title] = replace(
                part,
                tracks={**part.tracks, track: grids},
                columns={**part.columns, track: grid.columns(run, notes.domains)},
            )
    return list(parts.values())


def _curves(runs: Mapping[str, Run], words: ReportWords) -> list[Part]:
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for label, run in runs.items():
        for line in run.log:
            for name, logged in line["terms"].items():
                if (value := number(logged)) is not None:
                    found.setdefault(name, {}).setdefault(label, []).append((line["images"], value))
    excapitaliseded = words.terms
    names = [
        *(name for name in excapitaliseded if name in found),
        *(name for name in found if name not in excapitaliseded),
    ]
    last = max((run.images for run in runs.values()), default=0)
    panels = [_term(name, found[name], runs, last, excapitaliseded.get(name, "")) for name in names[:MOST_TERMS]]
    legend = looks(list(runs)) if len(runs) > 1 else ()
    title = "Loss curves"
    return [Panels(title=title, panels=panels, caption=words.about_curves, legend=legend)] if panels else []


def _term(name: str, curves: Mapping[str, Curve], runs: Mapping[str, Run], last: int, excapitaliseded: str) -> Figure:
    ends = ", ".join(f"{label} from {curve[0][1]:.3g} to {curve[-1][1]:.3g}" for label, curve in curves.items())
    image = plot_curves(curves, list(runs), last)
    return Figure(title=shown(name), image=image, caption=excapitaliseded, alt=f"Curves of {shown(name)}: {ends}.")


def _at_a_glance(runs: Mapping[str, Run]) -> Table:
    """A row for each fact, a column for each run."""
    facts = {label: dict(_facts(run)) for label, run in runs.items()}
    names = dict.fromkeys(name for found in facts.values() for name in found)
    rows = [[name, *(found.get(name, "") for found in facts.values())] for name in names]
    return Table(title="At a glance", headings=["", *runs], rows=rows, caption="")


def _facts(run: Run) -> list[tuple[str, str]]:
    budget = run.budget
    unfinished = budget is not None and run.images < budget
    of = f" of {budget:,}; the same command goes on" if unfinished else ""
    facts = [
        *run.words.facts(run),
        ("Real images shown", f"{run.images:,}{of}"),
        ("Iterations", f"{run.iterations:,}"),
        ("Training time", duration(run.seconds)),
        *([("Best while training", best)] if (best := best_of(run)) else []),
        *([("Weights", f"{weights:,}")] if (weights := run.num_weights) else []),
        ("Seed", shown(run.settings.get("seed"))),
        ("Made with", ", ".join(f"{name} {version}" for name, version in versions_of(run).items()) or "not known"),
    ]
    if left_out := _left_out(run):
        facts.insert(1, ("Files left out", left_out))
    return facts


def _differences(runs: Mapping[str, Run]) -> list[Part]:
    if len(runs) < 2:
        return []
    rows = differences(runs)
    caption = "Everything else was the same." if rows else "All settings are the same but for the folder."
    return [Table(title="Settings that differ", headings=["setting", *runs], rows=rows, caption=caption)]


def _commands(runs: Mapping[str, Run]) -> list[Part]:
    lines = [command for run in runs.values() if (command := command_of(run))]
    unknown = list(dict.fromkeys(name for run in runs.values() for name in unknown_settings(run)))
    caption = f"Not in the command, since this version has no such setting: {', '.join(unknown)}." if unknown else ""
    title = "To make it again" if len(runs) == 1 else "To make them again"
    return [Commands(title=title, lines=lines, caption=caption)] if lines else []


def _left_out(run: Run) -> str:
    """How many files could not be used; they are listed in the run folder."""
    try:
        with open_regular(run.path / LEFT_OUT) as file:
            count = sum(1 for line in file if line.strip())
    except OSError:
        return ""
    return f"{count:,}, listed in {LEFT_OUT}" if count else ""

"""A chapter for the runs of a method: what they did, laid side by side where there are several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from ...files import open_regular
from ...methods.words import DomainNames, Grid, ReportWords, shown, with_domains
from ...training.log import duration
from ...training.run_folder import LEFT_OUT, MODEL
from .page import Chapter, Commands, Facts, Figure, Notices, Panels, Part, Slider, Table
from .plots import Curve, looks, plot_curves
from .runs import Run, capitalised, number
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
    """Shown after the sample grids."""
    last: Sequence[Part] = ()
    """Shown after everything else."""


def chapter(runs: Mapping[str, Run], notes: ChapterNotes) -> Chapter:
    """What one or more runs of one method did, by label."""
    first = next(iter(runs.values()))
    method, words = first.method, first.words
    parts: list[Part] = _problems(runs)
    if len(runs) > 1:
        parts.append(_at_a_glance(runs))
    parts += [*_grids(runs, notes), *notes.beside, *watched(runs), *_curves(runs, words)]
    if len(runs) > 1:
        rows = differences(runs)
        caption = "Everything else was the same." if rows else "All settings are the same but for the folder."
        parts.append(Table(title="Settings that differ", headings=["setting", *runs], rows=rows, caption=caption))
    else:
        parts.append(Facts(title="What ran", facts=_facts(first)))
        if settings := all_settings(first):
            parts.append(Facts(title="All settings", facts=settings, folded=True))
    introduction = notes.introduction or words.introduction(list(runs.values()), notes.domains)
    return Chapter(
        title=with_domains(words.title, notes.domains) or f"{capitalised(method.name)}: {method.summary}",
        introduction=introduction or f"{capitalised(method.summary)}.",
        parts=[*parts, *_commands(runs), *notes.last],
    )


def _problems(runs: Mapping[str, Run]) -> list[Part]:
    """What is missing of the runs, or damaged."""
    items = []
    for label, run in runs.items():
        missing = [f"There is no {MODEL}: no model was saved yet."] if not (run.path / MODEL).is_file() else []
        names = [grid.name for grid in run.grids if not run.grid_files(grid.name)] if run.grids else ["*"]
        missing += [f"There are no sample grids (samples/{name}-*.png)." for name in names]
        prefix = f"{label}: " if len(runs) > 1 else ""
        items += [f"{prefix}{problem}" for problem in [*missing, *run.problems]]
    return [Notices(title="What is missing", items=items)] if items else []


def _grids(runs: Mapping[str, Run], notes: ChapterNotes) -> list[Part]:
    """Sample grids over time: of one run all in one part, of several a part for each kind of grid."""
    found: dict[str, list[tuple[str, Run, Grid]]] = {}
    for name in dict.fromkeys(grid.name for run in runs.values() for grid in run.grids):
        for label, run in runs.items():
            for grid in run.grids:
                if grid.name == name and run.grid_files(name):
                    kind = with_domains(grid.label, notes.domains)
                    title, track = ("Step by step", kind) if len(runs) == 1 else (f"{kind}, step by step", label)
                    found.setdefault(title, []).append((track, run, grid))
    return [
        Slider(
            title=title,
            tracks={track: run.grid_files(grid.name) for track, run, grid in tracks},
            columns={track: grid.columns(run, notes.domains) for track, run, grid in tracks},
            caption=f"Move a slider, also with the arrow keys. {tracks[0][1].words.about_grids}".rstrip(),
            alt=tracks[0][1].words.grid_alt,
        )
        for title, tracks in found.items()
    ]


def _curves(runs: Mapping[str, Run], words: ReportWords) -> list[Part]:
    """A plot for each loss term, those that the method explains first."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for label, run in runs.items():
        for line in run.log:
            for name, logged in line["terms"].items():
                if (value := number(logged)) is not None:
                    found.setdefault(name, {}).setdefault(label, []).append((line["images"], value))
    names = list(dict.fromkeys([*(name for name in words.terms if name in found), *found]))[:MOST_TERMS]
    last = max((run.images for run in runs.values()), default=0)
    panels = [
        Figure(
            title=shown(name),
            image=plot_curves(found[name], list(runs), last),
            caption=words.terms.get(name, ""),
            alt=f"Curves of {shown(name)}: {', '.join(_ends(found[name]))}.",
        )
        for name in names
    ]
    legend = looks(list(runs)) if len(runs) > 1 else ()
    return [Panels(title="Loss curves", panels=panels, caption=words.about_curves, legend=legend)] if panels else []


def _ends(curves: Mapping[str, Curve]) -> list[str]:
    return [f"{label} from {curve[0][1]:.3g} to {curve[-1][1]:.3g}" for label, curve in curves.items()]


def _at_a_glance(runs: Mapping[str, Run]) -> Table:
    """A row for each fact, a column for each run."""
    facts = {label: dict(_facts(run)) for label, run in runs.items()}
    names = dict.fromkeys(name for found in facts.values() for name in found)
    rows = [[name, *(found.get(name, "") for found in facts.values())] for name in names]
    return Table(title="At a glance", headings=["", *runs], rows=rows)


def _facts(run: Run) -> list[tuple[str, str]]:
    budget = run.budget
    left = f" of {budget:,}; the same command goes on" if budget is not None and run.images < budget else ""
    weights = run.num_weights
    facts = [
        *run.words.facts(run),
        ("Real images shown", f"{run.images:,}{left}"),
        ("Iterations", f"{run.iterations:,}"),
        ("Training time", duration(run.seconds)),
        ("Best while training", best_of(run)),
        ("Weights", f"{weights:,}" if weights else ""),
        ("Seed", shown(run.settings.get("seed"))),
        ("Made with", run.made_with or "not known"),
    ]
    facts.insert(1, ("Files left out", _left_out(run)))
    return [(name, value) for name, value in facts if value]


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

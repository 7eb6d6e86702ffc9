"""A chapter for the runs of a method: what they did, laid side by side where there are several."""

from collections.abc import Mapping
from typing import Any

from ...data.domain_names import DomainNames, shared_names
from ...errors import capitalised
from ...files import open_regular
from ...methods.words import shown, with_domains
from ...training.log import duration
from ...training.run_folder import LEFT_OUT, MODEL
from .page import Figure
from .plots import looks, plot_curves
from .runs import Run, number
from .settings import all_settings, command_of, differences, unknown_settings
from .verdict import verdict
from .watching import best_of, score_curves, watched

MOST_TERMS = 24
"""Loss terms that are drawn."""


def chapter(runs: Mapping[str, Run], notes: Mapping[str, Any]) -> dict[str, Any]:
    """What report.html.j2 shows of one or more runs of one method, by label."""
    first = next(iter(runs.values()))
    method, words = first.method, first.words
    facts = {label: dict(_facts(run)) for label, run in runs.items()}
    names = dict.fromkeys(name for found in facts.values() for name in found)
    domains = shared_names(run.names for run in runs.values())
    found, scores = watched(runs), score_curves(runs)
    curves = _curves(runs, {name: with_domains(text, domains) for name, text in words.terms.items()})
    main = scores or [curve for curve in curves if curve.title == shown(words.main_term)]
    main = (main or curves * (len(runs) == 1))[:1]  # losses of several critics have no scale in common
    introduction = notes.get("introduction") or words.introduction(list(runs.values()), domains)
    return {
        "title": with_domains(words.title, domains) or f"{capitalised(method.name)}: {method.summary}",
        "introduction": introduction or f"{capitalised(method.summary)}.",
        "runs": list(runs),
        "words": words,
        "notes": notes,
        "looks": looks(list(runs)),
        "problems": _problems(runs),
        "glance": [[name, *(found.get(name, "") for found in facts.values())] for name in names],
        "grids": _grids(runs, domains),
        "verdict": verdict(runs),
        **found,
        "main": main,
        "curves": [curve for curve in (*scores, *curves) if curve not in main],
        "differences": differences(runs),
        "settings": all_settings(first),
        "commands": [command for run in runs.values() if (command := command_of(run))],
        "unknown": list(dict.fromkeys(name for run in runs.values() for name in unknown_settings(run))),
    }


def _problems(runs: Mapping[str, Run]) -> list[str]:
    """What is missing of the runs, or damaged."""
    items = []
    for label, run in runs.items():
        missing = [f"There is no {MODEL}: no model was saved yet."] if not (run.path / MODEL).is_file() else []
        names = [grid.name for grid in run.grids if not run.grid_files(grid.name)] if run.grids else ["*"]
        missing += [f"There are no sample grids (samples/{name}-*.png)." for name in names]
        prefix = f"{label}: " if len(runs) > 1 else ""
        items += [f"{prefix}{problem}" for problem in [*missing, *run.problems]]
    return items


def _grids(runs: Mapping[str, Run], domains: DomainNames) -> dict[str, list[dict[str, Any]]]:
    """Tracks of sample grids over time, by title: of one run all together, of several those of a kind."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name in dict.fromkeys(grid.name for run in runs.values() for grid in run.grids):
        for label, run in runs.items():
            for grid in run.grids:
                if grid.name == name and (frames := run.grid_files(name)):
                    kind = with_domains(grid.label, domains)
                    title, track = ("Step by step", kind) if len(runs) == 1 else (f"{kind}, step by step", label)
                    columns = grid.columns(run, domains)
                    found.setdefault(title, []).append({"label": track, "frames": frames, "columns": columns})
    return found


def _curves(runs: Mapping[str, Run], terms: Mapping[str, str]) -> list[Figure]:
    """A plot for each loss term, those that the method explains first."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for label, run in runs.items():
        for line in run.log:
            for name, logged in line["terms"].items():
                if (value := number(logged)) is not None:
                    found.setdefault(name, {}).setdefault(label, []).append((line["images"], value))
    names = list(dict.fromkeys([*(name for name in terms if name in found), *found]))[:MOST_TERMS]
    last = max((run.images for run in runs.values()), default=0)
    figures = []
    for name in names:
        ends = [f"{label} from {curve[0][1]:.3g} to {curve[-1][1]:.3g}" for label, curve in found[name].items()]
        image, alt = plot_curves(found[name], list(runs), last), f"Curves of {shown(name)}: {', '.join(ends)}."
        figures.append(Figure(title=shown(name), image=image, caption=terms.get(name, ""), alt=alt))
    return figures


def _facts(run: Run) -> list[tuple[str, str]]:
    budget = run.budget
    left = f" of {budget:,}; the same command goes on" if budget is not None and run.images < budget else ""
    facts = [
        *run.words.facts(run),
        ("Real images shown", f"{run.images:,}{left}"),
        ("Iterations", f"{run.iterations:,}"),
        ("Training time", duration(run.seconds)),
        ("Best while training", best_of(run)),
        ("Weights", f"{run.num_weights:,}" if run.num_weights else ""),
        ("Seed", shown(run.settings.get("seed"))),
        ("Made with", run.made_with or "not known"),
    ]
    facts.insert(1, ("Files left out", _left_out(run)))
    return [(name, value) for name, value in facts if value]


def _left_out(run: Run) -> str:
    """How many files could not be used; they are listed in the run folder."""
    try:
        with open_regular(run.path / LEFT_OUT) as file:
            count = sum(1 for line in file if line.strip())
    except OSError:
        return ""
    return f"{count:,}, listed in {LEFT_OUT}" if count else ""

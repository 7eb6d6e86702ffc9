"""What runs were found to be: scores while training, cards, the best model, messages on health, copies."""

from collections.abc import Mapping
from typing import Any

from ...errors import UserError
from ...methods.words import shown
from ...metrics.copying import PAIRS
from ...metrics.score_record import ScoreRecord, difference, unlike
from ...training.run_folder import BEST
from .page import Figure, Notices, Panels, Part, Table
from .plots import Curve, looks, plot_curves
from .runs import Run

LOG_SCALE = 8.0
"""Scores of which the largest is so many times the smallest are drawn on a logarithmic scale."""
MOST_SCORES = 8
"""Scores that are drawn."""


def watched(runs: Mapping[str, Run]) -> list[Part]:
    """A plot per score with a curve per run; cards side by side; what was said; the nearest pairs. What there is."""
    parts: list[Part] = []
    names = dict.fromkeys(line["score"]["name"] for run in runs.values() for line in run.evaluations)
    panels = [_score(name, runs) for name in list(names)[:MOST_SCORES]]
    if panels:
        caption = (
            "Of the averaged model, measured on the way. Lower is better, the band is one standard error to each side, "
            "and the ring is the best. What the scores mean is said in docs/metrics.md."
        )
        legend = looks(list(runs)) if len(runs) > 1 else ()
        parts.append(Panels(title="Scores while training", panels=panels, caption=caption, legend=legend))
    parts += _cards(runs)
    said = [
        f"{f'{label}, at' if len(runs) > 1 else 'At'} {images:,} images: {message}"
        for label, run in runs.items()
        for images, message in run.messages
    ]
    if said:
        parts.append(Notices(title="Health", items=said, caption="What was seen while training, and what to try."))
    return parts + _nearest(runs)


def best_of(run: Run) -> str | None:
    """The lowest score of the run and where it was; None if it was not evaluated on the way."""
    if not run.evaluations:
        return None
    name = run.evaluations[-1]["score"]["name"]
    best = min(_lines(run, name), key=lambda line: line["score"]["value"])
    kept = f", kept in {run.path.name}/{BEST}" if (run.path / BEST).is_dir() else ""
    return f"{shown(name)} {_in_words(best)}{kept}"


def _score(name: str, runs: Mapping[str, Run]) -> Figure:
    lines = {label: found for label, run in runs.items() if (found := _lines(run, name))}
    curves: dict[str, Curve] = {
        label: [(line["images"], float(line["score"]["value"])) for line in found] for label, found in lines.items()
    }
    errors = {label: [float(line["score"]["error"]) for line in found] for label, found in lines.items()}
    lowest = min(
        value - error for label in curves for (_, value), error in zip(curves[label], errors[label], strict=True)
    )
    highest = max(value for curve in curves.values() for _, value in curve)
    best = [
        f"{f'{label}: ' if len(runs) > 1 else ''}{_in_words(min(found, key=lambda line: line['score']['value']))}"
        for label, found in lines.items()
    ]
    logarithmic = lowest > 0 and highest > LOG_SCALE * lowest
    last = max(curve[-1][0] for curve in curves.values())
    return Figure(
        title=shown(name),
        image=plot_curves(curves, list(runs), last, errors=errors, logarithmic=logarithmic),
        caption=f"Best: {'; '.join(best)}.{' The scale is logarithmic.' if logarithmic else ''}",
        alt=f"Curves of {shown(name)}. Best: {'; '.join(best)}.",
    )


def _lines(run: Run, name: str) -> list[Mapping[str, Any]]:
    return [line for line in run.evaluations if line["score"]["name"] == name]


def _in_words(line: Mapping[str, Any]) -> str:
    return f"{line['score']['value']:.3g} ± {line['score']['error']:.1g} at {line['images']:,} images"


def _cards(runs: Mapping[str, Run]) -> list[Part]:
    """A table with a row for cards that are alike, and what keeps others of the same score apart."""
    groups: list[dict[str, ScoreRecord]] = []
    every = [(label, record) for label, run in runs.items() for record in run.records]
    for label, record in sorted(every, key=lambda pair: pair[1].rank):
        alike = (group for group in groups if label not in group and not unlike(next(iter(group.values())), record))
        group = next(alike, None)
        if group is None:
            group = {}
            groups.append(group)
        group[label] = record
    if not groups:
        return []
    several = len(runs) > 1
    rows: list[list[str]] = []
    apart: dict[str, list[str]] = {}
    for index, group in enumerate(groups):
        first = next(iter(group.values()))
        values = [group[label].text if label in group else "" for label in runs]
        measured = f"{first.num_generated:,} images, of {first.num_reference:,} {first.reference_split or ''}".strip()
        rows.append([first.name, *values, *([_verdict(group)] if several else []), measured])
        before = next((each for each in groups[:index] if next(iter(each.values())).name == first.name), None)
        if before is not None:
            apart.setdefault("; ".join(unlike(next(iter(before.values())), first)), []).append(first.name)
    caption = "By ganshift evaluate, with the spread that docs/metrics.md explains."
    if several:
        caption += " One row is what was measured in one way, so that its scores may be compared."
    if several and apart:
        reasons = " ".join(f"{', '.join(names)}: {why}." for why, names in apart.items())
        caption += f" Scores in more than one row were measured differently. {reasons}"
    headings = ["score", *(list(runs) if several else ["value"]), *(["clearly better"] if several else []), "measured"]
    numbers = list(runs) if several else ["value"]
    table = Table(title="Scores", headings=headings, rows=rows, caption=caption, numbers=numbers, unbroken=["measured"])
    return [table]


def _verdict(group: Mapping[str, ScoreRecord]) -> str:
    """The run that is clearly better than every other; "none" if no one is, and nothing if there is no other."""
    if len(group) < 2:
        return ""
    for label, record in group.items():
        others = [other for name, other in group.items() if name != label]
        try:
            if all(difference(other, record).verdict == "B is better" for other in others):
                return label
        except UserError:  # alike to the first of the group, but not to each other
            return ""
    return "none"


def _nearest(runs: Mapping[str, Run]) -> list[Part]:
    panels = []
    for label, run in runs.items():
        if run.verdict is None:
            continue
        said, count = run.verdict.in_words(), len(run.verdict.pairs)
        panels.append(
            Figure(
                title=label,
                image=run.path / PAIRS,
                caption=f"{said[0].upper()}{said[1:]}.",
                alt=f"{count} generated images above their nearest training images.",
            )
        )
    if not panels:
        return []
    caption = "Above, the generated images that lie nearest to a training image; below, those training images."
    return [Panels(title="Is it copying?", panels=panels, caption=caption)]

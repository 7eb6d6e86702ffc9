"""What runs were found to be: scores while training and after it, the best model, messages on health, copies."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...data.domain_names import shared_names, way_in_words
from ...errors import capitalised
from ...methods.words import shown
from ...metrics.copying import PAIRS
from ...metrics.score_record import ScoreRecord, difference, unlike
from ...training.run_folder import BEST
from .page import Figure
from .plots import Curve, plot_curves
from .runs import Run

LOG_SCALE = 8.0
"""Scores of which the largest is so many times the smallest are drawn on a logarithmic scale."""
MOST_SCORES = 8
"""Scores that are drawn."""


def watched(runs: Mapping[str, Run]) -> dict[str, Any]:
    """Score records side by side, what was said, nearest pairs; empty where there are none."""
    records, apart = _records(runs)
    return {
        "records": records,
        "apart": apart,
        "messages": [
            f"{f'{label}, at' if len(runs) > 1 else 'At'} {images:,} images: {message}"
            for label, run in runs.items()
            for images, message in run.messages
        ],
        "nearest": [
            Figure(
                title=label,
                image=run.path / PAIRS,
                caption=f"{capitalised(run.verdict.in_words())}.",
                alt=f"{len(run.verdict.pairs)} generated images above their nearest training images.",
            )
            for label, run in runs.items()
            if run.verdict is not None
        ],
    }


def score_curves(runs: Mapping[str, Run]) -> list[Figure]:
    """A plot for each score that was taken of a run more than once."""
    names = dict.fromkeys(line["score"]["name"] for run in runs.values() for line in run.evaluations)
    drawn = [name for name in names if any(len(lines_of(run, name)) > 1 for run in runs.values())]
    return [_score(name, runs) for name in drawn[:MOST_SCORES]]


def best_of(run: Run) -> str:
    """The lowest score of the run and where it was; empty if it was not evaluated on the way."""
    if not run.evaluations:
        return ""
    name = run.evaluations[-1]["score"]["name"]
    kept = f", kept in {run.path.name}/{BEST}" if (run.path / BEST).is_dir() else ""
    return f"{shown(name)} {_best(lines_of(run, name))}{kept}"


def _score(name: str, runs: Mapping[str, Run]) -> Figure:
    lines = {label: found for label, run in runs.items() if (found := lines_of(run, name))}
    curves: dict[str, Curve] = {
        label: [(line["images"], float(line["score"]["value"])) for line in found] for label, found in lines.items()
    }
    errors = {label: [float(line["score"]["error"]) for line in found] for label, found in lines.items()}
    values = [value for curve in curves.values() for _, value in curve]
    spreads = [error for found in errors.values() for error in found]
    lowest = min(value - error for value, error in zip(values, spreads, strict=True))
    logarithmic = lowest > 0 and max(values) > LOG_SCALE * lowest
    last = max(curve[-1][0] for curve in curves.values())
    best = "; ".join(f"{label}: " * (len(runs) > 1) + _best(found) for label, found in lines.items())
    return Figure(
        title=shown(name),
        image=plot_curves(curves, list(runs), last, errors=errors, logarithmic=logarithmic),
        caption=f"Best: {best}. The band shows one standard error to each side."
        + " The scale is logarithmic." * logarithmic,
        alt=f"Curves of {shown(name)}. Best: {best}.",
    )


def lines_of(run: Run, name: str) -> list[Mapping[str, Any]]:
    """The evaluations of a run by a score, in the order of training."""
    return [line for line in run.evaluations if line["score"]["name"] == name]


def lowest(lines: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The best of some evaluations by one score."""
    return min(lines, key=lambda line: line["score"]["value"])


def _best(lines: Sequence[Mapping[str, Any]]) -> str:
    line = lowest(lines)
    return f"{line['score']['value']:.3g} ± {line['score']['error']:.1g} at {line['images']:,} images"


def _records(runs: Mapping[str, Run]) -> tuple[list[list[str]], list[str]]:
    """Rows of records that are alike, with a value for each run, and what keeps others of the same score apart."""
    rows: list[list[str]] = []
    apart: dict[str, list[str]] = {}
    firsts: dict[str, ScoreRecord] = {}
    names = shared_names(run.names for run in runs.values())
    for row in alike(runs):
        first = next(iter(row.values()))
        values = [row[label].text if label in row else "" for label in runs]
        measured = f"{first.num_generated:,} images, of {first.num_reference:,} {first.reference_split or ''}".strip()
        rows.append(
            [way_in_words(first.name, names), *values, *([clearly_better(row)] if len(runs) > 1 else []), measured]
        )
        before = firsts.setdefault(first.name, first)
        if before is not first:
            apart.setdefault("; ".join(unlike(before, first)), []).append(way_in_words(first.name, names))
    return rows, [f"{', '.join(scores)}: {why}." for why, scores in apart.items()]


def alike(runs: Mapping[str, Run]) -> list[dict[str, ScoreRecord]]:
    """Score records by the label of their run, together where they were measured alike; the more telling ones first."""
    found: dict[str, dict[str, ScoreRecord]] = {}
    every = [(label, record) for label, run in runs.items() for record in run.records]
    for label, record in sorted(every, key=lambda pair: pair[1].rank):
        found.setdefault(repr((record.how, record.versions)), {})[label] = record
    return list(found.values())


def clearly_better(row: Mapping[str, ScoreRecord]) -> str:
    """The run that is clearly better than every other; "none" if no one is, and nothing if there is no other."""
    if len(row) < 2 or any(record.judges_itself for record in row.values()):
        return ""
    for label, record in row.items():
        others = [other for name, other in row.items() if name != label]
        if all(difference(other, record).verdict == "B is better" for other in others):
            return label
    return "none"

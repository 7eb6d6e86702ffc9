"""What came of runs in a few sentences, from scores and health and never from settings."""

from collections import Counter
from collections.abc import Iterator, Mapping

from ...data.domain_names import DomainNames, shared_names, way_in_words
from ...methods.words import shown
from ...metrics.score_record import ScoreRecord
from .runs import Run, capitalised
from .watching import alike, clearly_better, lines_of, lowest


def verdict(runs: Mapping[str, Run]) -> list[str]:
    """A sentence on the most telling score that was measured alike of several runs, then what was seen of each run."""
    row = next((row for row in alike(runs) if clearly_better(row)), {})
    said = []
    for label, run in runs.items():
        # What was scored once has been said beside the others.
        scored = [] if label in row and len(run.evaluations) == 1 else [_score(run)]
        said += [(label, each) for each in (*_progress(run), *scored, *_health(run))]
    times = Counter(each for _, each in said)
    found = dict.fromkeys(each if times[each] == len(runs) else f"{label}: {each}" for label, each in said)
    return [*([_compared(row, shared_names(run.names for run in runs.values()))] if row else []), *found]


def _compared(row: Mapping[str, ScoreRecord], names: DomainNames) -> str:
    better, score = clearly_better(row), way_in_words(next(iter(row.values())).name, names)
    values = ", ".join(f"{label} {record.text}" for label, record in row.items())
    return f"By {score}, {'no run' if better == 'none' else better} is clearly better: {values}."


def _progress(run: Run) -> Iterator[str]:
    budget = run.budget
    if budget is not None and run.images < budget:
        yield f"Not finished: {run.images:,} of {budget:,} images were shown."


def _health(run: Run) -> Iterator[str]:
    if run.messages:
        images, message = run.messages[-1]
        warnings = "a warning" if len(run.messages) == 1 else f"{len(run.messages)} warnings, the last"
        yield f"There was {warnings} at {images:,} images: {message}"
    elif run.log:
        yield "No sign of a collapse was seen."
    if run.verdict is not None:
        yield f"{capitalised(run.verdict.in_words())}."


def _score(run: Run) -> str:
    """Where the score was lowest while training, and whether it still fell; else the first of the cards."""
    if not run.evaluations:
        if not run.records:
            return "Not scored yet: ganshift evaluate does that."
        record = min(run.records, key=lambda record: record.rank)
        return f"{way_in_words(record.name, run.names)} is {record.text}."
    name = run.evaluations[-1]["score"]["name"]
    lines = lines_of(run, name)
    best, last = lowest(lines), lines[-1]
    score, where = best["score"], f"at {best['images']:,} images"
    text = f"{capitalised(shown(name))} was best {where}: {score['value']:.3g} ± {score['error']:.1g}"
    if best is not last:
        return f"{text}. At the end it was {last['score']['value']:.3g}; lower is better."
    return f"{text}, its last evaluation" + (": more training may help." if len(lines) > 1 else ".")

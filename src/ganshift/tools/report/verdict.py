"""What came of runs in a few sentences, from scores and health and never from settings."""

from collections import Counter
from collections.abc import Iterator, Mapping

from ...data.domain_names import DomainNames, shared_names, way_in_words
from ...errors import capitalised
from ...methods.words import shown
from ...metrics.score_record import ScoreRecord
from .runs import Run
from .watching import alike, clearly_better, lines_of, lowest


def verdict(runs: Mapping[str, Run]) -> list[str]:
    """A sentence on the most telling score that was measured alike of several runs, then what was seen of each run."""
    row = next((row for row in alike(runs) if clearly_better(row)), {})
    found = [_compared(row, shared_names(run.names for run in runs.values()))] if row else []
    times = Counter(each for run in runs.values() for each in (*_progress(run), *_health(run)))
    for label, run in runs.items():
        # What was scored once has been said beside the others. Equal scores may have been measured in different ways.
        scored = [] if label in row and len(run.evaluations) == 1 else _score(run)
        said = (*_progress(run), *scored, *_health(run))
        found += [f"{label}: {each}" if len(runs) > 1 and times[each] < len(runs) else each for each in said]
    return list(dict.fromkeys(found))


def _compared(row: Mapping[str, ScoreRecord], names: DomainNames) -> str:
    better, score = clearly_better(row), way_in_words(next(iter(row.values())).name, names)
    values = ", ".join(f"{label} {record.text}" for label, record in row.items())
    return f"By {score}, {'no run' if better == 'none' else better} is clearly better: {values}."


def _progress(run: Run) -> Iterator[str]:
    budget = run.budget
    if budget is not None and run.images < budget:
        yield f"Not finished: {run.images:,} of {budget:,} images were shown."
    if not run.evaluations and not run.records:
        yield "Not scored yet: ganshift evaluate does that."


def _health(run: Run) -> Iterator[str]:
    if run.messages:
        images, message = run.messages[-1]
        warnings = "a warning" if len(run.messages) == 1 else f"{len(run.messages)} warnings, the last"
        yield f"There was {warnings} at {images:,} images: {message}"
    elif run.log:
        yield "No sign of a collapse was seen."
    if run.verdict is not None:
        yield f"{capitalised(run.verdict.in_words())}."


def _score(run: Run) -> Iterator[str]:
    """Where the score was lowest while training, and whether it still fell; else the first of the cards."""
    if not run.evaluations:
        for record in sorted(run.records, key=lambda record: record.rank)[:1]:
            yield f"{way_in_words(record.name, run.names)} is {record.text}."
        return
    name = run.evaluations[-1]["score"]["name"]
    lines = lines_of(run, name)
    best, last = lowest(lines), lines[-1]
    score, where = best["score"], f"at {best['images']:,} images"
    text = f"{capitalised(shown(name))} was best {where}: {score['value']:.3g} ± {score['error']:.1g}"
    if best is not last:
        yield f"{text}. At the end it was {last['score']['value']:.3g}; lower is better."
    else:
        yield f"{text}, its last evaluation" + (": more training may help." if len(lines) > 1 else ".")

"""What came of a study: scores of single cells, their means over seeds, and both as files."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, final

import numpy as np
from scipy.stats import t as student_t

from ...metrics.score_record import ScoreRecord, record_from, unlike
from ...training.run_folder import write_text
from ..report.runs import Run, open_run
from .cell import Cell
from .recipe import SEED, Study
from .verdict import CONFIDENCE

TABLE, CELLS = "results.csv", "cells.csv"
"""Means, one line a row and score; and what was measured, one line a cell and score."""


@final
@dataclass(frozen=True)
class Interval:
    """The mean of some values, and how sure it is."""

    mean: float
    half_width: float | None
    """Of the 95 % confidence interval by Student's t distribution; one value alone has none."""
    number: int

    def __str__(self) -> str:
        spread = "" if self.half_width is None else f" ± {_plain(self.half_width, 2)}"
        return f"{_plain(self.mean, 4)}{spread}"


def _plain(value: float, digits: int) -> str:
    """So many significant digits, without an exponent."""
    return np.format_float_positional(value, precision=digits, fractional=False, trim="-")


def interval(values: Sequence[float]) -> Interval:
    """Mean and confidence interval of independent values that are roughly normal."""
    number = len(values)
    if number < 2:
        return Interval(fmean(values), None, number)
    half_width = float(student_t.ppf((1 + CONFIDENCE) / 2, number - 1)) * stdev(values) / sqrt(number)
    return Interval(fmean(values), half_width, number)


@final
@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a finished cell."""

    cell: Cell
    run: Run
    scores: Mapping[str, ScoreRecord]
    """What its evaluation came to, by the names of `_comparable`."""

    def curve(self, score: str) -> dict[int, float]:
        """A score by the images shown so far, as far as the run was measured on the way."""
        return {
            line["images"]: record.value
            for line in self.run.evaluations
            for record in map(record_from, line["cards"])
            if score in self.scores and record.name == self.scores[score].name
        }


@final
@dataclass(frozen=True, kw_only=True)
class Row:
    """Cells that differ in nothing but the seed."""

    labels: Mapping[str, str]
    """By axis, but for the repeating one."""
    results: Sequence[Result]
    """Of those that are finished."""

    def scores(self) -> dict[str, Interval]:
        """Each score over the cells that have it."""
        values: dict[str, list[float]] = {}
        for result in self.results:
            for name, record in result.scores.items():
                values.setdefault(name, []).append(record.value)
        return {name: interval(found) for name, found in values.items()}

    def curve(self, score: str) -> list[tuple[int, float]]:
        """The mean of a score at the images shown so far, where all cells were measured."""
        curves = [result.curve(score) for result in self.results]
        shared = set.intersection(*map(set, curves)) if curves else set()
        return [(images, fmean(curve[images] for curve in curves)) for images in sorted(shared)]


def rows(study: Study) -> list[Row]:
    """The rows of the table in the order of the grid."""
    measured = {cell.place: _fair(cell.records()) for cell in study.cells if cell.evaluation is not None}
    comparable = _comparable([record for records in measured.values() for record in records or ()])
    groups: dict[tuple[tuple[str, str], ...], list[Result]] = {}
    for cell in study.cells:
        if cell.evaluation is not None:
            place = tuple((axis, label) for axis, label in cell.labels.items() if axis != SEED)
            found = groups.setdefault(place, [])
            if (records := measured[cell.place]) is not None:
                scores = {_name_among(comparable, record): record for record in records}
                found.append(Result(cell=cell, run=open_run(cell.run), scores=scores))
    return [Row(labels=dict(place), results=results) for place, results in groups.items()]


def _fair(records: list[ScoreRecord] | None) -> list[ScoreRecord] | None:
    """Without those of networks that trained what they judge."""
    return None if records is None else [record for record in records if not record.judges_itself]


def _comparable(records: Sequence[ScoreRecord]) -> dict[str, ScoreRecord]:
    """Of all scores that `ganshift compare` would compare the first, by a name; others of its metric are numbered."""
    kinds: dict[str, list[ScoreRecord]] = {}
    for record in records:
        firsts = kinds.setdefault(record.name, [])
        if all(unlike(first, record) for first in firsts):
            firsts.append(record)
    return {
        name if len(firsts) == 1 else f"{name} #{number}": first
        for name, firsts in kinds.items()
        for number, first in enumerate(firsts, start=1)
    }


def _name_among(comparable: Mapping[str, ScoreRecord], record: ScoreRecord) -> str:
    return next(name for name, first in comparable.items() if first.name == record.name and not unlike(first, record))


def _firsts(table: Sequence[Row]) -> dict[str, ScoreRecord]:
    """One record of each score that any row has, in the usual order."""
    found = {name: record for row in table for result in row.results for name, record in result.scores.items()}
    return dict(sorted(found.items(), key=lambda item: (item[1].rank, item[0])))


def score_names(table: Sequence[Row]) -> list[str]:
    """The scores that any row has, in the usual order."""
    return list(_firsts(table))


def kept_apart(table: Sequence[Row]) -> list[str]:
    """A sentence for each two columns of one metric, which says why they cannot be compared."""
    firsts = _firsts(table)
    return [
        f"{one} and {other} cannot be compared ({'; '.join(unlike(firsts[one], firsts[other]))})"
        for one, other in pairwise(firsts)
        if firsts[one].name == firsts[other].name
    ]


def means(table: Sequence[Row]) -> list[tuple[Mapping[str, str], str, Interval]]:
    """Labels, score and mean, score by score, so that what is to be compared stands together."""
    found = [(row.labels, row.scores()) for row in table]
    return [(labels, name, scores[name]) for name in score_names(table) for labels, scores in found if name in scores]


def write_csv(out: Path, table: Sequence[Row]) -> None:
    """Write both files, whole or not at all."""
    averaged: list[dict[str, Any]] = [
        {
            **labels,
            "score": name,
            "n": found.number,
            "mean": found.mean,
            "low": "" if found.half_width is None else found.mean - found.half_width,
            "high": "" if found.half_width is None else found.mean + found.half_width,
        }
        for labels, name, found in means(table)
    ]
    single: list[dict[str, Any]] = [
        {
            "cell": result.cell.place,
            **result.cell.labels,
            "images": result.run.images,
            "seconds": result.run.seconds,
            "score": name,
            "value": record.value,
            "spread": record.spread,
            "generated": record.num_generated,
            "reference": record.num_reference,
            "model": record.model_hash,
        }
        for row in table
        for result in row.results
        for name, record in result.scores.items()
    ]
    for name, lines in ((TABLE, averaged), (CELLS, single)):
        text = io.StringIO()
        if lines:
            writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)
        write_text(out / name, text.getvalue())

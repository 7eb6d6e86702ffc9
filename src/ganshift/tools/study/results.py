"""What came of a study: scores of single cells, their means over seeds, and both as files."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, final

import numpy as np

from ...metrics.score_record import ScoreRecord, unlike
from ...training.run_folder import EVALUATIONS, read_log, write_text
from .folder import StudyFolder
from .recipe import SEED, Cell, Recipe

CONFIDENCE = 0.95
MOST_COLUMNS = 5
"""Scores beside each other on a terminal."""
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
    from scipy.stats import t

    return Interval(
        fmean(values), float(t.ppf((1 + CONFIDENCE) / 2, number - 1)) * stdev(values) / sqrt(number), number
    )


@final
@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of one cell."""

    cell: Cell
    run: Path
    record: Mapping[str, Any]

    @property
    def records(self) -> list[ScoreRecord]:
        """The scores of the finished model."""
        return [ScoreRecord(**record) for record in self.record["cards"]]

    def curve(self) -> dict[str, dict[int, float]]:
        """By score, its values at the images shown so far, as far as the run was measured on the way.

        The score of the finished model is among them unless it was got in another way than those before.
        """
        path = self.run / EVALUATIONS
        steps = [
            (line["images"], ScoreRecord(**record))
            for line in (read_log(path) if path.exists() else [])
            for record in line["cards"]
        ]
        last = {record.name: record for _, record in steps}
        found: dict[str, dict[int, float]] = {}
        for images, record in [*steps, *((self.record["images"], record) for record in self.records)]:
            if not unlike(record, last.get(record.name, record)):
                found.setdefault(record.name, {})[images] = record.value
        return found


@final
@dataclass(frozen=True, kw_only=True)
class Row:
    """Cells that differ in nothing but the seed."""

    labels: Mapping[str, str]
    """By axis, but for the repeating one."""
    results: Sequence[Result]

    def scores(self) -> dict[str, Interval]:
        """Each score over the cells that have it."""
        values: dict[str, list[float]] = {}
        for result in self.results:
            for record in result.records:
                values.setdefault(record.name, []).append(record.value)
        return {name: interval(found) for name, found in values.items()}

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """By score, its mean at the images shown so far, where all cells were measured."""
        curves = [result.curve() for result in self.results]
        means: dict[str, list[tuple[int, float]]] = {}
        for name in curves[0] if curves else ():
            shared = set.intersection(*(set(curve.get(name, {})) for curve in curves))
            means[name] = [(images, fmean(curve[name][images] for curve in curves)) for images in sorted(shared)]
        return means

    def unlike(self) -> list[str]:
        """What keeps the cells' scores from being averaged; empty if nothing does."""
        first = {record.name: record for record in self.results[0].records} if self.results else {}
        others = (record for result in self.results[1:] for record in result.records)
        return sorted(
            {reason for record in others if record.name in first for reason in unlike(first[record.name], record)}
        )


def rows(folder: StudyFolder, recipe: Recipe) -> list[Row]:
    """The rows of the table in the order of the grid; those without a finished cell have no results."""
    groups: dict[tuple[tuple[str, str], ...], list[Result]] = {}
    for cell in recipe.cells:
        if cell.evaluation is not None:
            place = tuple((axis, label) for axis, label in cell.labels.items() if axis != SEED)
            found = groups.setdefault(place, [])
            if record := folder.record(cell):
                found.append(Result(cell=cell, run=folder.run(cell), record=record))
    return [Row(labels=dict(place), results=results) for place, results in groups.items()]


def score_names(table: Sequence[Row]) -> list[str]:
    """The scores that any row has, in the usual order."""
    found = {record.name: record for row in table for result in row.results for record in result.records}
    return sorted(found, key=lambda name: (found[name].rank, name))


def as_lines(table: Sequence[Row]) -> list[dict[str, str]]:
    """The table as texts by column: axes, number of cells, and mean with half of the confidence interval."""
    names = score_names(table)
    lines = []
    for row in table:
        scores = row.scores()
        texts = {name: str(scores[name]) if name in scores else "" for name in names}
        lines.append({**row.labels, "n": str(len(row.results)), **texts})
    return lines


def as_narrow_lines(table: Sequence[Row]) -> list[dict[str, str]]:
    """The same with one line a score where there are too many scores for the width of a terminal."""
    names = score_names(table)
    if len(names) <= MOST_COLUMNS:
        return as_lines(table)
    return [
        {**{key: text for key, text in line.items() if key not in names}, "score": name, "value": line[name]}
        for line in as_lines(table)
        for name in names
    ]


def write_csv(folder: StudyFolder, table: Sequence[Row]) -> None:
    """Write both files, whole or not at all."""
    means = [
        {
            **row.labels,
            "score": name,
            "n": found.number,
            "mean": found.mean,
            "low": "" if found.half_width is None else found.mean - found.half_width,
            "high": "" if found.half_width is None else found.mean + found.half_width,
        }
        for row in table
        for name, found in row.scores().items()
    ]
    single = [
        {
            "cell": result.cell.place,
            **result.cell.labels,
            "images": result.record["images"],
            "seconds": result.record["seconds"],
            "score": record.name,
            "value": record.value,
            "spread": record.spread,
            "generated": record.num_generated,
            "reference": record.num_reference,
            "model": record.model_hash,
        }
        for row in table
        for result in row.results
        for record in result.records
    ]
    for name, lines in ((TABLE, means), (CELLS, single)):
        text = io.StringIO()
        if lines:
            writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)
        write_text(folder.path / name, text.getvalue())

"""Score records on disk: in the folder `cards` of a run, one file each; and what those of two runs differ by."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..training import run_folder
from .score_record import ScoreRecord, difference, load_record, unlike

RECORDS = "cards"
"""Folder of a run that has its score records, which users know as cards."""


def write_records(run: Path, records: Sequence[ScoreRecord]) -> list[Path]:
    """Write each record as one file; a later one of the same settings, whatever the model then is, takes its place."""
    folder, paths = run / RECORDS, []
    with run_folder.writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for record in records:
            name = "-".join([record.metric.lower().replace(" ", "-"), *filter(None, [record.extractor])])
            text = repr(record.how).replace("ScoreRecord(", "Card(", 1)  # so that files keep the names of 0.1.0
            paths.append(folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json")
            run_folder.write_json(paths[-1], record.to_json())
    return paths


def compare(first: Path, second: Path) -> list[dict[str, Any]]:
    """Rows of what two records, or those of two runs, differ by; a `UserError` names what makes them unlike.

    Of runs, records are compared that have one alike in the other run.
    """
    ours, theirs = records_of(first), records_of(second)
    alike = [(a, b) for a in ours for b in theirs if not unlike(a, b)]
    if not alike:
        pairs = [(a, b) for a in ours for b in theirs if a.metric == b.metric]
        if not pairs:
            named = [", ".join(dict.fromkeys(record.name for record in records)) for records in (ours, theirs)]
            raise UserError(f"{first} and {second} have no score in common: {named[0]} / {named[1]}")
        difference(*min(pairs, key=lambda pair: len(unlike(*pair))))
    rows = []
    for a, b in alike:
        found = difference(a, b)
        change = f"{found.value:+.4g} ± {found.standard_error:.2g}"
        values = {"A": f"{a.value:.4g}", "B": f"{b.value:.4g}"}
        rows.append({"score": a.name, **values, "B - A": change, "verdict": found.verdict})
    return rows


def records_of(path: Path) -> list[ScoreRecord]:
    """The records of a run folder, in the usual order, or the one of a file."""
    if not path.is_dir():
        return [load_record(path)]
    found = [load_record(file) for file in sorted((path / RECORDS).glob("*.json"))]
    if not found:
        raise UserError(f"{path} has no cards: make some with ganshift evaluate {path}")
    return sorted(found, key=lambda record: record.rank)

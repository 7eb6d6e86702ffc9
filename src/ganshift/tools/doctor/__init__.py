"""`ganshift doctor`: what a data set is, what is wrong with it, and what to run on it; `docs/doctor.md` says more."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ...data.decoding import Progress
from ...errors import UserError
from ...methods.advice import Advice
from ...methods.registry import throughput_of
from ...training.config import require
from ...training.device import choose_device
from ...training.log import ProgressLine, say
from ...training.throughput import Throughput
from .advice import advise
from .alike import THUMB, Alike, find_alike
from .findings import DataFinding, find_problems
from .parts import Part, find_parts
from .scan import PartFacts, Picture, scan

FORMAT = 1
"""Of the JSON; a larger number means that a key changed its meaning or is gone."""
PROBLEM = 1
"""Exit code where training would fail."""


@dataclass(frozen=True)
class Report:
    """All that was found."""

    data: list[Path]
    facts: list[PartFacts]
    alike: Alike
    findings: list[DataFinding]
    advised: Sequence[Advice]
    """Runs to start with; none where nothing can be trained."""
    throughput: Throughput | None
    """Of the first of them; None where it was not taken."""

    @property
    def advice(self) -> Advice | None:
        """The first of the advised runs."""
        return self.advised[0] if self.advised else None

    @property
    def exit_code(self) -> int:
        """1 where training would fail, else 0."""
        return PROBLEM if any(finding.severity == "problem" for finding in self.findings) else 0

    @property
    def total_seconds(self) -> float | None:
        """What the advised run takes at this throughput."""
        if self.throughput is None or self.advice is None:
            return None
        return self.throughput.seconds_per_1000_images * self.advice.budget / 1000

    def to_json(self) -> dict[str, Any]:
        """All as JSON values."""
        names = [f"{facts.part.name}: {name}" for facts in self.facts for name in facts.names]
        return {
            "format": FORMAT,
            "ganshift": __version__,
            "data": [str(path) for path in self.data],
            "exit_code": self.exit_code,
            "parts": [facts.to_json() for facts in self.facts],
            "duplicates": [[names[index] for index in group] for group in self.alike.exact],
            "near_duplicates": [[names[index] for index in group] for group in self.alike.near],
            "findings": [finding.to_json() for finding in self.findings],
            "advice": None if self.advice is None else self.advice.to_json(),
            **({"other_advice": others} if (others := [each.to_json() for each in self.advised[1:]]) else {}),
            "pace": None
            if self.throughput is None
            else {
                "device": str(choose_device()),
                "images": self.throughput.images,
                "seconds": round(self.throughput.seconds, 3),
                "seconds_per_1000_images": round(self.throughput.seconds_per_1000_images, 3),
                "total_seconds": round(self.total_seconds or 0.0, 1),
            },
        }


def examine(data: Path, data_b: Path | None = None, seconds: int | float = 5.0) -> Report:
    """Look at every picture, judge, advise, and train for a few seconds to see how fast that goes; writes nothing.

    `seconds` of 0 leaves the throughput out. A `UserError` is raised only where a name is wrong; data that is there and
    cannot be trained on is a finding.
    """
    require(0 <= seconds < inf, f"seconds must be at least 0, got {seconds}")
    given = [path for path in (data, data_b) if path is not None]
    try:
        parts = find_parts(data, data_b)
    except UserError as error:
        if not all(_is_there(path) for path in given):
            raise
        what, _, do = str(error).partition("; ")
        problem = DataFinding("problem", "cannot_open", what, f"{do[:1].upper()}{do[1:]}." if do else "")
        return Report(given, [], _alike([]), [problem], [], None)
    facts = _scan_all(parts)
    alike = _alike([picture for part in facts for picture in part.pictures])
    train = [part for part in facts if part.part.split == "train"]
    can_train = all(part.pictures for part in train)
    advised = advise(train, data, data_b, choose_device().type != "cpu") if can_train else []
    findings = find_problems(facts, alike, advised[0].size if advised else None)
    found = None
    if advised and seconds > 0:
        say(f"opening images as training does, and training for {seconds:g} s to see the pace")
        try:
            found = throughput_of(advised[0].config, seconds)
        except UserError as error:
            findings.insert(0, DataFinding("problem", "training_fails", str(error), ""))
    return Report(given, facts, alike, findings, advised, found)


def _alike(pictures: list[Picture]) -> Alike:
    thumbs = np.empty((len(pictures), THUMB, THUMB, 3), np.uint8)
    for index, picture in enumerate(pictures):
        thumbs[index] = picture.thumb
    return find_alike([picture.digest for picture in pictures], thumbs)


def _is_there(path: Path) -> bool:
    """Whether something lies at a path, be it inside a zip."""
    return path.exists() or any(parent.is_file() for parent in path.parents)


def _scan_all(parts: list[Part]) -> list[PartFacts]:
    """Scan the parts one after the other under one progress bar."""
    facts: list[PartFacts] = []
    with ProgressLine("looking at images", sum(len(part.names) for part in parts)) as line:
        for part in parts:
            facts.append(scan(part, _from(line, sum(len(done.part.names) for done in facts))))
    return facts


def _from(line: ProgressLine, before: int) -> Progress:
    def update(done: int, total: int) -> None:
        line.update(before + done)

    return update

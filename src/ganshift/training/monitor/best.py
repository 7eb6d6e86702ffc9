"""The best evaluation of a run: which it is, whether more training is likely to help, and its folder."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from .. import checkpoint, run_folder
from .health import Finding, Remembered

PATIENCE = 5
"""Evaluations without a clear improvement before more training is called unlikely to help."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a method finds of its model while training."""

    name: str
    """Of the score that the best is chosen by, such as KID[cifar]."""
    value: float
    """Of that score; lower is better."""
    error: float
    """Its standard error."""
    protocol: str
    """Changes where values are no longer comparable."""
    records: Sequence[Mapping[str, Any]]
    """All scores, as JSON."""
    diversity: Mapping[str, float] = field(default_factory=dict)
    """How much images differ, relative to real ones, by what images."""
    signs: Mapping[str, float] = field(default_factory=dict)
    """Further numbers to log."""
    findings: Sequence[Finding] = ()
    """What the method itself sees to be wrong."""

    def in_words(self) -> str:
        """Name, value and error."""
        return f"{self.name} {_plus_minus(self.value, self.error)}"


@final
class Scores(Remembered):
    """The best score so far, and those since the last clear improvement; both are in the checkpoints.

    The lowest value is the best. An improvement is clear if the value lies below the last clear one by more than that
    one's standard error; smaller steps count once they add up to that. So a run that gets better slowly is not told to
    stop, and one that wavers within the error is.
    """

    def __init__(self) -> None:
        self.best: dict[str, Any] | None = None
        """Images, value and error."""
        self.clear: dict[str, Any] | None = None
        """The last clear improvement, likewise."""
        self.since: list[float] = []
        """Values since then."""
        self.name = ""
        self.protocol: str | None = None

    def add(self, images: int, found: Evaluation) -> bool:
        """Count an evaluation; returns whether it is the best. Scores got in another way are forgotten."""
        if found.protocol != self.protocol:
            self.best, self.clear, self.since = None, None, []
            self.name, self.protocol = found.name, found.protocol
        this = {"images": images, "value": found.value, "error": found.error}
        if self.clear is None or found.value < self.clear["value"] - self.clear["error"]:
            self.clear, self.since = this, []
        else:
            self.since.append(found.value)
        if self.best is not None and found.value >= self.best["value"]:
            return False
        self.best = this
        return True

    @property
    def stalled(self) -> bool:
        """Whether the last `PATIENCE` evaluations, or more, brought no clear improvement."""
        return len(self.since) >= PATIENCE

    @property
    def to_be_told(self) -> bool:
        """Whether it is time to say so: at first and then now and again."""
        return self.stalled and len(self.since) % PATIENCE == 0

    def in_words(self) -> str:
        """Why more of the same training is unlikely to help."""
        assert self.clear is not None
        assert self.best is not None
        clear, since = self.clear, self.since
        low, high = _like(min(since), clear["error"]), _like(max(since), clear["error"])
        words = (
            f"{self.name} was {_plus_minus(clear['value'], clear['error'])} at {clear['images']:,} images; the "
            f"{len(since)} evaluations since were {low} to {high}"
        )
        if self.best["images"] == clear["images"]:
            return f"{words}, none of them better: more of the same training is unlikely to help"
        return (
            f"{words}, none of them better by more than that error: more of the same training is unlikely to help "
            f"(the lowest was at {self.best['images']:,} images)"
        )

    def best_in_words(self) -> str:
        """Where the best is."""
        assert self.best is not None
        score = _plus_minus(self.best["value"], self.best["error"])
        return f"the best of the run was {self.name} {score} at {self.best['images']:,} images"


def write_best(
    out: Path, images: int, line: Mapping[str, Any], content: dict[str, Any], export: Callable[[Path], None]
) -> None:
    """Make `best` in the run folder a run folder of its own, with its evaluation and its whole state.

    It is written beside its place and then moved there; `mend_best` puts right what a kill between two moves leaves.
    """
    place, beside, old = _places(out)
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    run_folder.write_json(beside / run_folder.CONFIG, run_folder.read_config(out))
    run_folder.write_json(beside / run_folder.EVALUATION, line)
    checkpoint.save(beside / run_folder.CHECKPOINTS, images, content, keep=1)
    export(beside)
    if place.exists():
        place.rename(old)
    beside.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def mend_best(out: Path) -> None:
    """Undo a replacement of the best that was cut short."""
    place, beside, old = _places(out)
    if old.exists() and not place.exists():
        old.rename(place)
    for leftover in (beside, old):
        shutil.rmtree(leftover, ignore_errors=True)


def _places(out: Path) -> tuple[Path, Path, Path]:
    place = out / run_folder.BEST
    return place, place.with_name(f".{place.name}.part"), place.with_name(f".{place.name}.old")


def _plus_minus(value: float, error: float) -> str:
    return f"{_like(value, error)} ± {_like(error, error)}"


def _like(value: float, error: float) -> str:
    """With as many decimals as the error has in one digit."""
    decimals = min(max(-int(f"{error:.0e}".split("e")[1]), 0), 6) if error > 0 else 4
    return f"{value:.{decimals}f}"

"""What generated images did for classifiers: the verdict on a row of a study, and its tables."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

from .answers import NETWORK, PROBE, Answers
from .results import Row
from .verdict import Comparison, accuracy, closeness, compare

SCORES: dict[str, Callable[..., Any]] = {"closeness": closeness, "accuracy": accuracy}
"""The first decides; the mean of the other over a class is its recall."""


@final
@dataclass(frozen=True)
class Benefit:
    """The answers of all finished cells of a row, compared."""

    row: Row
    answers: Sequence[Answers]
    compared: dict[tuple[str, str], Comparison]
    """By classifier and score."""

    @property
    def deciding(self) -> Comparison:
        """That of the linear probe's closeness."""
        return self.compared[PROBE, "closeness"]

    @property
    def place(self) -> str:
        """What the row is called; empty if it is the only one."""
        return ", ".join(f"{axis} {label}" for axis, label in self.row.labels.items())

    def sentence(self) -> str:
        """The verdict in words, with the copying check beside it."""
        found = self.deciding
        near = ", ".join(f"{each.near_copies:.0%}" for each in self.answers)
        alarms = sum(each.copies for each in self.answers)
        return (
            f"Do generated images help a classifier? {found.word.capitalize()}. Closeness of the {PROBE}: "
            f"{found.means[found.baseline]:.3f} ({found.baseline}, the better without them), and "
            f"{found.changes[found.best]} for {found.best}, the best of {len(found.changes)} amounts. Nearly copies of "
            f"training images: {near} of the generated ones; alarm of the copying check: {alarms} of "
            f"{len(self.answers)} runs."
        )

    def arms(self, classifier: str, scores: Iterable[str] = SCORES) -> list[dict[str, str]]:
        """What a classifier learned, its scores, and what generated images change of them."""
        rows = []
        for arm in self.deciding.means:
            row = {"learned": arm}
            for score in scores:
                found = self.compared[classifier, score]
                change = found.changes.get(arm)
                row |= {score: f"{found.means[arm]:.3f}", f"change of {score}": str(change or "")}
                row |= {f"shown by {score}": change.word if change else ""}
            rows.append(row)
        return rows

    def classes(self) -> list[dict[str, str]]:
        """The recall of each class by the linear probe, without generated images and with the best amount of them."""
        found, best = self.compared[PROBE, "accuracy"], self.deciding.best
        trials = [each.trials[PROBE] for each in self.answers]
        asked = {name: number for trial in trials for name, number in zip(trial.names, trial.classes, strict=True)}
        return [
            {
                "class": name,
                "held-out images": str(list(asked.values()).count(number)),
                f"recall with {found.baseline}": f"{found.class_means[found.baseline][number]:.3f}",
                f"recall with {best}": f"{found.class_means[best][number]:.3f}",
                "change": str(found.of_classes[best][number]),
                "shown": found.of_classes[best][number].word,
            }
            for number, name in enumerate(self.answers[0].classes)
        ]

    def tables(self) -> dict[str, list[list[str]]]:
        """Headings and rows of all tables, by title."""
        tables = {PROBE: self.arms(PROBE), NETWORK: self.arms(NETWORK), f"{PROBE}, class by class": self.classes()}
        return {title: [list(rows[0]), *(list(row.values()) for row in rows)] for title, rows in tables.items()}


def benefits(table: Sequence[Row]) -> list[Benefit]:
    """Of the rows of which classifiers were asked."""
    found = []
    for row in table:
        answers = [each for result in row.results if (each := Answers.of_run(result.run.path)) is not None]
        if answers:
            compared = {
                (classifier, name): compare([each.trials[classifier] for each in answers], score)
                for classifier in (PROBE, NETWORK)
                for name, score in SCORES.items()
            }
            found.append(Benefit(row, answers, compared))
    return found

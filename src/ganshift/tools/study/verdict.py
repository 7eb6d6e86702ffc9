"""Does it help my classifier? What classifiers with and without generated images said of held-out real ones, compared.

What decides is closeness: 1 minus half the Brier score (Brier 1950), which is the squared distance of the probabilities
that a classifier gives to the classes from 1 for the true one and 0 for the others. It is 1 if all are right and sure,
and among few images it finds smaller differences than accuracy does. Classes count alike. The classifier is a linear
probe: logistic regression on features of an ImageNet network, its strength chosen by cross-validation. A small network,
three convolutions at 32 pixels from scratch, stands beside it.

Intervals are the bootstrap's over held-out images, class by class (Efron 1979), each image with its mean over the
trials that held it out. They hold for all amounts at once, since the largest of their deviations is looked at (Westfall
and Young 1993): who tries several amounts finds no more by chance than who tries one. They do not see that other
generators would have drawn other images, so all trials, each with a generator of its own, must agree as well.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Bool, Float64, Int64

CONFIDENCE = 0.95
DRAWS = 2_000
SMALLEST = 0.0005
"""Changes that are shown as 0.000 are none: a solver stops a little before or after."""
WITHOUT = 2
"""The first so many arms are without generated images."""
Word = Literal["helps", "hurts", "no difference shown"]
Probabilities = Float64[np.ndarray, "k classes"]
"""Of the classes, a row for each image asked about."""
Numbers = Int64[np.ndarray, " k"]
Values = Float64[np.ndarray, " k"]


@final
@dataclass(frozen=True)
class Trial:
    """What a classifier, trained in each arm, said of the held-out images of one split."""

    names: tuple[str, ...]
    """Of the held-out images."""
    classes: Numbers
    """Theirs, by number; each is there."""
    said: dict[str, Probabilities]
    """The probabilities of the classes, by arm."""


@final
@dataclass(frozen=True)
class Change:
    """How much larger a mean is with generated images, and the ends of its confidence interval."""

    value: float
    low: float
    high: float
    trials_agree: bool
    """Whether the mean over all classes is larger in each trial, or smaller in each."""

    def __str__(self) -> str:
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f})"

    @property
    def word(self) -> Word:
        """What the interval and the trials show."""
        if not self.trials_agree or (self.low < SMALLEST and self.high > -SMALLEST):
            return "no difference shown"
        return "helps" if self.low > 0 else "hurts"


@final
@dataclass(frozen=True)
class Comparison:
    """A score in all arms, and what generated images change of it."""

    means: dict[str, float]
    """By arm, of all classes alike."""
    baseline: str
    """The better arm without generated images, which the others are compared with."""
    changes: dict[str, Change]
    """By arm with generated images."""
    class_means: dict[str, list[float]]
    """By arm, of each class."""
    of_classes: dict[str, list[Change]]
    """The changes of each class, in intervals that hold for all classes and arms at once."""

    @property
    def best(self) -> str:
        """The arm with generated images that gained most, or lost least."""
        return max(self.changes, key=lambda arm: self.changes[arm].value)

    @property
    def word(self) -> Word:
        """Generated images help if one amount does, and hurt if all do."""
        words = {change.word for change in self.changes.values()}
        return "helps" if "helps" in words else "hurts" if words == {"hurts"} else "no difference shown"


def closeness(said: Probabilities, classes: Numbers) -> Values:
    """How close the probabilities are to the true class of each image, in [0, 1]."""
    return 1 - np.square(said - np.eye(said.shape[1])[classes]).sum(1) / 2


def accuracy(said: Probabilities, classes: Numbers) -> Values:
    """1 for each image whose class is the likeliest, 0 for the others; its mean over a class is the recall."""
    return (said.argmax(1) == classes).astype(np.float64)


def compare(trials: Sequence[Trial], score: Callable[[Probabilities, Numbers], Values]) -> Comparison:
    """A score of the same arms over all trials, which have the same classes."""
    names = list(trials[0].said)
    values = [np.stack([score(trial.said[name], trial.classes) for name in names]) for trial in trials]
    _, first, image = np.unique(
        np.concatenate([trial.names for trial in trials]), return_index=True, return_inverse=True
    )
    rows = np.concatenate(values, axis=1)  # arms images-of-all-trials
    of_images = np.stack([np.bincount(image, row) for row in rows]) / np.bincount(image)
    plain, drawn = _means(of_images, np.concatenate([trial.classes for trial in trials])[first])
    base = int(plain[:WITHOUT].mean(1).argmax())
    gains, drawn_gains = plain[WITHOUT:] - plain[base], drawn[:, WITHOUT:] - drawn[:, [base]]  # ... arms classes
    alone = [_class_means(found, trial.classes).mean(1) for found, trial in zip(values, trials, strict=True)]
    signs = np.sign([means[WITHOUT:] - means[base] for means in alone])
    agree = (signs == signs[0]).all(0)
    changes = _intervals(gains.mean(1), drawn_gains.mean(2), agree)
    of_classes = iter(_intervals(gains.ravel(), drawn_gains.reshape(DRAWS, -1), np.repeat(agree, plain.shape[1])))
    return Comparison(
        means=dict(zip(names, plain.mean(1).tolist(), strict=True)),
        baseline=names[base],
        changes=dict(zip(names[WITHOUT:], changes, strict=True)),
        class_means=dict(zip(names, plain.tolist(), strict=True)),
        of_classes={name: [next(of_classes) for _ in plain[0]] for name in names[WITHOUT:]},
    )


def _class_means(values: Float64[np.ndarray, "arms k"], classes: Numbers) -> Float64[np.ndarray, "arms classes"]:
    return np.stack([values[:, classes == number].mean(1) for number in np.unique(classes)], axis=1)


def _means(
    values: Float64[np.ndarray, "arms k"], classes: Numbers
) -> tuple[Float64[np.ndarray, "arms classes"], Float64[np.ndarray, "draws arms classes"]]:
    """Means over the images of each class, and the same of images drawn with replacement."""
    draw, drawn = np.random.default_rng(0), []
    for number in np.unique(classes):
        of_class = values[:, classes == number]
        count = of_class.shape[1]
        drawn.append(draw.multinomial(count, np.full(count, 1 / count), DRAWS) @ of_class.T / count)
    return _class_means(values, classes), np.stack(drawn, axis=-1)


def _intervals(
    gains: Float64[np.ndarray, " n"], drawn: Float64[np.ndarray, "draws n"], agree: Bool[np.ndarray, " n"]
) -> list[Change]:
    """Confidence intervals that hold for all at once."""
    errors = drawn.std(0)
    deviations = np.abs(drawn - gains) / np.where(errors > 0, errors, 1)  # where nothing differs, they are 0
    halves = np.quantile(deviations.max(1), CONFIDENCE) * errors
    ends = zip(gains.tolist(), (gains - halves).tolist(), (gains + halves).tolist(), agree.tolist(), strict=True)
    return [Change(*each) for each in ends]

"""What classifiers are asked of a run, and what they said, as the recipe and the run folder have it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from ...files import read_text
from ...metrics.extractors import ShippedExtractor
from ...training.config import check_values, require
from ...training.run_folder import write_json
from .verdict import Trial

ANSWERS = "classifier.json"
"""What the classifiers said, in the run folder."""
PROBE, NETWORK = "linear probe", "small network"


@final
@dataclass(frozen=True, kw_only=True)
class ClassifierSettings:
    """The table `evaluation.classifier` of a recipe."""

    amounts: tuple[float | int, ...] = (0.5, 1.0, 2.0, 5.0)
    """Generated images of each class, as multiples of its real ones."""
    extractor: ShippedExtractor = "lite0"
    """The network whose features the linear probe learns."""

    def __post_init__(self) -> None:
        check_values(type(self), vars(self))
        require(self.amounts != (), "give at least one amount of generated images")
        for amount in self.amounts:
            require(type(amount) in (int, float) and 0 < amount <= 100, f"amounts must be in (0, 100], got {amount}")


@final
@dataclass(frozen=True)
class Answers:
    """What came of one run: a trial of each classifier, and how near its images are to those it learned."""

    classes: tuple[str, ...]
    trials: Mapping[str, Trial]
    """By classifier."""
    num_real: int
    """Images that generator and classifiers learned."""
    near_copies: float
    """Part of the generated images nearer to a real one than all held-out images but one in a hundred are."""
    copies: bool
    """Whether the copying check raises its alarm."""

    @classmethod
    def of_run(cls, run: Path) -> "Answers | None":
        """What was written to a run folder; None if nothing was, or it is damaged."""
        try:
            found = json.loads(read_text(run / ANSWERS))
            names, numbers = tuple(found["images"]), np.array(found["of_class"], dtype=np.int64)
            trials = {
                classifier: Trial(names, numbers, {arm: np.array(rows, dtype=float) for arm, rows in said.items()})
                for classifier, said in found["said"].items()
            }
            return cls(tuple(found["classes"]), trials, found["num_real"], found["near_copies"], found["copies"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, run: Path) -> None:
        """Write them to a run folder."""
        trial = self.trials[PROBE]
        said = {
            classifier: {arm: rows.round(4).tolist() for arm, rows in each.said.items()}
            for classifier, each in self.trials.items()
        }
        content = {"classes": self.classes, "images": trial.names, "of_class": trial.classes.tolist(), "said": said}
        numbers = {"num_real": self.num_real, "near_copies": self.near_copies, "copies": self.copies}
        write_json(run / ANSWERS, {**content, **numbers})

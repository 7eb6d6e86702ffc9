"""A cell of a study: a plain run in the study's folder, what to measure of it, and what its files say came of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ...files import read_text
from ...metrics.measuring import EvaluationSettings
from ...metrics.score_record import ScoreRecord, record_from
from ...training.config import BUDGET_FIELDS, FREE_TO_CHANGE, RunConfig, require, settings_from
from ...training.run_folder import MODEL, read_config, section, write_json
from .answers import Answers, ClassifierSettings

CLASSIFIER = "classifier"
"""The table of an evaluation for what classifiers are asked."""
STATE = "state"
"""Folder in a study's for what run folders do not say: locks, messages, failures, which evaluation was asked for."""
OF_NO_MATTER = FREE_TO_CHANGE - {*BUDGET_FIELDS, "data", "a", "b", "when_stalled"}
"""Settings that say how a run is watched and computed; a finished one is not trained again for others."""


@final
@dataclass(frozen=True, kw_only=True)
class Cell:
    """A place in the grid, or a source that other cells start from."""

    config: RunConfig
    """Of the run, whose folder is in `cells` or `sources` of the study's."""
    labels: Mapping[str, str]
    """By axis, what the cell has there; empty for a source."""
    evaluation: Mapping[str, Any] | None
    """What to measure, as the recipe has it, and `reference`; None for a source."""
    source: "Cell | None"
    """The cell that trains the model this one starts from."""

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.config.out

    @property
    def place(self) -> str:
        """The run folder, seen from the study's."""
        return f"{self.run.parent.name}/{self.run.name}"

    def state(self, ending: str) -> Path:
        """A file of the cell's in the folder `state`."""
        return self.run.parent.parent / STATE / f"{self.place.replace('/', '-')}.{ending}"

    @property
    def messages(self) -> Path:
        """The file of what the cell said while it was trained and measured."""
        return self.state("messages.txt")

    def measures(self) -> dict[str, Any]:
        """The settings of `tools.evaluate.evaluate` but for the reference; a `UserError` if they cannot be."""
        others = ("reference", CLASSIFIER)
        asked = {name: value for name, value in (self.evaluation or {}).items() if name not in others}
        checked = settings_from(EvaluationSettings, asked)
        return {name: getattr(checked, name) for name in asked}

    @property
    def classifier(self) -> ClassifierSettings | None:
        """What classifiers are asked of the run, if they are; a `UserError` if they cannot be."""
        asked = (self.evaluation or {}).get(CLASSIFIER)
        if asked is None:
            return None
        require(isinstance(asked, dict), "evaluation.classifier must be a table: [evaluation.classifier]")
        return settings_from(ClassifierSettings, asked)

    def finish(self, records: Sequence[ScoreRecord]) -> None:
        """Keep which scores the evaluation came to, when the run is finished."""
        cards = [record.to_json() for record in records]
        write_json(self.state("json"), {"evaluation": self.evaluation, "cards": cards})

    def records(self) -> list[ScoreRecord] | None:
        """The scores of a finished cell, none for a source; None if it is not finished as it is asked for now."""
        try:
            kept = json.loads(read_text(self.state("json")))
            trained = section(read_config(self.run), "training")
            if kept["evaluation"] != self.evaluation or not self._is_of(trained) or not (self.run / MODEL).exists():
                return None
            if self.classifier and Answers.of_run(self.run) is None:
                return None
            return [record_from(card) for card in kept["cards"]]
        except (OSError, ValueError, TypeError, KeyError):  # there is nothing, or it is damaged
            return None

    @property
    def finished(self) -> bool:
        """Whether it is trained and measured as it is asked for now."""
        return self.records() is not None

    def failure(self) -> str | None:
        """Why the cell failed when it was tried last; None if it did not."""
        path = self.state("failed.txt")
        return read_text(path).strip() if path.exists() else None

    def _is_of(self, trained: Mapping[str, Any]) -> bool:
        """Whether the settings of a run are this cell's; a source in the study may have been moved with it."""
        free = OF_NO_MATTER | ({"source"} if self.source else set())
        before = {**self.config.defaults(), **trained}
        return all(before.get(name) == value for name, value in self.config.to_json().items() if name not in free)

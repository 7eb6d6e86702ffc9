"""What a run folder tells: what it is, what was logged, its grids over time. Damage is noted and passed over."""

import json
import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import Any, TypeVar, final

from safetensors import SafetensorError, safe_open

from ...data.domain_names import UNNAMED, DomainNames, stored_names
from ...errors import UserError, capitalised, first_line
from ...files import open_regular, read_text
from ...methods.method import Method
from ...methods.registry import method_named
from ...methods.words import Grid, ReportWords, shown
from ...metrics.copying import Verdict, load_verdict
from ...metrics.record_files import RECORDS
from ...metrics.score_record import ScoreRecord, load_record, record_from
from ...training import run_folder
from ...training.config import RunConfig, settings_from

Read = TypeVar("Read")
GRID_FILE = re.compile(r"(.+)-(\d{1,18})\.png")
"""A sample grid: its name, and the images seen."""
HUGE = 1e30
"""What is larger is no number that a curve could show."""


@final
@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as its folder tells it."""

    path: Path
    method: Method
    config: Mapping[str, Any]
    settings: Mapping[str, Any]
    """As config.json has them, whatever they are."""
    names: DomainNames
    """What its domains are called."""
    resolved: RunConfig | None
    """The same as settings of this version; None where they are none."""
    log: Sequence[Mapping[str, Any]]
    evaluations: Sequence[Mapping[str, Any]]
    messages: Sequence[tuple[int, str]]
    """What was said of the run's health, at how many images."""
    records: Sequence[ScoreRecord]
    """Of `ganshift evaluate`; if that was not called, those of the last evaluation while training."""
    verdict: Verdict | None
    problems: Sequence[str]
    """What is missing or damaged."""

    @property
    def images(self) -> int:
        """Real images shown, as of the last line of the log."""
        return self.log[-1]["images"] if self.log else 0

    @property
    def seconds(self) -> float:
        """Time spent training, likewise."""
        return self.log[-1].get("seconds", 0.0) if self.log else 0.0

    @property
    def iterations(self) -> int:
        """Iterations done, likewise."""
        return self.log[-1].get("iteration", 0) if self.log else 0

    @property
    def budget(self) -> int | None:
        """Images that it is to be shown; None where its settings or its data do not say."""
        count = self.num_images("data") or min(self.num_images("data", "a") or 0, self.num_images("data", "b") or 0)
        if self.resolved is None or not count:
            return None
        return self.resolved.budget(self.resolved.images_per_iteration, count)

    @cached_property
    def num_weights(self) -> int | None:
        """How many numbers the model's file has, without reading them; None where there is none."""
        try:
            open_regular(self.path / run_folder.MODEL).close()
            with safe_open(self.path / run_folder.MODEL, framework="numpy") as file:
                shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 - it is no mapping
        except (OSError, SafetensorError, ValueError):
            return None
        return sum(map(prod, shapes))

    @property
    def versions(self) -> dict[str, str]:
        """What it was made with, by package; what is no text is left out."""
        versions = run_folder.section(self.config, "versions")
        return {shown(name): shown(version) for name, version in versions.items() if isinstance(version, str)}

    @property
    def made_with(self) -> str:
        """The same in a line."""
        return ", ".join(f"{name} {version}" for name, version in self.versions.items())

    @cached_property
    def words(self) -> ReportWords:
        """What its method says of such runs."""
        return self.method.words

    @cached_property
    def grids(self) -> Sequence[Grid]:
        """The sample grids that such runs write; of a method that does not say, those that are there."""
        if self.words.grids:
            return self.words.grids
        files = (self.path / run_folder.SAMPLES).glob("*.png")
        names = sorted({match[1] for file in files if (match := GRID_FILE.fullmatch(file.name))})
        return [Grid(name=name, label=capitalised(name)) for name in names]

    def num_images(self, *where: str) -> int | None:
        """How many images some part of the data has."""
        count = self.get(*where, "images")
        return count if type(count) is int and count > 0 else None

    def get(self, *names: str) -> Any:
        """A value of config.json; None where there is none."""
        value: Any = self.config
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def grid_files(self, name: str) -> list[tuple[int, Path]]:
        """Images seen and the file of the sample grids called `name`, from first to last."""
        folder = self.path / run_folder.SAMPLES
        matches = (GRID_FILE.fullmatch(path.name) for path in folder.glob("*.png"))
        found = sorted((int(match[2]), match[0]) for match in matches if match and match[1] == name)
        return [(seen, folder / file) for seen, file in found]


def open_run(path: Path) -> Run:
    """Read what there is; a `UserError` if the folder holds no run of ours."""
    config = run_folder.read_config(path)
    method = method_named(config.get("method"), path / run_folder.CONFIG)
    problems: list[str] = []
    settings = config.get("training")
    if not isinstance(settings, dict):
        problems.append(f"{run_folder.CONFIG} has no settings of a training run: the model was not trained here.")
        settings = {}
    resolved = _resolve(method.config, settings, problems) if settings else None
    log = _lines(path, run_folder.LOG, problems)
    if not log:
        why = "nothing was logged yet, or the folder is not of a training run"
        problems.append(f"There is nothing in {run_folder.LOG}: {why}.")
    evaluations = [line for line in _lines(path, run_folder.EVALUATIONS, problems) if _has_score(line)]
    return Run(
        path=path,
        method=method,
        config=config,
        settings=settings,
        names=_undamaged("What the domains are called", partial(stored_names, config), UNNAMED, problems),
        resolved=resolved,
        log=log,
        evaluations=evaluations,
        messages=_undamaged(run_folder.HEALTH, partial(_messages, path / run_folder.HEALTH), [], problems),
        records=_records(path, evaluations, problems),
        verdict=_undamaged("What a check for copies found", partial(load_verdict, path), None, problems),
        problems=problems,
    )


def labels_of(paths: Sequence[Path]) -> dict[str, Path]:
    """A name for each folder: its own, with as many parents as tell it from the others; one folder counts once."""
    folders = list(dict.fromkeys(path.resolve() for path in paths))
    found: dict[str, Path] = {}
    for folder in folders:
        length = 1
        while length < len(folder.parts) and any(
            other.parts[-length:] == folder.parts[-length:] for other in folders if other != folder
        ):
            length += 1
        found["/".join(folder.parts[-length:])] = folder
    return found


def environment(runs: Sequence[Run]) -> dict[str, str]:
    """Versions that the runs were made with, and the machine this is called on."""
    found: dict[str, dict[str, None]] = {}
    for name, version in (item for run in runs for item in run.versions.items()):
        found.setdefault(name, {})[version] = None
    versions = {name: ", ".join(each) for name, each in found.items()}
    return versions | {"this page written on": f"{platform.platform(terse=True)}, {os.cpu_count()} processor cores"}


def number(value: Any) -> float | None:
    """A value of a log that a curve can show; None for others."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < HUGE else None


def _resolve(config_class: type[RunConfig], settings: Mapping[str, Any], problems: list[str]) -> RunConfig | None:
    known = {field.name for field in fields(config_class)}
    try:
        return settings_from(config_class, {name: value for name, value in settings.items() if name in known})
    except UserError as error:
        problems.append(f"The settings in {run_folder.CONFIG} are none of this version ({first_line(error)}).")
        return None


def _undamaged(name: str, read: Callable[[], Read], otherwise: Read, problems: list[str]) -> Read:
    """What is read, or something else where there is nothing, or something damaged, which is a problem."""
    try:
        return read()
    except FileNotFoundError:
        return otherwise
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        problems.append(f"{name} cannot be read: {getattr(error, 'strerror', None) or first_line(error)}.")
        return otherwise


def _lines(path: Path, name: str, problems: list[str]) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = _undamaged(name, partial(run_folder.read_log, path / name), [], problems)
    return sorted(lines, key=lambda line: line["images"])


def _records(path: Path, evaluations: Sequence[Mapping[str, Any]], problems: list[str]) -> list[ScoreRecord]:
    files = sorted((path / RECORDS).glob("*.json"))
    readers = [(file.name, partial(load_record, file)) for file in files]
    if not files and evaluations:
        cards = evaluations[-1].get("cards")
        known = cards if isinstance(cards, list) else []
        readers = [(run_folder.EVALUATIONS, partial(record_from, card)) for card in known]
    records = [_undamaged(name, read, None, problems) for name, read in readers]
    return [record for record in records if record is not None]


def _has_score(line: Mapping[str, Any]) -> bool:
    score = line.get("score")
    if not isinstance(score, dict) or not isinstance(score.get("name"), str):
        return False
    value, error = number(score.get("value")), number(score.get("error"))
    return value is not None and error is not None and error >= 0


def _messages(path: Path) -> list[tuple[int, str]]:
    return [(int(each["images"]), str(each["message"])) for each in json.loads(read_text(path))["messages"]]

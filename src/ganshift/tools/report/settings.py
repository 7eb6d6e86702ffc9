"""Settings of runs: in what they differ, and the command line that gives them again."""

import shlex
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from ...methods.words import shown
from ...training.config import BUDGET_FIELDS, MACHINE, WATCHING
from .runs import Run

NOT_LEARNED = frozenset((*WATCHING, *MACHINE))
"""Settings that say how a run is watched and computed: where runs differ, they come last."""
MOST_UNKNOWN = 20
"""Settings that this version does not know are told up to this number."""


def command_of(run: Run) -> str | None:
    """The shortest command line that gives the run's settings, from whichever preset; None if it has none."""
    if run.resolved is None:
        return None
    values = run.resolved.to_json()
    options = min((_options(values, run, preset) for preset in run.method.presets), key=len)
    return shlex.join(["ganshift", run.method.name, *options])


def unknown_settings(run: Run) -> list[str]:
    """Names of settings in config.json that this version does not know, so that no command gives them."""
    known = {field.name for field in fields(run.method.config)}
    return [shown(name) for name in run.settings if name not in known][:MOST_UNKNOWN]


def differences(runs: Mapping[str, Run]) -> list[list[str]]:
    """Rows of a setting and its value in each run, of what differs only; settings that change what is learned first."""
    ours = fields(next(iter(runs.values())).method.config)
    defaults = {field.name: field.default for field in ours if field.default is not MISSING}
    values = [defaults | dict(run.settings) for run in runs.values()]
    known = sorted((field.name for field in ours if field.name != "out"), key=lambda name: name in NOT_LEARNED)
    unknown = sorted({shown(name) for run in runs.values() for name in unknown_settings(run)})
    rows = [[name.replace("_", " "), *(shown(each.get(name)) for each in values)] for name in [*known, *unknown]]
    rows.append(["training images", *map(_content, runs.values())])
    networks = ["; ".join(f"{name} {shown(run.get(name))}" for name in run.method.networks) for run in runs.values()]
    rows += [["networks", *networks], ["versions", *(run.made_with for run in runs.values())]]
    return [row for row in rows if len(set(row[1:])) > 1]


def all_settings(run: Run) -> list[tuple[str, str]]:
    """Every setting that this version knows, and its value."""
    known = [field.name for field in fields(run.method.config)]
    return [(name.replace("_", " "), shown(run.settings[name])) for name in known if name in run.settings]


def _options(values: Mapping[str, Any], run: Run, preset: str) -> list[str]:
    start = {field.name: field.default for field in fields(run.method.config)} | dict(run.method.presets[preset])
    (budget,) = (name for name in BUDGET_FIELDS if values[name] is not None)
    if start.get(budget) != values[budget]:  # a budget on the command line replaces the preset's
        start |= dict.fromkeys(BUDGET_FIELDS)
    options = ["--preset", preset]
    for name, value in values.items():
        if start.get(name, MISSING) == value and type(start[name]) is type(value):
            continue
        option = name.replace("_", "-")
        if isinstance(value, bool):
            options.append(f"--{option}" if value else f"--no-{option}")
        elif str(value).startswith("-"):  # else it would be taken for an option
            options.append(f"--{option}={value}")
        else:
            options += [f"--{option}", str(value)]
    return options


def _content(run: Run) -> str:
    parts = [("data",)] if run.num_images("data") else [("data", "a"), ("data", "b")]
    counts = (f"{shown(run.get(*part, 'images'))} ({shown(run.get(*part, 'content'))[:8]})" for part in parts)
    return ", ".join(counts)

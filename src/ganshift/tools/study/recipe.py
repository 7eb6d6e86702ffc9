"""A recipe: a TOML file that describes a grid over the settings of one method, and the cells it stands for.

The format is described in docs/study.md. Shipped recipes lie in the folder `recipes`.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any, final

from ...errors import UserError
from ...methods.registry import method_named, methods
from ...training.config import RunConfig
from .settings import choose, configuration, layered

SEED = "seed"
"""The axis that repeats: scores are averaged over it."""
KEYS = ("about", "published", "method", "lines", "inputs", "settings", "sources", "grid", "evaluation")
"""What a recipe may have."""
MEASURED = (
    "metrics",
    "num_images",
    "extractor",
    "extractor_weights",
    "split",
    "seed",
    "kid_subsets",
    "kid_subset_size",
    "batch",
)
"""Settings of the evaluation, those of ganshift evaluate; `reference` beside them."""

Table = Mapping[str, Any]


@final
@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a study: a place in the grid, or a source that other cells start from."""

    name: str
    method: str
    settings: Table
    """Everything that differs from the defaults, as JSON; a source of the study stands by its name."""
    labels: Mapping[str, str]
    """By axis, what the cell has there; empty for a source."""
    evaluation: Table | None
    """What to measure, and `reference`; None for a source."""
    needs: str | None
    """The cell that trains the source that this one starts from."""

    @property
    def place(self) -> str:
        """The run folder, seen from the folder of the study."""
        return f"{'sources' if self.evaluation is None else 'cells'}/{self.name}"

    def config(self, study: Path, **more: Any) -> RunConfig:
        """The configuration of the run in the study's folder, with some settings replaced."""
        settings = dict(self.settings)
        if self.needs:
            settings["source"] = str(study.resolve() / "sources" / self.needs)
        return configuration(method_named(self.method, self.name), settings | more, study.resolve() / self.place)


@final
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe with its inputs filled in."""

    name: str
    text: str
    """The file as it is."""
    about: str
    """What the study answers."""
    published: str
    """Where the numbers it goes with were published, and what they are; may be empty."""
    method: str
    axes: Mapping[str, Sequence[str]]
    """The labels along each axis of the grid, the repeating one included."""
    lines: str
    """The axis whose values are compared side by side."""
    inputs: Mapping[str, str]
    """What --data gave, or the recipe's own choice, by name."""
    cells: Sequence[Cell]
    """Sources first, then the grid, its last axis varying fastest."""


def shipped() -> dict[str, Path]:
    """The recipes of the package by name."""
    folder = Path(__file__).with_name("recipes")
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_table(name: str) -> tuple[str, str, dict[str, Any]]:
    """Name, text and content of a recipe, from a file or by the name of a shipped one."""
    path = Path(name)
    if not path.is_file():
        if path.suffix == ".toml":
            raise UserError(f"there is no recipe {name}; ganshift study --list shows those that ship")
        path = shipped()[choose(name, shipped(), "recipe")]
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read recipe {path}: {error}") from error
    for key in table:
        choose(key, dict.fromkeys(KEYS), f"entry of a recipe (in {path})")
    for key, kind in {"about": str, "published": str, "method": str, "lines": str}.items():
        if not isinstance(table.get(key, ""), kind):
            raise UserError(f"{key} must be a text in {path}")
    for key in ("inputs", "settings", "sources", "grid", "evaluation"):
        if not isinstance(table.setdefault(key, {}), dict):
            raise UserError(f"{key} must be a table in {path}: [{key}]")
    for key in ("inputs", "sources"):
        for name, entry in table[key].items():
            if not isinstance(entry, dict):
                raise UserError(f"{key}.{name} must be a table in {path}: [{key}.{name}]")
    if not table["grid"]:
        raise UserError(f"{path} has no [grid]: name at least one setting with a list of its values")
    return path.stem, text, table


def load_recipe(name: str, given: Sequence[str] = ()) -> Recipe:
    """Read a recipe and build its cells, each checked; `given` are NAME=VALUE, or a value for the first input."""
    stem, text, table = read_table(name)
    try:
        return _build(stem, text, table, given)
    except UserError as error:
        raise UserError(f"recipe {name}: {error}") from None


def _build(name: str, text: str, table: Table, given: Sequence[str]) -> Recipe:
    method = methods()[choose(table.get("method"), methods(), "method")]
    inputs = _inputs(table["inputs"], given)
    settings, evaluation = (_filled(table[key], inputs) for key in ("settings", "evaluation"))
    for key in evaluation:
        choose(key, dict.fromkeys((*MEASURED, "reference")), "setting of the evaluation")
    axes = {axis: _values(axis, values, inputs) for axis, values in table["grid"].items()}
    others = [axis for axis in axes if axis != SEED]
    lines = choose(table.get("lines", (others or [SEED])[-1]), axes, "axis of the grid")
    cells = []
    for source, own in table["sources"].items():
        merged = layered(method, settings, _filled(own, inputs))
        cells.append(
            _checked(
                Cell(
                    name=_file_name(source), method=method.name, settings=merged, labels={}, evaluation=None, needs=None
                )
            )
        )
    sources = {source: cell.name for source, cell in zip(table["sources"], cells, strict=True)}
    for place in product(*axes.values()):
        labels = {axis: label for axis, (label, _) in zip(axes, place, strict=True)}
        merged = layered(method, settings, *(own for _, own in place))
        reference = evaluation.get("reference", merged.get("data"))
        if reference is None:
            raise UserError("the evaluation needs a reference where there is no data")
        start = merged.get("source")
        cells.append(
            _checked(
                Cell(
                    name="_".join(_file_name(f"{axis}-{label}") for axis, label in labels.items()),
                    method=method.name,
                    settings=merged,
                    labels=labels,
                    evaluation={**evaluation, "reference": reference},
                    needs=sources.get(start) if isinstance(start, str) else None,
                )
            )
        )
    twice = [cell.place for index, cell in enumerate(cells) if cell.place in {c.place for c in cells[:index]}]
    if twice:
        raise UserError(f"two cells are called {twice[0]}: give the values labels that differ")
    return Recipe(
        name=name,
        text=text,
        about=table.get("about", ""),
        published=table.get("published", ""),
        method=method.name,
        axes={axis: [label for label, _ in values] for axis, values in axes.items()},
        lines=lines,
        inputs=inputs,
        cells=cells,
    )


def _inputs(declared: Table, given: Sequence[str]) -> dict[str, str]:
    """What stands for each $NAME: what was given, else the recipe's default; a `UserError` names what is missing."""
    values = {name: entry["default"] for name, entry in declared.items() if "default" in entry}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in declared:
            if not declared:
                raise UserError("it takes no --data: all its images are named in it")
            name, value = next(iter(declared)), text
        values[name] = value
    missing = [name for name in declared if name not in values]
    if missing:
        wanted = "; ".join(
            f"--data {name}=... ({declared[name].get('about', 'a folder of images')})" for name in missing
        )
        raise UserError(f"it leaves to you what to use: give {wanted}")
    return values


def _filled(table: Table, inputs: Mapping[str, str]) -> dict[str, Any]:
    """The table with $NAME replaced by the input of that name."""
    filled = {}
    for key, value in table.items():
        if isinstance(value, str) and value.startswith("$"):
            value = inputs[choose(value[1:], inputs, f"input for {key} ($NAME stands for an entry of [inputs]):")]
        filled[key] = value
    return filled


def _values(axis: str, values: Any, inputs: Mapping[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """Label and settings of each value of an axis: a table has both, anything else is for the setting of that name."""
    if not isinstance(values, list) or not values:
        raise UserError(f"the grid's {axis} must be a list of values")
    found = []
    for value in values:
        if isinstance(value, dict):
            if "label" not in value:
                raise UserError(f"a value of the grid's {axis} is a table without a label")
            own = {name: entry for name, entry in value.items() if name != "label"}
            found.append((str(value["label"]), _filled(own, inputs)))
        else:
            filled = _filled({axis: value}, inputs)
            found.append((_label(filled[axis]), filled))
    return found


def _label(value: Any) -> str:
    """What a value is called in tables and folder names: of a path only the end."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return PurePosixPath(value).name or "none" if isinstance(value, str) else str(value)


def _file_name(label: str) -> str:
    return re.sub(r"[^\w.-]+", "-", label)


def _checked(cell: Cell) -> Cell:
    """The cell, if its settings can be those of a run."""
    try:
        cell.config(Path("study"))
    except UserError as error:
        raise UserError(f"{cell.place}: {error}") from None
    return cell

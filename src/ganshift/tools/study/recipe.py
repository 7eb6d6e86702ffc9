"""A recipe: a TOML file that describes a grid over the settings of one method, and the cells it stands for.

The format is described in docs/study.md. Shipped recipes lie in the folder `recipes`.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import product
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, final

from ...errors import UserError, choose
from ...methods.registry import methods
from ...training.config import overlaid, require, settings_from

if TYPE_CHECKING:
    from .cell import Cell

SEED = "seed"
"""The axis that repeats: scores are averaged over it."""
Table = dict[str, Any]


@final
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a recipe's file says; docs/study.md has an example."""

    name: str
    """That of its file."""
    text: str
    """The file as it is."""
    method: str
    """transfer or dual."""
    about: str = ""
    """What the study answers."""
    published: str = ""
    """For the page: where the numbers it goes with were published, and what they are."""
    lines: str | None = None
    """The axis to compare side by side; the last one but the seed if left out."""
    inputs: Table = field(default_factory=dict)
    """What `--data NAME=PATH` gives, or `--data PATH` for the first; `$NAME` stands for it. One without a `default`
    must be given."""
    settings: Table = field(default_factory=dict)
    """Settings of every cell, those of `ganshift transfer` or `dual` with `_` for `-`. `preset` is required."""
    sources: Table = field(default_factory=dict)
    """`[sources.NAME]` has the settings of a run to train first; `source = "NAME"` starts from it."""
    grid: Table = field(default_factory=dict)
    """Axes with lists of values. A plain value sets what the axis is called; a table has a `label` and any settings.
    Scores are means over `seed`; without it a row has one cell, and no interval."""
    evaluation: Table = field(default_factory=dict)
    """Settings of `ganshift evaluate`. Without `reference` it is the cell's data: the held-out images if there are at
    least 50. `[evaluation.classifier]` has what classifiers are asked: `amounts` of generated images, as multiples of
    the real ones, and the `extractor` of the probe's features."""

    def __post_init__(self) -> None:
        for key, tables in {"inputs": self.inputs, "sources": self.sources}.items():
            for name, entry in tables.items():
                require(isinstance(entry, dict), f"{key}.{name} must be a table: [{key}.{name}]")
        require(bool(self.grid), "there is no [grid]: name at least one setting with a list of its values")
        choose(self.compared, self.grid, "axis of the grid")

    @property
    def compared(self) -> str:
        """The axis whose values are compared side by side: `lines`, or the last one but the seed."""
        return self.lines or [SEED, *(axis for axis in self.grid if axis != SEED)][-1]


@final
@dataclass(frozen=True, kw_only=True)
class Study:
    """A recipe with its inputs filled in, and its cells in a folder."""

    recipe: Recipe
    out: Path
    inputs: Mapping[str, str]
    """What --data gave, or the recipe's own choice, by name."""
    cells: "Sequence[Cell]"
    """Sources first, then the grid, its last axis varying fastest."""

    def labels(self, axis: str) -> list[str]:
        """What the cells have along an axis of the grid."""
        return list(dict.fromkeys(cell.labels[axis] for cell in self.cells if axis in cell.labels))


def shipped() -> dict[str, Path]:
    """The recipes of the package by name."""
    folder = Path(__file__).with_name("recipes")
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_recipe(name: str) -> Recipe:
    """A recipe from a file or by the name of a shipped one; a `UserError` if it cannot be one."""
    path = Path(name)
    if not path.is_file():
        require(path.suffix != ".toml", f"there is no recipe {name}; ganshift study --list shows those that ship")
        path = shipped()[choose(name, shipped(), "recipe")]
    try:
        text = path.read_text(encoding="utf-8")
        return settings_from(Recipe, tomllib.loads(text), name=path.stem, text=text)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read recipe {path}: {error}") from error


def open_study(name: str, given: Sequence[str] = (), out: Path | None = None) -> Study:
    """The study of a recipe, with every cell checked; `given` are NAME=VALUE, or a value for the first input.

    Its folder is in `runs` and has the recipe's name unless `out` is another.
    """
    recipe = read_recipe(name)
    try:
        inputs = _inputs(recipe.inputs, given)
        study = out or Path("runs") / recipe.name
        return Study(recipe=recipe, out=study, inputs=inputs, cells=_cells(recipe, inputs, study))
    except UserError as error:
        raise UserError(f"recipe {name}: {error}") from None


def _cells(recipe: Recipe, inputs: Mapping[str, str], out: Path) -> "list[Cell]":
    from .cell import Cell  # needs torch, which --list does without

    method = methods()[choose(recipe.method, methods(), "method")]
    settings, evaluation = _filled(recipe.settings, inputs), _filled(recipe.evaluation, inputs)
    sources: dict[str, Cell] = {}

    def make(place: str, settings: Table, labels: Mapping[str, str], evaluation: Table | None) -> Cell:
        source = sources.get(str(settings.get("source")))
        more = {"source": str(source.run.resolve())} if source else {}
        try:
            config = method.configure({**settings, **more}, out / place)
            cell = Cell(config=config, labels=labels, evaluation=evaluation, source=source)
            asked = cell.classifier
            require(asked is None or method.kind == "generator", "evaluation.classifier is for runs that draw images")
            judges = [cell.measures().get("extractor", "cifar"), *([asked.extractor] if asked else [])]
            for extractor in judges if evaluation is not None else ():
                require(
                    extractor not in config.trained_by,
                    f"{extractor} trains this run and cannot judge it: name another extractor in [evaluation]",
                )
        except UserError as error:
            raise UserError(f"{place}: {error}") from None
        return cell

    for name, own in _filled(recipe.sources, inputs).items():
        sources[name] = make(f"sources/{_file_name(name)}", overlaid(settings, own), {}, None)
    cells = list(sources.values())
    axes = {axis: _values(axis, values) for axis, values in _filled(recipe.grid, inputs).items()}
    for values in product(*axes.values()):
        labels = {axis: label for axis, (label, _) in zip(axes, values, strict=True)}
        merged = reduce(overlaid, (own for _, own in values), settings)
        reference = evaluation.get("reference", merged.get("data"))
        require(isinstance(reference, str), "the evaluation needs a reference where there is no data")
        place = "_".join(_file_name(f"{axis}-{label}") for axis, label in labels.items())
        cells.append(make(f"cells/{place}", merged, labels, {**evaluation, "reference": reference}))
    places = [cell.place for cell in cells]
    twice = [place for place in places if places.count(place) > 1]
    require(not twice, f"two cells are called {', '.join(twice[:1])}: give the values labels that differ")
    return cells


def _inputs(declared: Table, given: Sequence[str]) -> dict[str, str]:
    """What stands for each $NAME: what was given, else the recipe's default; a `UserError` names what is missing."""
    values = {name: entry["default"] for name, entry in declared.items() if "default" in entry}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in declared:
            require(bool(declared), "it takes no --data: it names all its images")
            name, value = next(iter(declared)), text
        values[name] = value
    missing = {name: entry.get("about", "a folder of images") for name, entry in declared.items() if name not in values}
    wanted = "; ".join(f"--data {name}=... ({about})" for name, about in missing.items())
    require(not missing, f"it needs your data: give {wanted}")
    return values


def _filled(content: Any, inputs: Mapping[str, str]) -> Any:
    """The same with every $NAME replaced by the input of that name."""
    if isinstance(content, dict):
        return {key: _filled(value, inputs) for key, value in content.items()}
    if isinstance(content, list):
        return [_filled(value, inputs) for value in content]
    if isinstance(content, str) and content.startswith("$"):
        return inputs[choose(content[1:], inputs, "input ($NAME stands for an entry of [inputs])")]
    return content


def _values(axis: str, values: Any) -> list[tuple[str, Table]]:
    """Label and settings of each value of an axis: a table has both, anything else is for the setting of that name."""
    require(isinstance(values, list) and bool(values), f"the grid's {axis} must be a list of values")
    tables = [value if isinstance(value, dict) else {"label": _label(value), axis: value} for value in values]
    for table in tables:
        require("label" in table, f"a value of the grid's {axis} is a table without a label")
    return [(str(table["label"]), {key: table[key] for key in table if key != "label"}) for table in tables]


def _label(value: Any) -> str:
    """What a value is called in tables and folder names: of a path only the end."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return PurePosixPath(value).name or "none" if isinstance(value, str) else str(value)


def _file_name(label: str) -> str:
    return re.sub(r"[^\w.-]+", "-", label)

"""Settings as a recipe writes them, checked against a method's configuration and laid over each other."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from ...errors import UserError, nearest
from ...methods.method import Method
from ...training.config import BUDGET_FIELDS, RunConfig


def layered(method: Method, *layers: Mapping[str, Any]) -> dict[str, Any]:
    """The preset that the last layer to name one names, with the layers over it, the later over the earlier.

    A layer with a budget replaces the budgets below it, whichever of the ways it is given in.
    """
    named = [layer["preset"] for layer in layers if "preset" in layer]
    if not named:
        raise UserError('a recipe needs a preset among its settings, such as preset = "small"')
    preset = choose(named[-1], method.presets, f"preset of {method.name}")
    merged: dict[str, Any] = {}
    for layer in (method.presets[preset], *layers):
        if any(name in layer for name in BUDGET_FIELDS):
            merged = {name: value for name, value in merged.items() if name not in BUDGET_FIELDS}
        merged |= {name: value for name, value in layer.items() if name != "preset"}
    return merged


def configuration(method: Method, settings: Mapping[str, Any], out: Path) -> RunConfig:
    """The configuration of a run, checked as the command line checks it; a `UserError` says what is wrong."""
    own = [field for field in fields(method.config) if field.name != "out"]
    kinds = {field.name: field.type for field in own}
    values = {choose(name, kinds, "setting"): _convert(name, kinds[name], value) for name, value in settings.items()}
    missing = [field.name for field in own if field.name not in values and field.default is MISSING]
    if missing:
        verb, them = ("are", "them") if len(missing) > 1 else ("is", "it")
        names = " and ".join(missing)
        raise UserError(f"{names} {verb} missing: a recipe names {them} among its settings or in its grid")
    return method.config(**values, out=out)


def choose(name: Any, choices: Mapping[str, Any], what: str) -> str:
    """The name, if it is one of the choices; else a `UserError` with the nearest one."""
    if not isinstance(name, str) or name not in choices:
        hint = nearest(str(name), choices) or f"there are {_listed(choices)}"
        raise UserError(f"there is no {what} {name!r}; {hint}")
    return name


def _listed(choices: Mapping[str, Any]) -> str:
    return ", ".join(choices) or "none"


def _convert(name: str, kind: Any, value: Any) -> Any:
    """A value of TOML as the field takes it: paths are strings there, and a whole number serves as a fraction."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    for one in kinds:
        if get_origin(one) is Literal and value in get_args(one):
            return value
        if one is Path and isinstance(value, str):
            return Path(value)
        if one is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if isinstance(one, type) and type(value) is one:
            return value
    raise UserError(f"{name} must be {_said(kinds)}, got {value!r}")


def _said(kinds: tuple[Any, ...]) -> str:
    """What a value may be, in words."""
    words: Mapping[Any, str] = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text",
        Path: "a path",
    }
    choices = [
        "one of " + ", ".join(map(str, get_args(kind))) if get_origin(kind) is Literal else words[kind]
        for kind in kinds
        if kind is not NoneType
    ]
    return " or ".join(choices)

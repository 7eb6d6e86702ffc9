"""The methods there are: those of this package, and those that other packages register.

Another package registers its `Method` under the entry-point group `ganshift.methods`. Beside this file, only a method's
own folder and its command know a method by name.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from ..errors import UserError, first_line, nearest
from ..training.config import RunConfig
from .dual.method import DUAL
from .method import Method
from .transfer.method import TRANSFER

if TYPE_CHECKING:
    from ..inference.generator import ImageGenerator
    from ..inference.translator import ImageTranslator
    from ..training.throughput import Throughput

GROUP = "ganshift.methods"
"""Entry points of other packages, each of which leads to a `Method`."""

logger = logging.getLogger("ganshift")


@cache
def methods() -> Mapping[str, Method]:
    """All methods by name, our own first. One of another package that cannot be loaded is warned of and left out."""
    found = {method.name: method for method in (TRANSFER, DUAL)}
    for entry in entry_points(group=GROUP):
        try:
            method = entry.load()
        except Exception as error:  # whatever another package does wrong, ours works
            logger.warning("method %s of %s cannot be loaded: %s", entry.name, entry.value, first_line(error))
            continue
        if isinstance(method, Method):
            found.setdefault(method.name, method)
        else:
            logger.warning("method %s of %s is left out: it is not a ganshift Method", entry.name, entry.value)
    return found


def method_named(name: object, where: object = "config.json") -> Method:
    """The method of this name; a `UserError` that says `where` the name was read if there is none."""
    known = methods()
    if not isinstance(name, str) or name not in known:
        hint = nearest(str(name), known) or f"there are {', '.join(known)}"
        raise UserError(f"{where} is of method {name!r}, which ganshift does not have: {hint}")
    return known[name]


def method_of(config: RunConfig) -> Method:
    """The method whose settings these are."""
    return next(method for method in methods().values() if type(config) is method.config)


def throughput_of(config: RunConfig, seconds: int | float) -> "Throughput":
    """How fast a run of these settings trains here; see `training.throughput.throughput`."""
    from ..training.log import quiet
    from ..training.throughput import throughput

    with quiet():  # what is said when opening belongs to a run
        return throughput(method_of(config).trainer().from_config(replace(config, evaluate_every=0)), seconds)


def method_in(folder: Path) -> Method:
    """The method of the run or the model that a folder holds."""
    from ..training.run_folder import read_config

    return method_named(read_config(folder).get("method"), folder)


@overload
def open_model(name: str | Path, device: str = ..., kind: None = ...) -> "ImageGenerator | ImageTranslator": ...


@overload
def open_model(name: str | Path, device: str, kind: Literal["generator"]) -> "ImageGenerator": ...


@overload
def open_model(name: str | Path, device: str, kind: Literal["translator"]) -> "ImageTranslator": ...


def open_model(
    name: str | Path, device: str = "auto", kind: Literal["generator", "translator"] | None = None
) -> "ImageGenerator | ImageTranslator":
    """Open a trained model of whatever method by any of its names (`inference.names.find_model`).

    Raises a `UserError` that names the command for it if the model is not of the `kind` asked for.
    """
    from ..inference.names import find_model

    folder = find_model(name)
    method = method_in(folder)
    if kind not in (None, method.kind):
        raise UserError(f"{name} holds a {method.name} run, not a {kind}: use ganshift {method.verb}")
    return method.model().from_folder(folder, device)

"""The models that a server has: opened once, each with a name for the page and its card."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, final

from ...errors import UserError, printable
from ...inference.generator import ImageGenerator
from ...inference.names import find_model, short_name
from ...inference.translator import ImageTranslator
from ...methods.registry import open_model
from .refusals import NotServed

Kind = TypeVar("Kind", ImageGenerator, ImageTranslator)


@final
@dataclass(frozen=True)
class Served:
    """A model and what is told of it."""

    name: str
    model: ImageGenerator | ImageTranslator
    card: str
    """Its model card in Markdown, which says nothing of where anything lies on the server."""


@final
class Shelf:
    """All models of a server by name, in the order given."""

    def __init__(self, served: Sequence[Served]):
        self._served = {one.name: one for one in served}

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    def names(self, kind: type[Kind]) -> list[str]:
        """Of the generators or of the translators."""
        return [one.name for one in self._served.values() if isinstance(one.model, kind)]

    def find(self, kind: type[Kind], name: str | None) -> Kind:
        """The model of this name, or the only one of its kind if no name is given; else `NotServed`."""
        names, noun = self.names(kind), kind.noun
        if not names:
            raise NotServed(f"there is no {noun} here")
        if name is None and len(names) > 1:
            raise UserError(f"there are several {noun}s here, so name one as model: {', '.join(names)}")
        found = self._served.get(names[0] if name is None else name)
        if found is None or not isinstance(found.model, kind):
            raise NotServed(f"there is no {noun} {name!r} here; there is {', '.join(names)}")
        return found.model


def open_runs(runs: Sequence[str | Path], device: str = "auto") -> Shelf:
    """Load models by any of their names. They are called by their short names, with numbers where two are the same."""
    if not runs:
        raise UserError("name at least one run folder to serve")
    served: dict[str, Served] = {}
    for given in runs:
        model, name = open_model(given, device), _new_name(given, served)
        card = model.generate_model_card(folder=find_model(given), name=name)
        served[name] = Served(name, model, card.text)
    return Shelf(list(served.values()))


def _new_name(run: str | Path, taken: Mapping[str, Served]) -> str:
    name = printable(short_name(run)) or "model"
    number, new = 2, name
    while new in taken:
        new, number = f"{name}-{number}", number + 1
    return new

"""What to run on these pictures: what the methods that learn from so many sets of images advise."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from ...data.open import PREFIX
from ...methods.advice import Advice
from ...methods.registry import methods
from .scan import PartFacts


def advise(train: Sequence[PartFacts], data: Path, data_b: Path | None, on_accelerator: bool) -> list[Advice]:
    """Runs for the training part, or for those of two domains, all of which have readable pictures; ours first."""
    name = data.stem if data_b is None else f"{data.stem}-{data_b.stem}"
    out = _free(Path("runs") / (name.removeprefix(PREFIX) or "mine"))
    where = {"data": data} if data_b is None else {"a": data, "b": data_b}
    return [
        method.advise(train, where, out, on_accelerator)
        for method in methods().values()
        if method.advise is not None and method.domains == len(train)
    ]


def _free(out: Path) -> Path:
    """The folder, or with a number behind it, so that it is new."""
    if not out.exists():
        return out
    return next(path for number in count(2) if not (path := out.with_name(f"{out.name}-{number}")).exists())

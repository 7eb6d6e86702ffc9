"""What a report says of a method's runs: the sentences each method brings, and what is said where it brings none."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

MOST_CHARACTERS = 200
"""Longer values are cut short."""
MOST_CLASSES = 12
"""Class names that are told."""
DomainNames = tuple[str, str]
"""What one image of domain a and one of domain b is, such as photo and sketch."""


@runtime_checkable
class ReportedRun(Protocol):
    """What a method's words can ask of a run folder. Whatever is missing there is None."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """As config.json has them, whatever they are."""
        ...

    @property
    def images(self) -> int:
        """Real images shown."""
        ...

    @property
    def seconds(self) -> float:
        """Time spent training."""
        ...

    @property
    def num_weights(self) -> int | None:
        """How many numbers the model has."""
        ...

    def num_images(self, *where: str) -> int | None:
        """How many images the part of the data has that these keys of config.json lead to."""
        ...

    def get(self, *names: str) -> Any:
        """The value of config.json that these keys lead to."""
        ...


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One of the sample grids that a run writes."""

    name: str
    """Its files are samples/NAME-IMAGES.png."""
    label: str
    """What it shows; {a} and {b} stand for what an image of each domain is."""
    title: str = ""
    """The same as a heading of its own; the label if empty."""
    columns: Callable[[ReportedRun, DomainNames], Sequence[str]] = lambda run, domains: ()
    """Headings of its columns, which are equally wide; none if nothing is to be said of them."""


def shown(value: Any) -> str:
    """A value of a description as text, cut short."""
    if value is None:
        return "not set"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} …"


def with_domains(text: str, domains: DomainNames) -> str:
    """A label or a title with what an image of each domain is."""
    a, b = domains
    return text.replace("{a}", a).replace("{b}", b)


def counted(count: int | None) -> str:
    """A number in a sentence, known or not."""
    return "an unknown number of" if count is None else f"{count:,}"


def classes_of(run: ReportedRun) -> list[str]:
    """The names of the classes that a run has learned."""
    classes = run.get("classes")
    return [name for name in classes if isinstance(name, str)] if isinstance(classes, list) else []


def plain_facts(run: ReportedRun) -> list[tuple[str, str]]:
    """The images of a run that learns one set of them, and their classes if they have any."""
    facts = [("Images", f"{shown(run.settings.get('data'))}: {counted(run.num_images('data'))}")]
    if classes := classes_of(run):
        more = f" and {len(classes) - MOST_CLASSES:,} more" if len(classes) > MOST_CLASSES else ""
        facts.append(("Classes", ", ".join(map(shown, classes[:MOST_CLASSES])) + more))
    return facts


@dataclass(frozen=True, kw_only=True)
class ReportWords:
    """The words of a method. All have a default, so that a method without words has a report as well."""

    title: str = ""
    """Of the chapter on its runs, {a} and {b} as in `Grid`; the method's name and summary if empty."""
    introduction: Callable[[Sequence[ReportedRun], DomainNames], str] = lambda runs, domains: ""
    """What runs, one or several side by side, are about, in a paragraph or two; the method's summary if empty."""
    facts: Callable[[ReportedRun], Sequence[tuple[str, str]]] = plain_facts
    """Names and values of what only this method's runs have; the first is about the images."""
    terms: Mapping[str, str] = field(default_factory=dict)
    """What each logged term means, in the order of their curves; other terms come after these, without a word."""
    about_curves: str = ""
    """What to look for in the curves."""
    grids: Sequence[Grid] = ()
    """The sample grids; if empty, those whose files are found."""
    about_grids: str = ""
    """What to look for in the grids."""
    grid_alt: str = "Sample grid"
    """What a grid shows, for who cannot see it."""


GRADIENT_TERMS: Mapping[str, str] = {
    "gradient/generator": "The size of the generators' gradient in single steps. It jumps; what matters is that it "
    "neither dies away nor grows by orders of magnitude.",
    "gradient/critic": "The same for the critics.",
}
"""The terms that every method of ours logs."""

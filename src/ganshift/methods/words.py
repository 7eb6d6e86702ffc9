"""What a report says of a method's runs: the sentences each method brings, and what is said where it brings none."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from ..data.domain_names import DomainNames

if TYPE_CHECKING:
    from jinja2 import Environment, Template

MOST_CHARACTERS = 200
"""Longer values are cut short."""
MOST_CLASSES = 12
"""Class names that are told."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One of the sample grids that a run writes; {a} and {b} stand for what the domains are called."""

    name: str
    """Its files are samples/NAME-IMAGES.png."""
    label: str
    """What it shows."""
    title: str = ""
    """The same as a heading of its own; the label if empty."""
    headings: Sequence[str] = ()
    """Of its columns, which are equally wide; none if nothing is to be said of them."""
    class_columns: int = 0
    """How many columns there are that each show one class, in turn."""

    def columns(self, run: Any, domains: DomainNames) -> list[str]:
        """The headings of its columns for a run (`tools.report.runs.Run`)."""
        classes = classes_of(run) if self.class_columns else []
        in_turn = [shown(classes[column % len(classes)]) for column in range(self.class_columns) if classes]
        return in_turn or [with_domains(heading, domains) for heading in self.headings]


@dataclass(frozen=True, kw_only=True)
class ReportWords:
    """The words of a method. All have a default, so that a method without words has a report as well.

    `about` and `facts` are templates of Jinja, which know a `run` (`tools.report.runs.Run`) or `runs`, and the filters
    `shown`, `counted`, `duration`, `pixels` and `classes`.
    """

    title: str = ""
    """Of the chapter on its runs, {a} and {b} as in `Grid`; the method's name and summary if empty."""
    about: str = ""
    """What `runs`, one or several side by side, are about, in a paragraph or two; the method's summary if empty.
    `domains` are `DomainNames`."""
    facts_of_run: Mapping[str, str] = field(
        default_factory=lambda: {
            "Images": "{{ run.settings.get('data') | shown }}: {{ run.num_images('data') | counted }}",
            "Classes": "{{ run | classes }}",
        }
    )
    """What only this method's runs have, by name; the first is about the images, and empty ones are left out."""
    terms: Mapping[str, str] = field(default_factory=dict)
    """What each logged term means, {a} and {b} as in `Grid`, in the order of their curves; other terms come after
    these, without a word."""
    main_term: str = ""
    """The term whose curve is shown unfolded where no score can be; if empty, the first term of a run by itself."""
    about_curves: str = ""
    """What to look for in the curves."""
    grids: Sequence[Grid] = ()
    """The sample grids; if empty, those whose files are found."""
    about_grids: str = ""
    """What to look for in the grids."""
    grid_alt: str = "Sample grid"
    """What a grid shows, for who cannot see it."""

    def introduction(self, runs: Sequence[Any], domains: DomainNames) -> str:
        """What these runs are about; an empty line stands between paragraphs."""
        return _rendered(self.about, runs=runs, domains=domains)

    def facts(self, run: Any) -> list[tuple[str, str]]:
        """Names and values."""
        return [(name, _rendered(template, run=run)) for name, template in self.facts_of_run.items()]


def words_from(table: Mapping[str, Any]) -> ReportWords:
    """The words in a table of a method's `words.toml`."""
    return ReportWords(**{**table, "grids": [Grid(**grid) for grid in table["grids"]]})


def shown(value: Any) -> str:
    """A value of a description as text, cut short."""
    if value is None:
        return "not set"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} …"


def with_domains(text: str, domains: DomainNames) -> str:
    """A label or a title with what the domains are called."""
    return text.replace("{a}", domains["a"]).replace("{b}", domains["b"])


def counted(count: int | None) -> str:
    """A number in a sentence, known or not."""
    return "an unknown number of" if count is None else f"{count:,}"


def pixels(size: Any) -> str:
    """The side of squares, or width by height."""
    if isinstance(size, list) and len(size) == 2:
        return f"{shown(size[1])} x {shown(size[0])}"
    return shown(size)


def classes_of(run: Any) -> list[str]:
    """The names of the classes that a run has learned."""
    classes = run.get("classes")
    return [name for name in classes if isinstance(name, str)] if isinstance(classes, list) else []


def _some_classes(run: Any) -> str:
    classes = classes_of(run)
    more = f" and {len(classes) - MOST_CLASSES:,} more" if len(classes) > MOST_CLASSES else ""
    return ", ".join(map(shown, classes[:MOST_CLASSES])) + more


@cache
def _environment() -> "Environment":
    from jinja2 import Environment

    from ..training.log import duration

    environment = Environment(autoescape=False, trim_blocks=True, lstrip_blocks=True)  # the page escapes
    filters = {"shown": shown, "counted": counted, "duration": duration, "pixels": pixels, "classes": _some_classes}
    environment.filters.update(filters)
    return environment


@cache
def _compiled(template: str) -> "Template":
    return _environment().from_string(template)


def _rendered(template: str, **values: Any) -> str:
    paragraphs = _compiled(template).render(**values).strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)

"""The page and its parts. It loads nothing: pictures are data URIs, and without scripts the sliders show their end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, final

from jinja2 import Template
from markupsafe import Markup

from ...errors import UserError, printable
from ...files import write_output
from ...inference.pages import templates
from ...training.log import duration
from .pictures import MOST_BYTES, RUNGS, Album, PageTooLarge
from .plots import Look

TEMPLATE = "report.html.j2"
Picture = bytes | str | Path
"""Bytes of a PNG, text of an SVG, or a file, which may turn out to be damaged."""


@final
@dataclass(frozen=True, kw_only=True)
class Figure:
    """One picture. `alt` says in words what it shows, `caption` what to look for."""

    kind: ClassVar[str] = "figure"
    title: str
    image: Picture = field(repr=False)
    caption: str
    alt: str
    columns: Sequence[str] = ()
    """Headings above the columns of the picture, which are equally wide."""


@final
@dataclass(frozen=True, kw_only=True)
class Panels:
    """Small figures side by side, under one title, legend and caption."""

    kind: ClassVar[str] = "panels"
    title: str
    panels: Sequence[Figure]
    caption: str
    legend: Sequence[Look] = ()


@final
@dataclass(frozen=True, kw_only=True)
class Slider:
    """Sheets over time: a slider for each track, which move together unless the reader parts them."""

    kind: ClassVar[str] = "slider"
    title: str
    tracks: Mapping[str, Sequence[tuple[int, Picture]]] = field(repr=False)
    """By label, the images seen and the picture of each sheet, as `Run.sheets` returns them."""
    caption: str
    alt: str
    """What a sheet shows; the label of its track and the images seen are added."""
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By label, headings above the columns of the sheets."""


@final
@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of texts under headings; `numbers` and `unbroken` name columns of numbers, and of texts on one line."""

    kind: ClassVar[str] = "table"
    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    numbers: Sequence[str] = ()
    unbroken: Sequence[str] = ()


@final
@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names and what goes with each; folded ones are opened by the reader."""

    kind: ClassVar[str] = "facts"
    title: str
    facts: Sequence[tuple[str, str]]
    caption: str = ""
    folded: bool = False


@final
@dataclass(frozen=True, kw_only=True)
class Listing:
    """A text file as it is."""

    kind: ClassVar[str] = "listing"
    title: str
    text: str
    caption: str


@final
@dataclass(frozen=True, kw_only=True)
class Commands:
    """Lines for a shell."""

    kind: ClassVar[str] = "commands"
    title: str
    lines: Sequence[str]
    caption: str = ""


@final
@dataclass(frozen=True, kw_only=True)
class Notices:
    """Things said, one after the other."""

    kind: ClassVar[str] = "notices"
    title: str
    items: Sequence[str]
    caption: str = ""


Part = Figure | Panels | Slider | Table | Facts | Listing | Commands | Notices
"""What a chapter shows."""


@final
@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One part of the page. Blank lines part the paragraphs of the introduction."""

    title: str
    introduction: str
    parts: Sequence[Part]


def render(
    path: Path,
    *,
    title: str,
    introduction: str,
    chapters: Sequence[Chapter],
    environment: Mapping[str, str],
    seconds: float,
    commands: Sequence[str] = (),
    most_bytes: int = MOST_BYTES,
) -> None:
    """Write the page, whole or not at all, with fewer and smaller pictures where it would be larger than it may be.

    `commands` are those that made it, in `seconds` of training altogether.
    """
    content = {"title": title, "introduction": introduction, "chapters": chapters, "environment": environment}
    for rung in RUNGS:
        album = Album(rung, most_bytes)
        try:
            page = _template().render(**content, seconds=seconds, commands=commands, album=album).encode()
        except PageTooLarge:
            continue
        if len(page) < most_bytes:
            write_output(path, page)
            return
    raise UserError(
        f"the page would be larger than {most_bytes:,} bytes even with the smallest pictures: name fewer runs"
    )


@cache
def _template() -> Template:
    pages = templates(html=True, finalize=_visible)
    pages.filters["duration"] = duration
    return pages.get_template(TEMPLATE)


def _visible(value: Any) -> Any:
    """Write out what is no visible character: names of files and classes could turn the text around them."""
    return printable(value, keep="\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value

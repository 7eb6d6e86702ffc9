"""The page and its parts. It loads nothing: pictures are data URIs, and without scripts the sliders show their end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from markupsafe import Markup

from ...errors import UserError, printable
from ...files import write_output
from ...inference.pages import templates
from ...training.log import duration
from .pictures import MOST_BYTES, RUNGS, Album, PageTooLarge
from .plots import Look

Picture = bytes | str | Path
"""Bytes of a PNG, text of an SVG, or a file, which may turn out to be damaged."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a chapter shows under a title; `caption` says what to look for. The template knows each kind by its name."""

    title: str
    caption: str = ""

    @property
    def kind(self) -> str:
        """Such as figure or table."""
        return type(self).__name__.lower()


@final
@dataclass(frozen=True, kw_only=True)
class Figure(Part):
    """One picture. `alt` says in words what it shows."""

    image: Picture
    alt: str
    columns: Sequence[str] = ()
    """Headings above the columns of the picture, which are equally wide."""


@final
@dataclass(frozen=True, kw_only=True)
class Panels(Part):
    """Small figures side by side, under one title, legend and caption."""

    panels: Sequence[Figure]
    legend: Sequence[Look] = ()


@final
@dataclass(frozen=True, kw_only=True)
class Slider(Part):
    """Sample grids over time: a slider for each track, which move together unless the reader parts them."""

    tracks: Mapping[str, Sequence[tuple[int, Picture]]]
    """By label, the images seen and the picture of each grid, as `Run.grid_files` returns them."""
    alt: str
    """What a grid shows; the label of its track and the images seen are added."""
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By label, headings above the columns of the grids."""


@final
@dataclass(frozen=True, kw_only=True)
class Table(Part):
    """Rows of texts under headings; `numbers` and `unbroken` name columns of numbers, and of texts on one line."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[str] = ()
    unbroken: Sequence[str] = ()


@final
@dataclass(frozen=True, kw_only=True)
class Facts(Part):
    """Names and what goes with each; folded ones are opened by the reader."""

    facts: Sequence[tuple[str, str]]
    folded: bool = False


@final
@dataclass(frozen=True, kw_only=True)
class Listing(Part):
    """A text file as it is."""

    text: str


@final
@dataclass(frozen=True, kw_only=True)
class Commands(Part):
    """Lines for a shell."""

    lines: Sequence[str]


@final
@dataclass(frozen=True, kw_only=True)
class Notices(Part):
    """Things said, one after the other."""

    items: Sequence[str]


@final
@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A section of the page. Blank lines part the paragraphs of the introduction."""

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
    template = templates(html=True, finalize=_visible).get_template("report.html.j2")
    for rung in RUNGS:
        try:
            page = template.render(
                title=title,
                introduction=introduction,
                chapters=chapters,
                environment=environment,
                training_time=duration(seconds),
                commands=commands,
                album=Album(rung, most_bytes),
            ).encode()
        except PageTooLarge:
            continue
        if len(page) < most_bytes:
            write_output(path, page)
            return
    raise UserError(
        f"the page would be larger than {most_bytes:,} bytes even with the smallest pictures: name fewer runs"
    )


def _visible(value: Any) -> Any:
    """Write out what is no visible character: names of files and classes could turn the text around them."""
    return printable(value, keep="\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value

"""Pages from their templates. They load nothing: pictures are data URIs, and without scripts sliders show their end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, final

from jinja2 import Template
from markupsafe import Markup

from ...errors import UserError, printable
from ...files import write_output
from ...inference.pages import templates
from ...training.log import duration
from .pictures import MOST_BYTES, RUNGS, Album, PageTooLarge


@final
@dataclass(frozen=True, kw_only=True)
class Figure:
    """One picture. `alt` says in words what it shows, `caption` what to look for."""

    title: str
    image: bytes | str | Path
    """Bytes of a PNG, text of an SVG, or a file, which may turn out to be damaged."""
    alt: str
    caption: str = ""
    columns: Sequence[str] = ()
    """Headings above the columns of the picture, which are equally wide."""


def render(
    path: Path,
    template: str,
    *,
    title: str,
    introduction: str = "",
    environment: Mapping[str, str],
    seconds: float,
    command: str = "",
    most_bytes: int = MOST_BYTES,
    **more: Any,
) -> None:
    """Write the page, whole or not at all, with fewer and smaller pictures where it would be larger than it may be.

    `template` extends `page.html.j2` and takes `more`. `command` made what it shows, in `seconds` of training
    altogether. Blank lines part the paragraphs of the introduction.
    """
    found = _compiled(template)
    for rung in RUNGS:
        try:
            page = found.render(
                title=title,
                introduction=introduction,
                environment=environment,
                training_time=duration(seconds),
                command=command,
                album=Album(rung, most_bytes),
                **more,
            ).encode()
        except PageTooLarge:
            continue
        if len(page) < most_bytes:
            write_output(path, page)
            return
    raise UserError(
        f"the page would be larger than {most_bytes:,} bytes even with the smallest pictures: name fewer runs"
    )


@cache
def _compiled(name: str) -> Template:
    return templates(html=True, finalize=_visible).get_template(name)


def _visible(value: Any) -> Any:
    """Write out what is no visible character: names of files and classes could turn the text around them."""
    return printable(value, keep="\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value

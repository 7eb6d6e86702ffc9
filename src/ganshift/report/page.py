"""The page and its parts. It loads nothing: pictures are data URIs, and without scripts the sliders show their end."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, final

import numpy as np
from jaxtyping import UInt8
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from ..files import write_atomically

LARGEST_EXACT = 200_000
"""Pictures that take more bytes without loss are stored in the page as WebP of quality 90."""
TEMPLATE = "report.html.j2"


@final
@dataclass(frozen=True, kw_only=True)
class Figure:
    """One picture: PNG bytes or SVG text. `alt` says in words what it shows, `caption` what to look for."""

    kind: ClassVar[str] = "figure"
    title: str
    image: bytes | str = field(repr=False)
    caption: str
    alt: str
    columns: Sequence[str] = ()
    """Headings above the columns of the picture, which are equally wide."""


@final
@dataclass(frozen=True, kw_only=True)
class Panels:
    """Small figures side by side, under one title and caption."""

    kind: ClassVar[str] = "panels"
    title: str
    panels: Sequence[Figure]
    caption: str


@final
@dataclass(frozen=True, kw_only=True)
class Slider:
    """Sheets of one or more runs, moved through together: at every step, the newest sheet of each."""

    kind: ClassVar[str] = "slider"
    title: str
    tracks: Mapping[str, Sequence[tuple[int, bytes]]] = field(repr=False)
    """By label, the images seen and the PNG bytes of each sheet, as `evolution` returns them."""
    caption: str
    alt: str
    """What a sheet shows; the label of its track and the images seen are added."""
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By label, headings above the columns of the sheets."""

    @property
    def steps(self) -> list[int]:
        """Images seen at every stop of the slider."""
        return sorted({seen for frames in self.tracks.values() for seen, _ in frames})


@final
@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of texts under headings; `numbers` says in which columns they are numbers."""

    kind: ClassVar[str] = "table"
    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    numbers: Sequence[str] = ()


@final
@dataclass(frozen=True, kw_only=True)
class Listing:
    """A text file as it is."""

    kind: ClassVar[str] = "listing"
    title: str
    text: str
    caption: str


Part = Figure | Panels | Slider | Table | Listing
"""What a chapter shows."""


@final
@dataclass(kw_only=True)
class Chapter:
    """One part of the page. Blank lines part the paragraphs of the introduction."""

    title: str
    introduction: str
    figures: Sequence[Part]
    facts: Sequence[tuple[str, str]]
    commands: Sequence[str]
    """Lines for a shell that do the same with the reader's own images."""


def render(
    path: Path,
    *,
    title: str,
    introduction: str,
    chapters: Sequence[Chapter],
    environment: Mapping[str, str],
    seconds: float,
    commands: Sequence[str] = (),
) -> None:
    """Write the page, whole or not at all. `commands` are those that made it, in `seconds` altogether."""
    templates = Environment(
        loader=PackageLoader("ganshift"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"data_uri": data_uri, "duration": duration}
    html = templates.get_template(TEMPLATE).render(
        title=title,
        introduction=introduction,
        chapters=chapters,
        environment=environment,
        seconds=seconds,
        commands=commands,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda beside: beside.write_text(html, encoding="utf-8"))


def data_uri(image: bytes | str) -> str:
    """The picture itself as an address; equal channels become one, and large pictures are compressed."""
    if isinstance(image, str):
        return _address("svg+xml", image.encode())
    picture: Image.Image = Image.open(io.BytesIO(image))
    if picture.mode == "RGB" and _is_gray(np.asarray(picture)):
        picture = picture.convert("L")
    exact = {"png": _encode(picture, "png", optimize=True), "webp": _encode(picture, "webp", lossless=True)}
    kind, content = min(exact.items(), key=lambda item: len(item[1]))
    if len(content) > LARGEST_EXACT:
        kind, content = "webp", _encode(picture, "webp", quality=90)
    return _address(kind, content)


def to_png(pixels: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Encode pixels without loss."""
    return _encode(Image.fromarray(pixels), "png")


def duration(seconds: float) -> str:
    """Time for people: 42 s, 5 min 12 s, 3 h 20 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole else "less than a second"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _address(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _encode(picture: Image.Image, form: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def _is_gray(pixels: UInt8[np.ndarray, "h w 3"]) -> bool:
    return bool((pixels == pixels[..., :1]).all())

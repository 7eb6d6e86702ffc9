"""Pictures as data URIs within a budget: as they are, else fewer and smaller ones until the page is small enough."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from ...data.images import UnreadableImage, load_picture, with_channels

MOST_BYTES = 10_000_000
"""A page is smaller than this."""
LARGEST_EXACT = 200_000
"""Pictures that take more bytes without loss are stored with loss."""
TRIED_EXACTLY = 4 * LARGEST_EXACT
"""Pictures of more pixels would take long to store without loss, and then be too large."""
UPSCALED = 448
"""Pictures of so many pixels in width, or fewer, are shown larger than they are, with their pixels as squares."""
LONGEST = 16_383
"""The longest side that WebP knows, in pixels."""
Item = TypeVar("Item")


class Rung(NamedTuple):
    """How much is kept of the pictures: stops of a slider, the longest side in pixels, and WebP's quality."""

    stops: int
    longest: int
    quality: int


RUNGS = (
    *(Rung(16, LONGEST, 90), Rung(12, 1600, 85), Rung(10, 1200, 80), Rung(8, 900, 75), Rung(6, 640, 70)),
    *(Rung(4, 480, 60), Rung(2, 320, 50), Rung(1, 160, 40)),
)
"""The first on which a page fits is taken. 16 runs of 2 grids and more fit on the last."""


class PageTooLarge(Exception):  # noqa: N818 - it says what happened, and never leaves this package
    """The pictures of this rung are more than the page may have."""


class Album:
    """The pictures of one page on one rung."""

    def __init__(self, rung: Rung, most: int):
        self._rung, self._left = rung, most

    def store(self, image: bytes | str | Path) -> dict[str, Any]:
        """What becomes of PNG or other bytes, of a file, or of SVG text in the page.

        It has a `uri`, a `kind` and, but for drawings, `width` and `height` in pixels; or the `reason` why the picture
        cannot be shown. Drawings have no pixels; pixels are shown as squares; photos are smoothed.
        """
        if isinstance(image, str):
            return {"uri": self._address("svg+xml", image.encode()), "kind": "drawing"}
        try:
            picture = load_picture(image)
        except (UnreadableImage, OSError) as error:
            return {"reason": str(error)}
        picture = picture if picture.mode != "RGBA" else with_channels(picture, 3)
        picture.thumbnail((self._rung.longest, self._rung.longest), Image.Resampling.LANCZOS)
        kind = "pixels" if picture.width <= UPSCALED else "photo"
        exactly = self._rung is RUNGS[0] and picture.width * picture.height < TRIED_EXACTLY
        content = _encode(picture, "webp", lossless=True) if exactly else b""
        if not exactly or len(content) > LARGEST_EXACT:
            content = _encode(picture, "webp", quality=self._rung.quality)
        uri = self._address("webp", content)
        return {"uri": uri, "kind": kind, "width": picture.width, "height": picture.height}

    def thin(self, items: Sequence[Item]) -> Sequence[Item]:
        """The first, the last, and evenly spaced ones between, if there are too many; of one, the last."""
        stops = self._rung.stops
        if len(items) <= stops:
            return items
        return [items[round(index)] for index in np.linspace(len(items) - 1, 0, stops)][::-1]

    def _address(self, kind: str, content: bytes) -> str:
        uri = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
        self._left -= len(uri)
        if self._left < 0:
            raise PageTooLarge
        return uri


def _encode(picture: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()

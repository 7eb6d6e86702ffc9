"""PNG and TIFF files of more than 8 bits a value: all their values, where Pillow keeps 8 bits or knows no such file."""

import io
import logging
import struct
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from jaxtyping import Shaped
from PIL import ExifTags, Image

from .colour_profiles import deep_to_srgb

Colours = Shaped[np.ndarray, "h w c"]
Alpha = Shaped[np.ndarray, "h w"]
_PNG, _HEADER = b"\x89PNG\r\n\x1a\n", struct.Struct(">II2B")  # its first chunk: width, height, bits, kind
_PNG_CHANNELS = {0: (1, False), 2: (3, False), 4: (1, True), 6: (3, True)}  # by kind: of colour, and whether one more
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_CHANNELS = {0: 1, 1: 1, 2: 3}  # by what the file says that its values mean: 0 is white, 0 is black, colour
_WHITE_IS_ZERO = 0
_LOGGERS, _SILENT = (logging.getLogger("PIL"), logging.getLogger("tifffile")), logging.CRITICAL + 1
_OPACITY, _PREMULTIPLIED = (1, 2), 1  # what it says of further channels
_TURNS = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3), 8: (False, 1)}
"""Orientation, to whether to mirror left to right and how many quarter turns to make then, against the clock."""


@final
@dataclass(frozen=True)
class DeepFile:
    """What the head of a file says."""

    dtype: np.dtype[Any]
    """Of its values."""
    channels: int
    """1 of gray or 3 of colour."""
    alpha: int | None
    """The channel that is opacity, if there is one."""
    width: int
    height: int
    """Of the picture as it is stored, in pixels."""
    _data: bytes = field(repr=False)
    _page: int = 0

    def read(self) -> tuple[Colours, Alpha | None]:
        """Colours, and opacity if there is any, upright; uint16 in sRGB. Decoders raise what they like."""
        values, turned, profile = (
            _read_png(self._data) if self._data.startswith(_PNG) else _read_tiff(self._data, self._page)
        )
        mirrored, turns = _TURNS.get(turned, (False, 0))
        values = np.rot90(values[:, ::-1] if mirrored else values, turns)
        colours = np.ascontiguousarray(values[..., : self.channels])
        if self.dtype == np.uint16:
            colours = deep_to_srgb(colours, profile)
        return colours, None if self.alpha is None else np.ascontiguousarray(values[..., self.alpha])


def open_deep(data: bytes, page_number: int = 0) -> DeepFile | None:
    """The file of these first bytes, or all; None for what has 8 bits a value, and for what cannot be read so.

    Of a TIFF it is the page of a number from `page_numbers`.
    """
    if data.startswith(_PNG):
        width, height, bits, kind = _HEADER.unpack(data[16:26].ljust(10, b"\0"))
        if bits != 16 or kind not in _PNG_CHANNELS:
            return None
        channels, has_alpha = _PNG_CHANNELS[kind]
        return DeepFile(np.dtype(np.uint16), channels, channels if has_alpha else None, width, height, data)
    page = _page(data, page_number)
    if page is None or page.dtype is None or page.dtype.kind not in "iuf" or page.dtype == np.uint8:
        return None
    width, height = page.imagewidth, page.imagelength
    if type(width) is not int or type(height) is not int:  # of a damaged file
        return None
    channels, extra = _TIFF_CHANNELS.get(page.photometric, 0), page.extrasamples
    if not channels or page.axes not in ("YX", "YXS", "SYX"):
        return None
    more = page.samplesperpixel - channels
    if more and not extra:  # not even said: a single one is opacity by custom
        extra = (_OPACITY[-1],) * more
    alpha = next((channels + number for number, kind in enumerate(extra) if kind in _OPACITY), None)
    if more != len(extra) or (channels == 1 and more > (alpha is not None)):
        return None  # channels of which nothing says what they are; beside red, green and blue they are left out
    return DeepFile(page.dtype, channels, alpha, width, height, data, page_number)


def tiff_in_words(data: bytes) -> str | None:
    """What a TIFF is, where Pillow and `open_deep` cannot read it."""
    page = _page(data)
    if page is None:
        return None
    channels = f"{page.samplesperpixel} channels" if page.samplesperpixel > 1 else "1 channel"
    return f"a TIFF of {channels} of {page.dtype}, which is none of gray, colour, and these with opacity"


def is_tiff(data: bytes) -> bool:
    """Whether these are the first bytes of a TIFF."""
    return data.startswith(_TIFF)


def page_numbers(data: bytes) -> list[int]:
    """Which pages of a TIFF are pictures, and no masks or smaller copies; [0] for other files and damaged ones."""
    if not is_tiff(data):
        return [0]
    from tifffile import TiffFile

    quieten_decoders()
    try:
        with TiffFile(io.BytesIO(data)) as file:
            pages = enumerate(page.aspage() for page in file.pages)
            return [number for number, page in pages if not (page.is_reduced or page.is_mask)] or [0]
    except Exception:
        return [0]


def quieten_decoders() -> None:
    """Let decoders log nothing of damaged files on standard error: what is wrong with a file is said with its name."""
    for logger in _LOGGERS:
        if logger.level != _SILENT:  # setting it empties the caches of all loggers
            logger.setLevel(_SILENT)


def _page(data: bytes, number: int = 0) -> Any:
    if not is_tiff(data):
        return None
    from tifffile import TiffFile

    quieten_decoders()

    try:
        with TiffFile(io.BytesIO(data)) as file:
            return file.pages[number].aspage()
    except Exception:  # a head that is too short, or a damaged file: Pillow says what is wrong with it
        return None


def _read_png(data: bytes) -> tuple[Colours, int, bytes | None]:
    """Values, orientation and profile."""
    from imagecodecs import png_decode

    values = png_decode(data)
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        profile = picture.info.get("icc_profile")
        try:
            turned = int(picture.getexif().get(ExifTags.Base.Orientation, 1))
        except Exception:  # broken notes say nothing
            turned = 1
    return values[..., None] if values.ndim == 2 else values, turned, profile


def _read_tiff(data: bytes, number: int) -> tuple[Colours, int, bytes | None]:
    from tifffile import TiffFile

    with TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[number]
        values = page.asarray()
        values = np.moveaxis(values, 0, -1) if page.axes == "SYX" else values
        values = values[..., None] if values.ndim == 2 else values
        if page.photometric == _WHITE_IS_ZERO and page.dtype.kind == "u":
            values = np.iinfo(values.dtype).max - values
        if page.extrasamples == (_PREMULTIPLIED,) and page.dtype.kind == "u":
            top, opacity = np.iinfo(values.dtype).max, values[..., -1:].astype(np.float64)
            whole = (values[..., :-1] * (top / np.maximum(opacity, 1))).clip(0, top).round().astype(values.dtype)
            values = np.concatenate([whole, values[..., -1:]], axis=2)
        return values, int(page.tags.valueof(274, 1)), page.iccprofile

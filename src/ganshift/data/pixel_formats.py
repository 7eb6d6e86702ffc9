"""Pictures with what translation gives back: gray or colour, transparency, and 8 or 16 bits a value.

Training needs none of this: there `images.load_picture` brings everything to 8 bits. Pillow has no deep colour, so
that imagecodecs and tifffile read files of 16 bits, and imagecodecs writes what is given back.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, UInt
from PIL import Image
from torch import Tensor

from ..errors import UserError
from .images import (
    GRAY_MODES,
    as_seen,
    check_pixels,
    decoding,
    deep_levels,
    is_deep,
    may_be_transparent,
    open_picture,
    orientation,
    read_bytes,
    to_picture,
    to_pixels,
    to_rgba,
)

_MIN_IS_BLACK, _RGB = 1, 2  # how a TIFF says what its values mean
_TURNS = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3), 8: (False, 1)}
"""`orientation`, to whether to mirror left to right and how many quarter turns to make then, against the clock."""


@final
@dataclass(frozen=True)
class FormattedPicture:
    """The values of one picture as its file holds them."""

    colours: UInt[np.ndarray, "c h w"]
    """One channel of gray or three of colour, as uint8 or uint16."""
    alpha: UInt[np.ndarray, "h w"] | None = None
    """Opacity of the same type, if the picture has any."""

    def for_network(self, channels: int) -> Float[Tensor, "1 channels h w"]:
        """In [-1, 1], as gray (1), colour (3) or colour with opacity (4).

        Without a channel for it, opacity is left out and colours are as stored, so that edges do not pale when it is
        put back. Only where nothing can be seen, and a file may hold anything, white is put.
        """
        colours = self.colours
        if self.alpha is not None and channels < 4:
            colours = np.where(self.alpha == 0, _top(colours), colours)
        values = _gray(colours) if channels == 1 else _colour(colours)
        if channels == 4:
            alpha = np.full_like(values[:1], _top(values)) if self.alpha is None else self.alpha[None]
            values = np.concatenate([values, alpha])
        return torch.from_numpy(values.astype(np.float32))[None] / (_top(values) / 2) - 1

    def given_back(self, images: Float[Tensor, "1 d h w"], keep_mode: bool) -> "FormattedPicture":
        """What a network made of this picture, in [-1, 1], with this picture's bits and, if its own, its opacity.

        With `keep_mode`, gray stays gray, and opacity is there if it was before; else both are as the network says.
        """
        top = _top(self.colours)
        levels = ((images[0].detach().float().cpu() + 1) * (top / 2)).round().clamp(0, top).numpy()
        values = levels.astype(self.colours.dtype)
        colours, alpha = values[:3], values[3] if len(values) == 4 else self.alpha
        if keep_mode and self.alpha is None and alpha is not None:
            seen = alpha / top
            colours, alpha = (colours * seen + top * (1 - seen)).round().astype(values.dtype), None
        if keep_mode:
            colours = _gray(colours) if len(self.colours) == 1 else _colour(colours)
        return FormattedPicture(colours, alpha)

    def to_pillow(self) -> Image.Image:
        """A picture of mode L, LA, RGB or RGBA; of mode I;16 if it is deep and only gray, since Pillow has no other."""
        if self.colours.dtype == np.uint16 and len(self.colours) == 1 and self.alpha is None:
            return Image.fromarray(self.colours[0])
        values = self.channels()
        if values.dtype == np.uint16:
            values = (values / 257).round().astype(np.uint8)
        return to_picture(values)

    def to_png(self) -> bytes:
        """A PNG file of exactly these values."""
        from imagecodecs import png_encode

        values = self.channels()
        # A copy, because the strides of one pixel's view are none that the encoder takes; and as many bytes as it may
        # need, because it forgets the byte of each row, which is much of a picture that is one pixel wide.
        most = values.nbytes + values.nbytes // 8 + values.shape[1] * 8 + 4096
        pixels = values[0] if len(values) == 1 else values.transpose(1, 2, 0)
        return bytes(png_encode(pixels.copy(order="C"), out=most))

    def channels(self) -> UInt[np.ndarray, "d h w"]:
        """Colours, and opacity if there is any."""
        return self.colours if self.alpha is None else np.concatenate([self.colours, self.alpha[None]])


def load_formatted(source: Path | bytes) -> FormattedPicture:
    """Decode the first frame, upright; raises `images.UnreadableImage`."""
    data = read_bytes(source)
    picture = open_picture(data)
    with decoding(picture):
        if has_deep_file(picture):
            return _load_deep(picture, data)
        picture.load()
        return from_pillow(picture)


def has_deep_file(picture: Image.Image) -> bool:
    """Whether the file of an opened picture has 16 bits a value, of which Pillow may keep 8."""
    return picture.format in ("PNG", "TIFF") and ";16" in str(getattr(picture, "tile", ""))  # how Pillow would unpack


def from_pillow(picture: Image.Image) -> FormattedPicture:
    """The values of a picture of any of Pillow's modes, upright and in sRGB."""
    picture = as_seen(picture)
    if is_deep(picture):
        return FormattedPicture(deep_levels(picture).round().astype(np.uint16)[None])
    is_gray = picture.mode in GRAY_MODES
    if not may_be_transparent(picture):
        return FormattedPicture(to_pixels(picture.convert("L" if is_gray else "RGB")))
    values = to_pixels(to_rgba(picture))
    return FormattedPicture(values[:1] if is_gray else values[:3], values[3])


def from_array(array: np.ndarray) -> FormattedPicture:
    """The values of an array [h, w] or [h, w, c], of uint8, uint16, or floats in [0, 1], which become 16 bits.

    1 channel is gray, 2 are gray and opacity, 3 colour, 4 colour and opacity. Raises a `UserError` for anything else.
    """
    values = array[..., None] if array.ndim == 2 else array
    if values.ndim != 3 or values.shape[2] not in (1, 2, 3, 4) or 0 in values.shape:
        raise UserError(
            f"an array must be [h, w] or [h, w, c] with 1 to 4 channels, got {list(array.shape)}: "
            "move its channels to the end, and give one picture at a time, or give a tensor [n, c, h, w] in [-1, 1]"
        )
    if np.issubdtype(values.dtype, np.floating):
        if not ((values >= 0) & (values <= 1)).all():  # so written, nan fails too
            raise UserError(
                f"an array of floats must lie in [0, 1], got {values.min():.3g} to {values.max():.3g}: scale it, or "
                "give uint8 in 0 to 255"
            )
        values = (values.astype(np.float64) * 65535).round().astype(np.uint16)
    if values.dtype not in (np.uint8, np.uint16):
        raise UserError(f"an array must be of uint8, uint16 or floats in [0, 1], got {array.dtype}: convert it")
    return _from_channels(values)


def to_array(original: FormattedPicture, like: np.ndarray) -> np.ndarray:
    """The values as an array of the type of `like`, from which they come; [h, w] if it is so and one will do."""
    values = original.channels().transpose(1, 2, 0)
    if np.issubdtype(like.dtype, np.floating):
        values = (values / 65535).astype(like.dtype)
    return np.ascontiguousarray(values[..., 0] if like.ndim == 2 and values.shape[2] == 1 else values)


def _load_deep(picture: Image.Image, data: bytes) -> FormattedPicture:
    if picture.format == "PNG":
        from imagecodecs import png_decode

        values = png_decode(data)
    else:
        from tifffile import TiffFile

        with TiffFile(io.BytesIO(data)) as file:
            page: Any = file.pages[0]
            plain = page.photometric in (_MIN_IS_BLACK, _RGB) and page.axes in ("YX", "YXS")
            plain = plain and page.dtype == np.uint16 and sorted(page.shape[:2]) == sorted(picture.size)
            if not plain:  # inverted, or a plane a channel: rare, and Pillow gives 8 bits of it
                return from_pillow(picture)
            values = page.asarray()
    values = values[..., None] if values.ndim == 2 else values
    check_pixels(*values.shape[:2])
    if values.shape[2] > 4:
        raise ValueError(f"{values.shape[2]} channels")
    mirrored, turns = _TURNS.get(orientation(picture), (False, 0))
    return _from_channels(np.rot90(values[:, ::-1] if mirrored else values, turns).astype(np.uint16, copy=False))


def _from_channels(values: UInt[np.ndarray, "h w d"]) -> FormattedPicture:
    """1 channel is gray, 2 are gray and opacity, 3 colour, 4 colour and opacity."""
    values = np.ascontiguousarray(values.transpose(2, 0, 1))
    return FormattedPicture(values) if len(values) in (1, 3) else FormattedPicture(values[:-1], values[-1])


def _top(values: UInt[np.ndarray, "..."]) -> int:
    return int(np.iinfo(values.dtype).max)


def _gray(colours: UInt[np.ndarray, "c h w"]) -> UInt[np.ndarray, "1 h w"]:
    """ITU-R 601-2 luma in whole numbers, exactly as Pillow computes it for training."""
    if len(colours) == 1:
        return colours
    red, green, blue = colours.astype(np.uint32)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(colours.dtype)[None]


def _colour(colours: UInt[np.ndarray, "c h w"]) -> UInt[np.ndarray, "3 h w"]:
    return np.repeat(colours, 3, axis=0) if len(colours) == 1 else colours

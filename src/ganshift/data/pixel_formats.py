"""Pictures with what translation gives back: gray or colour, transparency, and 8 or more bits a value.

Training needs none of this: there `images.load_picture` brings everything to 8 bits. Pillow has no deep colour, so
that `deep_files` reads what has more than 8 bits, and imagecodecs and tifffile write what is given back.
"""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt
from PIL import Image
from torch import Tensor

from ..errors import UserError
from .deep_files import open_deep
from .images import (
    GRAY_MODES,
    as_seen,
    check_pixels,
    decoding,
    deep_levels,
    is_deep,
    may_be_transparent,
    open_picture,
    read_bytes,
    read_deep,
    to_picture,
    to_pixels,
    to_rgba,
)
from .value_range import ValueRange, eight_bits, opaque_at_top


@final
@dataclass(frozen=True)
class FormattedPicture:
    """The values of one picture as its file holds them."""

    colours: UInt[np.ndarray, "c h w"]
    """One channel of gray or three of colour, as uint8 or uint16."""
    alpha: UInt[np.ndarray, "h w"] | None = None
    """Opacity of the same type, if the picture has any."""
    value_range: ValueRange | None = None
    """What 0 and 65535 stand for, where that is something else."""

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

    def given_back(
        self, images: Float[Tensor, "1 d h w"], keep_mode: bool, value_range: ValueRange | None = None
    ) -> "FormattedPicture":
        """What a network made of this picture, in [-1, 1], with this picture's bits and, if its own, its opacity.

        With `keep_mode`, gray stays gray, and opacity is there if it was before; else both are as the network says.
        `value_range` is that of the result's domain: with it, the result has values of it; without it, what had a range
        becomes 8 bits, since the domain knows no others.
        """
        kind = self.colours.dtype if self.value_range is None else np.dtype(np.uint8)
        kind = kind if value_range is None else np.dtype(np.uint16)
        top = int(np.iinfo(kind).max)
        levels = ((images[0].detach().float().cpu() + 1) * (top / 2)).round().clamp(0, top).numpy()
        values = levels.astype(kind)
        own = None if self.alpha is None else (self.alpha * (top / _top(self.alpha))).round().astype(kind)
        colours, alpha = values[:3], values[3] if len(values) == 4 else own
        if keep_mode and self.alpha is None and alpha is not None:
            seen = alpha / top
            colours, alpha = (colours * seen + top * (1 - seen)).round().astype(kind), None
        if keep_mode:
            colours = _gray(colours) if len(self.colours) == 1 else _colour(colours)
        return FormattedPicture(colours, alpha, value_range)

    @property
    def is_nearly_black(self) -> bool:
        """Whether 16 bits were taken for all that they can hold, and hold values of 12 bits or less."""
        return bool(self.value_range is None and self.colours.dtype == np.uint16 and self.colours.max() < 2**12)

    def in_eight_bits(self) -> "FormattedPicture":
        """The same for looking at: no range, and 8 bits a value."""
        if self.colours.dtype == np.uint8:
            return self
        return FormattedPicture(eight_bits(self.colours), None if self.alpha is None else eight_bits(self.alpha))

    def to_pillow(self) -> Image.Image:
        """A picture of mode L, LA, RGB or RGBA; where it is deep and only gray, of mode I;16, I or F, with its values.

        Pillow has no other deep ones: those become 8 bits.
        """
        if self.colours.dtype == np.uint16 and len(self.colours) == 1 and self.alpha is None:
            (values,) = self.channels()
            kinds = {"u": np.uint16 if values.dtype == np.uint16 else np.float32, "i": np.int32, "f": np.float32}
            return Image.fromarray(values.astype(kinds[values.dtype.kind]))
        return to_picture(self.in_eight_bits().channels())

    @property
    def ending(self) -> str:
        """Of the name of a file that holds all of it."""
        return ending_of(self.value_range)

    def to_png(self) -> bytes:
        """A PNG file of exactly these values; of those that PNG cannot hold (`ending`), their levels in 16 bits."""
        from imagecodecs import png_encode

        values = replace(self, value_range=None).channels() if self.ending != ".png" else self.channels()
        # A copy, because the strides of one pixel's view are none that the encoder takes; and as many bytes as it may
        # need, because it forgets the byte of each row, which is much of a picture that is one pixel wide.
        most = values.nbytes + values.nbytes // 8 + values.shape[1] * 8 + 4096
        pixels = values[0] if len(values) == 1 else values.transpose(1, 2, 0)
        return bytes(png_encode(pixels.copy(order="C"), out=most))

    def to_tiff(self) -> bytes:
        """A TIFF file of exactly these values."""
        from tifffile import imwrite

        values, buffer = self.channels(), io.BytesIO()
        pixels = values[0] if len(values) == 1 else values.transpose(1, 2, 0)
        kind = "rgb" if len(self.colours) == 3 else "minisblack"
        extra: dict[str, Any] = {} if self.alpha is None else {"extrasamples": ["unassalpha"], "planarconfig": "contig"}
        imwrite(buffer, pixels, photometric=kind, compression="zlib", metadata=None, **extra)
        return buffer.getvalue()

    def channels(self) -> Shaped[np.ndarray, "d h w"]:
        """Colours, and opacity if there is any, in the units and of the type of the range if there is one."""
        colours, alpha = self.colours, self.alpha
        if self.value_range is not None:
            colours = self.value_range.values(colours)
            alpha = alpha if alpha is None else opaque_at_top(colours.dtype).values(alpha)
        return colours if alpha is None else np.concatenate([colours, alpha[None]])


def ending_of(value_range: ValueRange | None) -> str:
    """Of the name of a file that holds all values of a range; of 8 and 16 bits without one."""
    return ".png" if value_range is None or value_range.dtype == "uint16" else ".tif"


def load_formatted(source: Path | bytes, value_range: ValueRange | None = None, page: int = 0) -> FormattedPicture:
    """Decode the first frame, or a page of a TIFF, upright and in sRGB; raises `images.UnreadableImage`.

    Of files with more than 8 bits a value, `value_range` says which values are black and white; without it these are 0
    and 65535, or 0 and 1 of floats of which none is above 1.
    """
    data = read_bytes(source)
    if deep := open_deep(data, page):
        return _deep(*read_deep(deep), value_range)
    picture = open_picture(data)
    with decoding(picture):
        if page:
            picture.seek(page)
            check_pixels(*picture.size)
        picture.load()
        return from_pillow(picture)


def from_pillow(picture: Image.Image, value_range: ValueRange | None = None) -> FormattedPicture:
    """The values of a picture of any of Pillow's modes, upright and in sRGB; `value_range` is that of deep ones."""
    picture = as_seen(picture)
    if is_deep(picture):
        return _deep(np.asarray(picture)[..., None], None, value_range)
    is_gray = picture.mode in GRAY_MODES
    if not may_be_transparent(picture):
        return FormattedPicture(to_pixels(picture.convert("L" if is_gray else "RGB")))
    values = to_pixels(to_rgba(picture))
    return FormattedPicture(values[:1] if is_gray else values[:3], values[3])


def from_array(array: np.ndarray, value_range: ValueRange | None = None) -> FormattedPicture:
    """The values of an array [h, w] or [h, w, c]: uint8, uint16, or floats in [0, 1], which become 16 bits.

    With a `value_range`, what is not uint8 holds values of it, of any type of numbers. 1 channel is gray, 2 are gray
    and opacity, 3 colour, 4 colour and opacity. Raises a `UserError` for anything else.
    """
    values = array[..., None] if array.ndim == 2 else array
    if values.ndim != 3 or values.shape[2] not in (1, 2, 3, 4) or 0 in values.shape:
        raise UserError(
            f"an array must be [h, w] or [h, w, c] with 1 to 4 channels, got {list(array.shape)}: "
            "move its channels to the end, and give one picture at a time, or give a tensor [n, c, h, w] in [-1, 1]"
        )
    if value_range is not None and values.dtype != np.uint8 and values.dtype.kind in "iuf":
        channels = 1 if values.shape[2] < 3 else 3
        alpha = opaque_at_top(values.dtype).levels(values[..., -1]) if values.shape[2] > channels else None
        return _deep(values[..., :channels], alpha, value_range)
    if np.issubdtype(values.dtype, np.floating):
        if not ((values >= 0) & (values <= 1)).all():  # so written, nan fails too
            raise UserError(
                f"an array of floats must lie in [0, 1], got {values.min():.3g} to {values.max():.3g}: scale it, or "
                "give uint8 in 0 to 255"
            )
        values = (values.astype(np.float64) * 65535).round().astype(np.uint16)
    if values.dtype not in (np.uint8, np.uint16):
        raise UserError(f"an array must be of uint8, uint16 or floats in [0, 1], got {array.dtype}: convert it")
    values = np.ascontiguousarray(values.transpose(2, 0, 1))
    return FormattedPicture(values) if len(values) in (1, 3) else FormattedPicture(values[:-1], values[-1])


def to_array(original: FormattedPicture, like: np.ndarray) -> np.ndarray:
    """The values as an array of the type of `like`, from which they come; [h, w] if it is so and one will do.

    What has a range has the type of its range.
    """
    values = original.channels().transpose(1, 2, 0)
    if original.value_range is None and np.issubdtype(like.dtype, np.floating):
        values = (values / _top(original.colours)).astype(like.dtype)
    return np.ascontiguousarray(values[..., 0] if like.ndim == 2 and values.shape[2] == 1 else values)


def _deep(
    colours: Shaped[np.ndarray, "h w c"], alpha: UInt[np.ndarray, "h w"] | None, value_range: ValueRange | None
) -> FormattedPicture:
    levels = deep_levels(colours).round().astype(np.uint16) if value_range is None else value_range.levels(colours)
    return FormattedPicture(np.ascontiguousarray(levels.transpose(2, 0, 1)), alpha, value_range)


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

"""Files that the commands write: generated pictures, sheets, translations of whole folders."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..data.images import UnreadableImage, png_of, with_channels
from ..data.pixel_formats import FormattedPicture
from ..errors import UserError
from ..files import write_output
from ..inference.generator import Rows
from ..training.log import ProgressLine

STILL_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
"""Endings of names that ask for a format. Only PNG holds all that a picture can be."""


def encode_picture(picture: FormattedPicture, ending: str) -> bytes:
    """The file of a picture in the format of this ending; `UnreadableImage` if that would lose bits or opacity.

    JPEG alone, by its nature, changes values.
    """
    kind = Image.registered_extensions()[ending]
    if kind == "PNG" and picture.ending == ".png":
        return picture.to_png()
    is_deep = picture.colours.dtype == np.uint16
    if kind == "TIFF" and is_deep:
        return picture.to_tiff()
    if is_deep or (picture.alpha is not None and kind in ("JPEG", "BMP")):  # a BMP's is not read back
        what = "opacity" if not is_deep else "16 bits a value" if picture.ending == ".png" else "units"
        raise UnreadableImage(f"{kind} would lose its {what}: name a file that ends in {picture.ending}")
    buffer = io.BytesIO()
    picture.to_pillow().save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {"lossless": True}))
    return buffer.getvalue()


def write_pictures(pictures: Sequence[Image.Image], out: Path, columns: int | None = None) -> list[Path]:
    """Write one sheet if `out` ends in .png, else one numbered file a picture into the folder `out`."""
    if _is_one_picture(out):
        write_output(out, png_of(picture_grid(pictures, columns)))
        return [out]
    if out.is_file():
        raise UserError(f"--out {out} is a file: name a folder, or a name that ends in .png")
    if out.suffix:
        raise UserError(f"--out {out} must end in .png for one sheet, or be a folder")
    paths = [out / f"{index:05d}.png" for index in range(len(pictures))]
    with ProgressLine("write", len(paths)) as progress:
        for done, (picture, path) in enumerate(zip(pictures, paths, strict=True), start=1):
            write_output(path, png_of(picture))
            progress.update(done)
    return paths


def write_rows(rows: Rows, out: Path, *, strips: bool = False) -> list[Path]:
    """Write one sheet of these rows if `out` ends in .png, else one numbered file a picture into the folder `out`.

    In `strips`, the folder gets one file a row.
    """
    if strips and not _is_one_picture(out):
        return write_pictures([picture_grid(row, columns=len(row)) for row in rows], out)
    return write_pictures([picture for row in rows for picture in row], out, columns=len(rows[0]))


def picture_grid(pictures: Sequence[Image.Image], columns: int | None = None, margin: int = 2) -> Image.Image:
    """Pictures of one size side by side on white; without `columns` in about as many rows as columns."""
    width, height = pictures[0].size
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    page = Image.new("RGB", (columns * (width + margin) + margin, rows * (height + margin) + margin), "white")
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        place = (column * (width + margin) + margin, row * (height + margin) + margin)
        page.paste(with_channels(picture, 3), place)
    return page


def _is_one_picture(out: Path) -> bool:
    return out.suffix.lower() == ".png"

"""Small data sets on disk for the tests of this folder."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def png(value: int, *, mode: str = "RGB", size: int = 8) -> bytes:
    """A picture of one gray level with a lighter left column, so that mirroring shows."""
    picture = Image.new(mode, (size, size), (value,) * 3 + (9,) * (mode == "RGBA") if mode != "L" else value)
    picture.paste(Image.new(mode, (1, size), "white"), (0, 0))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def write(place: Path, files: dict[str, bytes]) -> Path:
    """Put files into a folder, or into a zip if the name ends so."""
    if place.suffix == ".zip":
        with zipfile.ZipFile(place, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        for name, data in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
    return place


def many(num: int, prefix: str = "", mode: str = "RGB") -> dict[str, bytes]:
    """Pictures whose gray level is their number."""
    return {f"{prefix}{index:03d}.png": png(index, mode=mode) for index in range(num)}


def levels(images) -> list[int]:
    """The gray level of each image."""
    return np.asarray(images)[:, 0, 4, 4].tolist()

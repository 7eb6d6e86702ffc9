"""Requests to pictures: what the worker does. Nothing of a request is kept or written to disk."""

import base64
import io
import json
import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from PIL import Image

from ...data.deep_files import open_deep
from ...data.images import bombs_are_errors, open_picture
from ...errors import UserError
from ...inference.generator import ImageGenerator, Rows
from ...inference.picture_files import picture_grid
from ...inference.translator import ImageTranslator
from ...tensors import height_and_width
from .limits import Limits
from .refusals import TooLarge
from .requests import Drawing, Result, Translation

ZIP_DATE = (1980, 1, 1, 0, 0, 0)
"""The same request gives the same bytes."""


@final
@dataclass(frozen=True)
class Answer:
    """A file to send."""

    content: bytes
    media_type: str
    name: str


def draw(model: ImageGenerator, drawing: Drawing, limits: Limits) -> Answer:
    """Pictures of a generator; a `UserError` says what of the request cannot be."""
    rows, columns = _rows(model, drawing, limits)
    pictures = [picture for row in rows for picture in row]
    if drawing.result == "png":
        return Answer(_png(picture_grid(pictures, columns)), "image/png", f"{drawing.kind}.png")
    named = {f"{number:05d}.png": _png(picture) for number, picture in enumerate(pictures)}
    return _several(named, drawing.result, drawing.kind, {"columns": columns})


def _rows(model: ImageGenerator, drawing: Drawing, limits: Limits) -> tuple[Rows, int | None]:
    """Pictures in rows, and in how many columns a sheet of them is."""
    side, seed, truncation, label = model.size, drawing.seed, drawing.truncation, drawing.label
    if drawing.kind != "images" and drawing.columns is not None:
        raise UserError(f"columns are for images: the kind {drawing.kind} has its own, so leave them out")
    if drawing.kind == "class-grid":
        if label is not None:
            raise UserError("a class grid draws every class: leave out the label, or draw images of it")
        _check_number(drawing.count * max(len(model.classes), 1), side, limits)
        return model.class_grid(drawing.count, seed, truncation=truncation), drawing.count
    if drawing.kind == "interpolation":
        _check_number(drawing.count * drawing.steps, side, limits)
        return model.interpolate(drawing.steps, drawing.count, label, seed, truncation=truncation), drawing.steps
    places = drawing.count
    if drawing.result == "png" and drawing.columns is not None:  # empty ones in the last row are drawn, too
        places = math.ceil(drawing.count / drawing.columns) * drawing.columns
    _check_number(places, side, limits)
    return [model.sample(drawing.count, label, seed, truncation=truncation)], drawing.columns


def translate(model: ImageTranslator, data: bytes, how: Translation, limits: Limits) -> Answer:
    """The translation of a picture's file, with the file's mode, opacity and bits, and the way back if asked for.

    Raises `UnreadableImage` for what is no picture, and a `UserError` for a larger one than the limits allow. At the
    size of training, that is what they hold for: photographs of any size that can be read are scaled to it.
    """
    with bombs_are_errors():
        if how.training_size:
            height, width = height_and_width(model.size)
            _check_size("the size of training", width, height, limits, "translate the picture at its own size")
        else:
            way_out = "send a smaller one, or have it scaled to the size of training (training_size)"
            picture = open_deep(data) or open_picture(data)
            _check_size("the picture", picture.width, picture.height, limits, way_out)
        original = model.as_trained(data, how.to) if how.training_size else model.load(data, how.to)
    start, there, _ = names = model.folders(how.to)
    distance: float | None
    if how.roundtrip:
        made, distance = model.round_trip(original, how.to)
        results = dict(zip(names, made, strict=True))
    else:
        results, distance = {start: original, there: model.translate_formatted(original, how.to)}, None
    if how.result == "png":
        name, last = list(results.items())[-1]
        return Answer(last.to_png(), "image/png", f"{name}.png")
    if how.result == "json":
        del results[start]  # whoever asked has it, and each picture is a third longer in base64
    named = {f"{name}.png": result.to_png() for name, result in results.items()}
    return _several(named, how.result, there, {"direction": model.direction(how.to), "distance": distance})


def _check_number(number: int, side: int, limits: Limits) -> None:
    if number * side**2 > limits.max_pixels:
        raise TooLarge(
            f"{number:,} pictures of {side} x {side} pixels are more than the {limits.max_pixels:,} pixels that one "
            "request may draw here: ask for fewer"
        )


def _check_size(what: str, width: int, height: int, limits: Limits, way_out: str) -> None:
    if width * height > limits.max_pixels:
        raise TooLarge(
            f"{what} has {width} x {height} pixels, which is more than the {limits.max_pixels:,} that are taken here: "
            f"{way_out}"
        )


def _several(
    pictures: dict[str, bytes], result: Result, name: str, facts: dict[str, float | int | str | None]
) -> Answer:
    if result == "json":
        coded = [{"name": each, "png": base64.b64encode(png).decode()} for each, png in pictures.items()]
        return Answer(json.dumps({"pictures": coded, **facts}).encode(), "application/json", f"{name}.json")
    return Answer(_written(lambda buffer: _zip(pictures, buffer)), "application/zip", f"{name}.zip")


def _zip(pictures: dict[str, bytes], buffer: io.BytesIO) -> None:
    with zipfile.ZipFile(buffer, "w") as archive:  # stored: PNG is packed already
        for name, png in pictures.items():
            archive.writestr(zipfile.ZipInfo(name, ZIP_DATE), png)


def _png(picture: Image.Image) -> bytes:
    return _written(lambda buffer: picture.save(buffer, "PNG"))


def _written(write: Callable[[io.BytesIO], None]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()

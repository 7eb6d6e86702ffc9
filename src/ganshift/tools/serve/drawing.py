"""Requests to pictures: what the worker does for the page and the HTTP API alike."""

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from ...data.deep_files import open_deep
from ...data.images import bombs_are_errors, load_picture, open_picture
from ...data.pixel_formats import FormattedPicture, from_pillow
from ...errors import UserError
from ...inference.generator import ImageGenerator, Rows
from ...inference.translator import ImageTranslator, other_domain
from ...tensors import height_and_width
from .limits import Limits
from .refusals import TooLarge

MAX_NUMBER = 4096
"""Pictures or strips; the limit of pixels is usually reached before."""


class Drawing(BaseModel):
    """Pictures from a generator, as `ganshift generate` draws them. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    model: str | None = None
    """Name of a generator; may be left out if there is one only."""
    kind: Literal["images", "class-grid", "interpolation"] = "images"
    """class-grid: a row a class from the same latents. interpolation: strips that change step by step."""
    count: Annotated[int, Field(ge=1, le=MAX_NUMBER)] = 16
    """Images; images a class in a class grid; strips of an interpolation."""
    label: str | StrictInt | None = None
    """Class by name or number; all in turn if left out."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    truncation: Annotated[float, Field(gt=0)] | None = None
    """In standard deviations; nothing is truncated if left out."""
    steps: Annotated[int, Field(ge=2, le=MAX_NUMBER)] = 8
    """Pictures of a strip."""
    result: Literal["png", "zip"] = "png"
    """png: one sheet. zip: each picture a file."""


def draw(model: ImageGenerator, drawing: Drawing, limits: Limits) -> Rows:
    """Pictures of a generator in rows; of images there is one row. A `UserError` says what of the request cannot be."""
    seed, truncation, label = drawing.seed, drawing.truncation, drawing.label
    if drawing.kind == "class-grid":
        if label is not None:
            raise UserError("a class grid draws every class: leave out the label, or draw images of it")
        _check_number(drawing.count * max(len(model.classes), 1), model.size, limits)
        return model.class_grid(drawing.count, seed, truncation=truncation)
    if drawing.kind == "interpolation":
        _check_number(drawing.count * drawing.steps, model.size, limits)
        return model.interpolate(drawing.steps, drawing.count, label, seed, truncation=truncation)
    _check_number(drawing.count, model.size, limits)
    return [model.sample(drawing.count, label, seed, truncation=truncation)]


def translate(
    model: ImageTranslator,
    data: bytes,
    to: str,
    limits: Limits,
    *,
    roundtrip: bool = False,
    training_size: bool = False,
    longest: int | None = None,
) -> tuple[list[FormattedPicture], float | None]:
    """A picture, its translation and the way back if asked for, with the mean distance of picture and way back.

    The picture keeps its mode, its opacity and its bits. At the size of training, photographs of any size that can be
    read are scaled to it. With `longest`, larger pictures are shrunk to that side and to the limit of pixels.
    Raises `UnreadableImage` for what is no picture, and a `UserError` for a larger one than the limits allow.
    """
    original = _load(model, data, to, limits, training_size, longest)
    if roundtrip:
        return model.round_trip(original, to)
    return [original, model.translate_formatted(original, to)], None


def _load(
    model: ImageTranslator, data: bytes, to: str, limits: Limits, training_size: bool, longest: int | None
) -> FormattedPicture:
    with bombs_are_errors():
        if training_size:
            height, width = height_and_width(model.size)
            _check_size("the size of training", width, height, limits, "translate the picture at its own size")
            return model.as_trained(data, to)
        picture = open_deep(data) or open_picture(data)
        if longest is None:
            way_out = "send a smaller one, or have it scaled to the size of training (training_size)"
            _check_size("the picture", picture.width, picture.height, limits, way_out)
            return model.load(data, to)
        if _shrinking(picture.width, picture.height, longest, limits) == 1:
            return model.load(data, to)
        large = load_picture(data, longest, model.value_range(other_domain(model.domain(to))))
        scale = _shrinking(large.width, large.height, longest, limits)
        width, height = (max(round(side * scale), 1) for side in large.size)
        return from_pillow(large.resize((width, height)))


def _shrinking(width: int, height: int, longest: int, limits: Limits) -> float:
    """What to multiply both sides with, at most 1."""
    return min(1.0, longest / max(width, height), math.sqrt(limits.max_pixels / (width * height)))


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

"""What can be asked of the HTTP API, checked field by field before anything is computed."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt

Result = Literal["png", "zip", "json"]
"""png: one picture. zip: each picture a file. json: each picture in base64, with what was measured."""
MAX_NUMBER = 4096
"""Pictures, strips or columns; the limit of pixels is usually reached before."""


class Checked(BaseModel):
    """Unknown fields are refused: a typing error must not pass for a default."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Drawing(Checked):
    """Pictures from a generator, as `ganshift generate` draws them."""

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
    columns: Annotated[int, Field(ge=1, le=MAX_NUMBER)] | None = None
    """Of a sheet of images; about as many as rows if left out. The other kinds have their own."""
    result: Result = "png"


class Translation(Checked):
    """How to translate the picture in the body of the request, as `ganshift translate` does."""

    model: str | None = None
    """Name of a translator; may be left out if there is one only."""
    to: str = "b"
    """Domain: a, b, or what the model calls it."""
    roundtrip: bool = False
    """Also the way back, which is then what `png` gives."""
    training_size: bool = False
    """Crop and scale the picture as in training first."""
    result: Result = "png"

"""The HTTP API: models, drawing, translation. Errors are as FastAPI's: a sentence, or the wrong fields, as "detail"."""

import io
import zipfile
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import FastAPI, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from ... import __version__
from ...data.images import png_of
from ...errors import printable
from ...inference.generator import ImageGenerator
from ...inference.picture_files import picture_grid
from ...inference.translator import ImageTranslator
from .drawing import Drawing, draw, translate
from .limits import Limits
from .refusals import STATUS, TooLarge
from .shelf import Shelf
from .worker import Worker

ZIP_DATE = (1980, 1, 1, 0, 0, 0)
"""The same request gives the same bytes."""
PICTURES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {}, "application/zip": {}}, "description": "The pictures."}
}


def create_api(shelf: Shelf, limits: Limits, worker: Worker) -> FastAPI:
    """The application. Who may ask, and how much may be sent, is said by what `guard.protect` puts before it."""
    # FastAPI's own pages of documentation would load scripts from elsewhere.
    api = FastAPI(title="ganshift", version=__version__, docs_url=None, redoc_url=None)
    for kind in STATUS:
        api.add_exception_handler(kind, _refuse)
    api.add_exception_handler(RequestValidationError, _refuse_fields)

    @api.head("/healthz", include_in_schema=False)
    @api.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the server answers."""
        return {"status": "ok"}

    @api.get("/api/models")
    async def models() -> dict[str, list[dict[str, Any]]]:
        """The models that are served, with their cards in Markdown."""
        return {"models": [{"name": served.name, **_facts(served.model), "card": served.card} for served in shelf]}

    @api.post("/api/generate", responses=PICTURES, response_class=Response)
    async def generate(drawing: Drawing, request: Request) -> Response:
        """Draw pictures."""
        model = shelf.find(ImageGenerator, drawing.model)

        def work() -> Response:
            rows = draw(model, drawing, limits)
            pictures = [picture for row in rows for picture in row]
            if drawing.result == "zip":
                return _zip({f"{at:05d}.png": png_of(each) for at, each in enumerate(pictures)}, drawing.kind)
            sheet = picture_grid(pictures, len(rows[0]) if len(rows) > 1 else None)
            return _file(png_of(sheet), "image/png", f"{drawing.kind}.png")

        return await worker.run(work, request.is_disconnected)

    @api.post("/api/translate", responses=PICTURES, response_class=Response)
    async def translate_picture(
        file: UploadFile,
        request: Request,
        model: Annotated[str | None, Query(description="Name of a translator, if there are several")] = None,
        to: Annotated[str, Query(description="Domain: a, b, or what the model calls it")] = "b",
        roundtrip: Annotated[bool, Query(description="Also the way back, which is then what png gives")] = False,
        training_size: Annotated[bool, Query(description="Crop and scale as in training first")] = False,
        result: Annotated[Literal["png", "zip"], Query(description="zip: the picture and all made of it")] = "png",
    ) -> Response:
        """Translate a picture, of whatever size."""
        found = shelf.find(ImageTranslator, model)
        if (file.size or 0) > limits.max_upload_bytes:
            raise TooLarge(f"more than the {limits.max_upload_bytes:,} bytes that may be sent here")
        data, names = await file.read(), found.folders(to)

        def work() -> Response:
            made, _ = translate(found, data, to, limits, roundtrip=roundtrip, training_size=training_size)
            named = {f"{name}.png": each.to_png() for name, each in zip(names, made, strict=False)}
            if result == "zip":
                return _zip(named, names[1])
            name, png = list(named.items())[-1]
            return _file(png, "image/png", name)

        return await worker.run(work, request.is_disconnected)

    return api


def _facts(model: ImageGenerator | ImageTranslator) -> dict[str, Any]:
    if isinstance(model, ImageGenerator):
        return {"kind": "generator", "size": model.size, "classes": model.classes}
    names = dict(model.names)
    return {"kind": "translator", "size": model.size, "channels": model.channels, "to": model.ways, "names": names}


def _zip(pictures: Mapping[str, bytes], name: str) -> Response:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # stored: PNG is packed already
        for each, png in pictures.items():
            archive.writestr(zipfile.ZipInfo(each, ZIP_DATE), png)
    return _file(buffer.getvalue(), "application/zip", f"{name}.zip")


def _file(content: bytes, media_type: str, name: str) -> Response:
    coded = quote(name)  # headers have Latin letters alone
    named = f'filename="{coded}"' if coded == name else f"filename*=UTF-8''{coded}"
    headers = {"Content-Disposition": f"attachment; {named}", "Cache-Control": "no-store"}
    return Response(content, media_type=media_type, headers=headers)


async def _refuse(request: Request, error: Exception) -> Response:
    status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
    return JSONResponse({"detail": printable(str(error))}, status)


async def _refuse_fields(request: Request, error: Exception) -> Response:
    """As FastAPI does, but without saying again what was sent, which may be long, and which JSON may not hold."""
    assert isinstance(error, RequestValidationError)
    wrong = [{key: each[key] for key in ("loc", "msg", "type")} for each in error.errors()]
    return JSONResponse({"detail": wrong}, 422)

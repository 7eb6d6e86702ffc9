"""The HTTP API: models, drawing, translation; every error is a sentence under "error"."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from ... import __version__
from ...errors import UserError, first_line, printable
from ...inference.generator import ImageGenerator
from ...inference.translator import ImageTranslator
from .drawing import Answer, draw, translate
from .limits import Limits
from .refusals import STATUS
from .requests import Drawing, Translation
from .shelf import Served, Shelf
from .worker import Worker

QUOTED = 80
"""Characters of a wrong value that are said again."""
PNG_OR_OTHER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {}, "application/zip": {}, "application/json": {}}, "description": "The pictures."}
}


def create_api(shelf: Shelf, limits: Limits, worker: Worker) -> FastAPI:
    """The application. Sizes, rates and passwords are the guard's (`guard.Guard`), which stands before it."""
    # Its own pages of documentation would load scripts from elsewhere.
    api = FastAPI(title="ganshift", version=__version__, docs_url=None, redoc_url=None)
    for kind in STATUS:
        api.add_exception_handler(kind, _refuse)
    api.add_exception_handler(RequestValidationError, _refuse_fields)
    api.add_exception_handler(HTTPException, _refuse_address)
    api.add_exception_handler(Exception, _fail)

    async def answer(request: Request, work: Callable[[], Answer]) -> Response:
        found = await worker.run(work, request.is_disconnected)
        coded = quote(found.name)  # headers have Latin letters alone
        named = f'filename="{coded}"' if coded == found.name else f"filename*=UTF-8''{coded}"
        headers = {"Content-Disposition": f"attachment; {named}", "Cache-Control": "no-store"}
        return Response(found.content, media_type=found.media_type, headers=headers)

    @api.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the server answers."""
        return {"status": "ok"}

    @api.get("/api/models")
    async def models() -> dict[str, list[dict[str, Any]]]:
        """The models that are served, with their cards."""
        return {"models": [_description(served) for served in shelf]}

    @api.post("/api/generate", responses=PNG_OR_OTHER, response_class=Response)
    async def post_generate(drawing: Drawing, request: Request) -> Response:
        """Draw pictures."""
        model = shelf.find(ImageGenerator, drawing.model)
        return await answer(request, partial(draw, model, drawing, limits))

    @api.post("/api/translate", responses=PNG_OR_OTHER, response_class=Response)
    async def post_translate(how: Annotated[Translation, Query()], request: Request) -> Response:
        """Translate the picture in the body, or in the one file of a form."""
        model = shelf.find(ImageTranslator, how.model)
        data = await _file_of_form(request) if _is_form(request) else await request.body()
        return await answer(request, partial(translate, model, data, how, limits))

    return api


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "multipart/form-data"


async def _file_of_form(request: Request) -> bytes:
    """The file that a form uploads, as `curl -F file=@photo.png` does; nothing is written to disk."""
    parser = MultiPartParser(request.headers, request.stream(), max_files=1, max_fields=0)
    parser.spool_max_size = 2**63 - 1  # the guard has bounded the body
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise UserError(f"the form cannot be read ({first_line(error)}): it must hold one file alone") from None
    try:
        for value in form.values():
            if isinstance(value, UploadFile):
                return await value.read()
    finally:
        await form.close()
    raise UserError("the form holds no file: send one, or the picture itself as the body")


def _description(served: Served) -> dict[str, Any]:
    model = served.model
    if isinstance(model, ImageGenerator):
        facts: dict[str, Any] = {"kind": "generator", "size": model.size, "classes": list(model.classes)}
    else:
        facts = {"kind": "translator", "size": model.size, "channels": model.channels, "to": list(model.ways)}
        facts["names"] = dict(model.names)
    return {"name": served.name, **facts, "card": served.card}


def error_response(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """What every refusal looks like."""
    return JSONResponse({"error": sentence}, status, {"Cache-Control": "no-store", **(headers or {})})


async def _refuse(request: Request, error: Exception) -> Response:
    status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
    return error_response(status, printable(str(error)))


async def _refuse_fields(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return error_response(422, "; ".join(map(_sentence, error.errors())))


def _sentence(error: dict[str, Any]) -> str:
    """What is wrong with one field, in pydantic's words."""
    name = ".".join(map(str, error["loc"][1:]))
    if error["type"] == "json_invalid":
        return "the body is no JSON"
    if not name:
        return "the body must be a JSON object, sent with Content-Type: application/json"
    if error["type"] == "extra_forbidden":
        return f"there is no field {printable(name)[:QUOTED]!r}"
    given = repr(error.get("input"))
    return printable(f"{name[:QUOTED]}: {error['msg'][:1].lower()}{error['msg'][1:]}, got {given[:QUOTED]}")


async def _refuse_address(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentences = {404: "there is nothing at this address", 400: "the request cannot be read"}
    return error_response(error.status_code, sentences.get(error.status_code, "this cannot be done here"))


async def _fail(request: Request, error: Exception) -> Response:
    """A defect of ours: what happened is written on the server's terminal and not sent."""
    return error_response(500, "the server failed on this request; its terminal says why")

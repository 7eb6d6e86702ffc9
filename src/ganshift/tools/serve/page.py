"""The page: Gradio's controls, whose events ask our own HTTP API from the browser (page.js).

So there is one way to every model, with one set of limits, and Gradio's queue, uploads and files are not used at all.
"""

import html
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import gradio as gr
from fastapi import FastAPI, Request, Response
from starlette.middleware.base import RequestResponseEndpoint

from ...inference.generator import ImageGenerator
from ...inference.translator import ImageTranslator
from .limits import Limits
from .shelf import Served, Shelf

LONG_TABLE = 10
"""Rows of a table that is folded away if it has more."""
IN_TURN = ("all in turn", "")
"""The choice of no class; a class may have any name but none."""
FONTS = ["system-ui", "sans-serif"]
"""Of the visitor's system: Gradio's own choice would be fetched from elsewhere."""
ROOT = re.compile(rb'("root":|const root = )"[^"]*"')
"""Where Gradio's page says at which address it lies."""
HERE = rb'\1new URL(".", location.href).href.slice(0, -1)'
"""Instead, wherever a visitor's browser found it: only a proxy knows at which address that is."""
PICTURE_TYPES = "image/png,image/jpeg,image/webp,image/bmp,image/tiff,image/gif"


def mount_page(api: FastAPI, shelf: Shelf, limits: Limits, root_path: str = "") -> FastAPI:
    """Put the page at / of the application, which a proxy serves at `root_path`."""
    with gr.Blocks(title="ganshift", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML('<h1 class="ganshift-title">ganshift</h1>')
        with gr.Tabs():
            if shelf.names(ImageGenerator):
                with gr.Tab("Generate"):
                    _generate_tab(shelf)
                with gr.Tab("Interpolate"):
                    _interpolate_tab(shelf)
            if shelf.names(ImageTranslator):
                with gr.Tab("Translate"):
                    _translate_tab(shelf, limits)
            with gr.Tab("Models"):
                gr.HTML("".join(map(_card, shelf)))
    script = _text("page.js").encode()

    @api.get("/page.js", include_in_schema=False)
    async def page_script() -> Response:
        return Response(script, media_type="text/javascript")

    @api.middleware("http")
    async def at_any_address(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        if request.scope["path"].removeprefix(request.scope.get("root_path", "")) != "/":
            return response
        content = b"".join([bytes(chunk) async for chunk in response.body_iterator])  # type: ignore[attr-defined]
        return Response(ROOT.sub(HERE, content), response.status_code, media_type="text/html")

    theme = gr.themes.Base(primary_hue="teal", font=FONTS, font_mono=["ui-monospace", "monospace"]).set(
        # Gradio's own are too pale to be read by all: WCAG 2.2 asks for a contrast of 4.5 to 1.
        color_accent="*primary_700",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        checkbox_border_color_dark="*neutral_400",
        block_label_text_color="*neutral_700",
        block_title_text_color="*neutral_700",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
    )
    return gr.mount_gradio_app(
        api,
        blocks,
        path="/",
        root_path=root_path,
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme,
        css=_text("page.css"),
        head='<script src="page.js"></script>',
    )


def _generate_tab(shelf: Shelf) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            model, label, seed, truncation = _shared_controls(shelf)
            kind = gr.Radio(["images", "class grid"], value="images", label="Draw", visible=label.visible)
            in_grid = " (in a class grid: of each class)" if label.visible else ""
            count = gr.Slider(1, 64, value=16, step=1, label=f"Images{in_grid}")
            columns = gr.Slider(0, 16, value=0, step=1, label="Columns of the sheet (0: about as many as rows)")
            button = gr.Button("Generate", variant="primary")
        with gr.Column(scale=3, min_width=280):
            gr.HTML(_text("generated.html"))
    button.click(None, [model, kind, label, seed, truncation, count, columns], None, js=_call("generate"))


def _interpolate_tab(shelf: Shelf) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            model, label, seed, truncation = _shared_controls(shelf)
            steps = gr.Slider(2, 64, value=16, step=1, label="Steps")
            button = gr.Button("Interpolate", variant="primary")
        with gr.Column(scale=3, min_width=280):
            way = gr.Slider(0, 100, value=0, step=1, label="Way from the first picture to the second (%)")
            gr.HTML(_text("interpolated.html"))
    button.click(None, [model, label, seed, truncation, steps, way], None, js=_call("interpolate"))
    way.change(None, [way], None, js=_call("go"))


def _shared_controls(shelf: Shelf) -> tuple[Any, Any, Any, Any]:
    """Model, class, seed and truncation; the classes follow the model."""
    names = shelf.names(ImageGenerator)
    classes = {name: [IN_TURN, *((each, each) for each in shelf.find(ImageGenerator, name).classes)] for name in names}
    model = gr.Dropdown(names, value=names[0], label="Model", visible=len(names) > 1)
    label = gr.Dropdown(
        classes[names[0]], value="", label="Class", visible=any(len(each) > 1 for each in classes.values())
    )
    with gr.Row():
        seed = gr.Number(0, precision=0, minimum=0, maximum=2**53 - 1, label="Seed", min_width=120)
        other = gr.Button("Other seed", size="md", min_width=120, elem_classes="ganshift-other")
    truncation = gr.Slider(0, 3, value=0, step=0.1, label="Truncation (0: none; smaller is more typical)")
    update = f"(name) => ({{__type__: 'update', value: '', choices: {json.dumps(classes)}[name]}})"
    model.change(None, [model], [label], js=update)
    other.click(None, None, [seed], js="() => Math.floor(Math.random() * 2 ** 31)")
    return model, label, seed, truncation


def _translate_tab(shelf: Shelf, limits: Limits) -> None:
    names = shelf.names(ImageTranslator)
    allowed = f"up to {limits.max_upload_mb:g} MB and {limits.max_pixels:,} pixels"
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            model = gr.Dropdown(names, value=names[0], label="Model", visible=len(names) > 1)
            gr.HTML(_text("upload.html").replace("TYPES", PICTURE_TYPES).replace("ALLOWED", allowed))
            directions = {name: _directions(shelf.find(ImageTranslator, name)) for name in names}
            to = gr.Radio(directions[names[0]], value="b", label="Direction")
            roundtrip = gr.Checkbox(label="Round trip: also translate the result back")
            training_size = gr.Checkbox(label="Crop and scale as in training first")
            button = gr.Button("Translate", variant="primary")
        with gr.Column(scale=3, min_width=280):
            gr.HTML(_text("translated.html"))
    update = f"(name) => ({{__type__: 'update', value: 'b', choices: {json.dumps(directions)}[name]}})"
    model.change(None, [model], [to], js=update)
    button.click(None, [model, to, roundtrip, training_size], None, js=_call("translate"))


def _directions(model: ImageTranslator) -> list[tuple[str, str]]:
    """What a model can do, as Gradio has choices: what is shown, and the domain."""
    return [(model.direction(to), to) for to in model.ways]


def _card(served: Served) -> str:
    """Model card as HTML; names and settings come from files that may be foreign, so that they are escaped."""
    tables = "".join(_table(title, rows) for title, rows in served.card.items())
    return f'<article class="ganshift-card"><h2>{html.escape(served.name)}</h2>{tables}</article>'


def _table(title: str, rows: Mapping[str, str]) -> str:
    """A table below its title, folded away if it is long."""
    cells = (
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>'
        for name, value in rows.items()
    )
    opened = " open" if len(rows) <= LONG_TABLE else ""
    return (
        f'<details{opened}><summary>{title}</summary><table aria-label="{title}"><tbody>{"".join(cells)}'
        "</tbody></table></details>"
    )


def _call(name: str) -> str:
    """JavaScript that hands values of controls to a function of page.js, and gives nothing back."""
    return f"(...values) => {{ ganshift.{name}(...values); return []; }}"


def _text(name: str) -> str:
    return (files(__package__) / "parts" / name).read_text(encoding="utf-8")

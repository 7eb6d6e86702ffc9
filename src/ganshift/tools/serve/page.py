"""The page: Gradio's own controls around the functions of `events.PageEvents`."""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from ...data.bundled import photographs, sketch
from ...data.images import png_of
from ...inference.generator import ImageGenerator
from ...inference.picture_files import picture_grid
from ...inference.translator import ImageTranslator
from ...tensors import height_and_width
from .drawing import Drawing
from .events import BY_CLASS, IN_TURN, KINDS, MAX_FILES, PICTURES, SHRUNK, SIZES, PageEvents, Shown, kept
from .limits import Limits
from .shelf import Served, Shelf
from .worker import Worker

EXAMPLES = ("coffee", "astronaut", "flower")
"""Of the photographs that scikit-image and scikit-learn bring."""
EXAMPLE_SIDES = (192, 512)
"""The longest side is three times that of training, within these."""
FIRST_PICTURES = 12
"""What a visitor finds drawn."""
FONTS = ["system-ui", "sans-serif"]
"""Of the visitor's system: Gradio's own choice would be fetched from elsewhere."""
LOOK: dict[str, Any] = {
    "theme": gr.themes.Base(primary_hue="teal", font=FONTS, font_mono=["ui-monospace", "monospace"]).set(
        # Gradio's own are too pale to be read by all: WCAG 2.2 asks for a contrast of 4.5 to 1.
        color_accent="*primary_700",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        checkbox_border_color_dark="*neutral_400",
        block_label_text_color="*neutral_700",
        block_title_text_color="*neutral_700",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
    ),
    "css": (files(__package__) / "page.css").read_text(encoding="utf-8"),
    "footer_links": [],
    "run_history": False,
    "show_error": False,
    "ssr_mode": False,
    "enable_monitoring": False,
    "pwa": False,
    "mcp_server": False,
    "allowed_paths": [],
}
"""What Gradio's `launch` and `mount_gradio_app` are told. Of errors it shows our refusals alone."""


def build_page(models: Shelf, limits: Limits, worker: Worker | None = None) -> gr.Blocks:
    """The page for these models, to be launched or mounted; uploads and results lie in Gradio's folder for an hour."""
    events = PageEvents(models, limits, worker or Worker(limits))
    with gr.Blocks(title="ganshift", analytics_enabled=False, fill_width=True, delete_cache=(300, 3600)) as page:
        gr.Markdown("# ganshift")
        with gr.Tabs():
            if events.ways:
                with gr.Tab("Translate"):
                    _translate_tab(events)
            if models.names(ImageGenerator):
                with gr.Tab("Generate"):
                    _generate_tab(events)
            if events.ways:
                with gr.Tab("Files"):
                    _files_tab(events)
                with gr.Tab("Video"):
                    _video_tab(events)
            with gr.Tab("About"):
                for served in models:
                    _about(served)
        page.unload(lambda: None)  # only with one does Gradio notice that a visitor leaves
    return page.queue(max_size=max(limits.queue, 1), default_concurrency_limit=1, api_open=False)


def _translate_tab(events: PageEvents) -> None:
    examples = _examples(events)
    start, first_way = examples[0]
    compared, said = events.compared(Path(start), first_way, SHRUNK)
    with gr.Row(elem_classes="room"):
        with gr.Column(elem_classes="ask"):
            sources: Any = ["upload", "webcam", "clipboard"]
            alt = "The picture to translate"
            picture = gr.Image(
                start, label="Picture", type="filepath", sources=sources, height=280, alt_text=alt, buttons=[]
            )
            # What the file holds is for our own decoders, which look at its size first.
            picture.preprocess = lambda payload: payload and payload.path  # type: ignore[assignment, return-value]
            way = gr.Dropdown(list(events.ways), value=first_way, label="Translate")
            button, stop = _buttons("Translate")
        with gr.Column(elem_classes="result"):
            slider = gr.ImageSlider(
                compared, label="Picture and translation", type="filepath", interactive=False, max_height=480
            )
            status = gr.Markdown(said)
        with gr.Column(elem_classes="more"):
            shown = gr.Gallery(
                examples, label="Examples", columns=3, height="auto", allow_preview=False, interactive=False, buttons=[]
            )
            size = gr.Radio(list(SIZES), value=SHRUNK, label="Size of the picture")

    def choose(event: gr.SelectData) -> tuple[str, str]:
        return examples[event.index]

    asked, result = [picture, way, size], [slider, status]
    run = button.click(events.translate, asked, result, api_name="translate")
    chosen = shown.select(choose, None, [picture, way], api_visibility="private", concurrency_limit=None)
    chosen_run = chosen.then(events.translate, asked, result, api_visibility="private")
    picture.input(None, None, result, js="() => [null, '']")
    stop.click(None, cancels=[run, chosen_run])


def _files_tab(events: PageEvents) -> None:
    with gr.Row(elem_classes="room"):
        with gr.Column(elem_classes="ask"):
            label = f"Up to {MAX_FILES} pictures"
            pictures = gr.File(label=label, file_count="multiple", file_types=["image"], height=200)
            way = gr.Dropdown(list(events.ways), label="Translate")
            button, stop = _buttons("Translate all")
        with gr.Column(elem_classes="result"):
            result = gr.File(label="Translations (zip)", interactive=False, height=120)
            status = gr.Markdown()
        with gr.Column(elem_classes="more"):
            size = gr.Radio(list(SIZES), value=SHRUNK, label="Size of the pictures")
    run = button.click(events.translate_files, [pictures, way, size], [result, status], api_name="translate_files")
    pictures.change(None, None, [result, status], js="() => [null, '']")
    stop.click(None, cancels=[run])


def _video_tab(events: PageEvents) -> None:
    if find_spec("av") is None:
        gr.Markdown("Videos need `pip install 'ganshift[video]'` where this server runs.")
        return
    with gr.Row(elem_classes="room"):
        with gr.Column(elem_classes="ask"):
            video = gr.Video(label="Video", include_audio=True, height=280)
            way = gr.Dropdown([way for way, (_, _, back) in events.ways.items() if not back], label="Translate")
            button, stop = _buttons("Translate")
        with gr.Column(elem_classes="result"):
            result = gr.Video(label="Translation", interactive=False, height=280)
            status = gr.Markdown()
    run = button.click(events.translate_video, [video, way], [result, status], api_name="translate_video")
    video.change(None, None, [result, status], js="() => [null, '']")
    stop.click(None, cancels=[run])


def _generate_tab(events: PageEvents) -> None:
    names = events.shelf.names(ImageGenerator)
    classes = {name: [IN_TURN, *events.shelf.find(ImageGenerator, name).classes] for name in names}
    by_class = max(map(len, classes.values())) > 1
    shown, said = events.drawn(Drawing(model=names[0], count=FIRST_PICTURES))
    with gr.Row(elem_classes="room"):
        with gr.Column(elem_classes="ask"):
            model = gr.Dropdown(names, value=names[0], label="Model", visible=len(names) > 1)
            label = gr.Dropdown(classes[names[0]], value=IN_TURN, label="Class", visible=by_class)
            button, stop = _buttons("Generate")
        with gr.Column(elem_classes="result"):
            buttons: Any = ["download", "download_all", "fullscreen"]
            gallery = gr.Gallery(
                shown, label="Generated pictures", columns=4, interactive=False, buttons=buttons, elem_classes="pixels"
            )
            status = gr.Markdown(said)
        with gr.Column(elem_classes="more"):
            kind = gr.Radio([kind for kind in KINDS if by_class or kind != BY_CLASS], value=PICTURES, label="Draw")
            each = ", or pictures of each class" if by_class else ""
            count = gr.Slider(2, 64, value=FIRST_PICTURES, step=1, label=f"Pictures{each}")
            seed = gr.Number(0, precision=0, minimum=0, maximum=2**53 - 1, label="Seed")
            truncation = gr.Slider(0, 3, value=0, step=0.1, label="Truncation (0: none; smaller is more typical)")

    def follow(name: str) -> Any:
        return gr.Dropdown(classes[name], value=IN_TURN)

    asked = [model, kind, label, seed, truncation, count]
    run = button.click(events.generate, asked, [gallery, status], api_name="generate")
    model.change(follow, model, label, api_visibility="private", concurrency_limit=None)
    stop.click(None, cancels=[run])


def _buttons(name: str) -> tuple[Any, Any]:
    with gr.Row():
        return gr.Button(name, variant="primary", min_width=120), gr.Button("Cancel", min_width=80, scale=0)


def _examples(events: PageEvents) -> Shown:
    """Photographs, and sketches for the ways that start from domain b, each with its way."""
    pictures, found = photographs(), []
    for way, (model, to, back) in events.ways.items():
        least, most = EXAMPLE_SIDES
        side = min(max(3 * max(height_and_width(model.size)), least), most)
        for name in () if back else EXAMPLES:
            photo = pictures[name].copy()
            photo.thumbnail((side, side))
            found.append((kept(png_of(photo if to == "b" else sketch(photo)), f"{name}.png"), way))
    return found


def _about(served: Served) -> None:
    """The model card, with the model's pictures after its first words."""
    model = served.model
    first, line, rest = served.card.partition("\n## ")
    gr.Markdown(first)
    with gr.Row():
        if isinstance(model, ImageTranslator):
            way_back = ", way back" if len(model.ways) > 1 else ""
            for name, pixels in model.grids().items():
                start = model.names[name.removesuffix(".png")[-1]]
                _sample(f"From {start}: picture, translation{way_back}", Image.fromarray(pixels), name)
        else:
            pictures = model.sample(2 * FIRST_PICTURES)
            _sample("Generated pictures of seed 0", picture_grid(pictures, FIRST_PICTURES // 2), "samples.png")
    gr.Markdown(line + rest)


def _sample(label: str, picture: Image.Image, name: str) -> None:
    with gr.Column():
        gr.Markdown(label)
        file = kept(png_of(picture), name)
        gr.Image(
            file, show_label=False, alt_text=label, interactive=False, buttons=[], height=320, elem_classes="pixels"
        )

"""What the page's buttons do. Pictures come and go as files in Gradio's folder, which it clears."""

import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import TypeVar

import gradio as gr
from gradio.context import LocalContext
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder
from pydantic import ValidationError

from ...data.images import MAX_SIDE, png_of, read_bytes
from ...data.pixel_formats import FormattedPicture
from ...errors import capitalised, printable
from ...inference.generator import ImageGenerator
from ...inference.translator import ImageTranslator
from ...inference.video import translate_video
from .drawing import Drawing, draw, translate
from .limits import Limits
from .refusals import STATUS, TooLarge
from .shelf import Shelf
from .worker import Worker

Result = TypeVar("Result")
Way = tuple[ImageTranslator, str, bool]
"""A model, the domain to translate to, and whether back again, too."""
Shown = list[tuple[str, str]]
"""Pictures' files and captions."""
IN_TURN = "all in turn"
"""The choice of no class."""
PICTURES, BY_CLASS, STEPS = "pictures", "some of each class", "steps from one to the next"
KINDS = {PICTURES: "images", BY_CLASS: "class-grid", STEPS: "interpolation"}
"""What can be drawn, as the page and the API call it."""
SHRUNK, OWN_SIZE, AS_IN_TRAINING = "at most 1024 pixels a side", "its own size", "cropped and scaled as in training"
SIZES = {SHRUNK: 1024, OWN_SIZE: MAX_SIDE, AS_IN_TRAINING: None}
"""How large a picture is translated: the longest side."""
MAX_FILES = 100
"""Pictures of one zip."""
PROGRESS = gr.Progress()
"""Where Gradio puts that of an event."""


class PageEvents:
    """The functions behind the page; all that compute wait for their turn at one worker."""

    def __init__(self, shelf: Shelf, limits: Limits, worker: Worker):
        self.shelf, self.limits, self._worker = shelf, limits, worker
        names = shelf.names(ImageTranslator)
        self.ways: dict[str, Way] = {}
        """What can be translated, in words."""
        for name in names:
            model = shelf.find(ImageTranslator, name)
            by = f" ({name})" if len(names) > 1 else ""
            self.ways |= {f"{model.direction(to)}{by}": (model, to, False) for to in model.ways}
            if len(model.ways) > 1:
                self.ways |= {f"{model.direction(to)} and back{by}": (model, to, True) for to in model.ways}

    async def translate(
        self, picture: str | None, way: str, size: str, request: gr.Request
    ) -> tuple[tuple[str, str], str]:
        """Translate a picture: gives it and its translation, and a sentence."""
        if picture is None:
            raise gr.Error("Choose a picture first.", print_exception=False)
        return await self._compute(partial(self.compared, Path(picture), way, size), request)

    async def translate_files(
        self, files: list[str] | None, way: str, size: str, request: gr.Request, progress: gr.Progress = PROGRESS
    ) -> tuple[str, str]:
        """Translate several pictures, each in its turn: gives a zip in which they keep their names, and a sentence."""
        if not files or len(files) > MAX_FILES:
            raise gr.Error(f"Choose up to {MAX_FILES} pictures first.", print_exception=False)
        path, left_out = self._new_file(way, ".zip"), []
        with zipfile.ZipFile(path, "w") as archive:
            for number, file in enumerate(map(Path, files)):
                progress((number, len(files)), desc=printable(file.name), unit="pictures")
                try:
                    made, _ = await self._compute(partial(self._translated, file, way, size), request)
                except gr.Error as error:
                    left_out.append(f"{shown_as_is(file.name)}: {error.message}")
                    continue
                name = f"{file.stem}.png"
                archive.writestr(f"{number}-{name}" if name in archive.namelist() else name, made[-1].to_png())
        if len(left_out) == len(files):
            raise gr.Error(" ".join(left_out), print_exception=False)
        left = f" Left out: {' '.join(left_out)}" if left_out else ""
        return str(path), f"Translated {len(files) - len(left_out)} of {len(files)} pictures {way}.{left}"

    async def translate_video(
        self, video: str | None, way: str, request: gr.Request, progress: gr.Progress = PROGRESS
    ) -> tuple[str, str]:
        """Translate a video frame by frame: gives a video, and a sentence."""
        if video is None:
            raise gr.Error("Choose a video first.", print_exception=False)
        model, to, _ = self.ways[way]
        path, frames = self._new_file(way, ".mp4"), 0

        def change(frame: FormattedPicture) -> FormattedPicture:
            if frame.colours[0].size > self.limits.max_pixels:
                raise TooLarge(f"its frames have more than the {self.limits.max_pixels:,} pixels that are taken here")
            return model.translate_formatted(frame, to).in_eight_bits()

        def note(done: int) -> None:
            nonlocal frames
            frames = done
            progress((done, None), unit="frames")

        largest = self.limits.max_pixels
        await self._compute(partial(translate_video, Path(video), path, change, note, largest), request)
        return str(path), f"Translated {frames} frames {way}."

    async def generate(
        self,
        model: str,
        kind: str,
        label: str,
        seed: float,
        truncation: float,
        count: float,
        request: gr.Request,
        progress: gr.Progress = PROGRESS,
    ) -> tuple[Shown, str]:
        """Draw pictures: gives them with their classes, and a sentence."""
        number = {"count": 1, "steps": int(count)} if kind == STEPS else {"count": int(count)}
        label_of = {} if label == IN_TURN or kind == BY_CLASS else {"label": label}
        how = {"model": model, "kind": KINDS[kind], "seed": int(seed or 0), "truncation": truncation or None}
        try:
            drawing = Drawing.model_validate({**how, **number, **label_of})
        except ValidationError as error:
            raise gr.Error(printable(error.errors()[0]["msg"]), print_exception=False) from None
        return await self._compute(partial(self.drawn, drawing, progress), request)

    def compared(self, picture: Path, way: str, size: str) -> tuple[tuple[str, str], str]:
        """Two files for the slider, and what they are."""
        made, distance = self._translated(picture, way, size)
        model, to, _ = self.ways[way]
        start, *_, end = model.folders(to)[: len(made)]
        height, width = made[0].colours.shape[-2:]
        apart = "" if distance is None else f" The way back ends {distance:.3f} from it, on average, of at most 2."
        files = kept(made[0].in_eight_bits().to_png(), f"{start}.png"), kept(made[-1].to_png(), f"{end}.png")
        return files, f"Translated {way}, {width} x {height} pixels.{apart}"

    def drawn(self, drawing: Drawing, progress: Callable[..., object] = lambda *done, **how: None) -> tuple[Shown, str]:
        """Files for the gallery with their captions, and what they are."""
        model = self.shelf.find(ImageGenerator, drawing.model)
        model.on_images = lambda done: progress((done, None), unit="pictures")
        try:
            rows = draw(model, drawing, self.limits)
        finally:
            with suppress(AttributeError):
                del model.on_images
        pictures = [picture for row in rows for picture in row]
        files = [kept(png_of(picture), f"{drawing.kind}-{at:03d}.png") for at, picture in enumerate(pictures)]
        if drawing.kind == "interpolation" or not model.classes:
            what = "step " if drawing.kind == "interpolation" else ""
            captions = [f"{what}{at + 1}" for at in range(len(files))]
        elif drawing.label is not None:
            captions = [str(drawing.label)] * len(files)
        else:
            wide = len(rows[0]) if drawing.kind == "class-grid" else 1
            captions = [model.classes[at // wide % len(model.classes)] for at in range(len(files))]
        shown = list(zip(files, map(printable, captions), strict=True))
        return shown, f"Drawn: {len(files)} pictures of seed {drawing.seed}."

    def _translated(self, picture: Path, way: str, size: str) -> tuple[list[FormattedPicture], float | None]:
        model, to, back = self.ways[way]
        as_in_training, longest = size == AS_IN_TRAINING, SIZES[size]
        data = read_bytes(picture)
        return translate(model, data, to, self.limits, roundtrip=back, training_size=as_in_training, longest=longest)

    def _new_file(self, way: str, ending: str) -> Path:
        model, to, _ = self.ways[way]
        return Path(mkdtemp(dir=get_upload_folder())) / (model.folders(to)[1] + ending)

    async def _compute(self, work: Callable[[], Result], request: gr.Request) -> Result:
        """What `work` returns; refusals as Gradio shows them. It ends when the visitor leaves."""
        assert request.request is not None
        # Of the event, since a session that has lost its connection once counts as closed for ever.
        event = request.request.app.get_blocks()._queue.event_ids_to_events.get(LocalContext.event_id.get())

        async def gone() -> bool:
            return event is not None and event.closed

        try:
            return await self._worker.run(work, gone)
        except (*STATUS,) as error:
            raise gr.Error(f"{capitalised(shown_as_is(str(error)))}.", print_exception=False) from None


def shown_as_is(text: str) -> str:
    """For Gradio, which shows a status as Markdown and an error as HTML: what is none of both stays as it is."""
    return re.sub(r"[]\\[`*<>&$~|!#]", lambda found: f"&#{ord(found[0])};", printable(text))


def kept(content: bytes, name: str) -> str:
    """The file of this name and content in Gradio's folder."""
    return save_bytes_to_cache(content, name, get_upload_folder())

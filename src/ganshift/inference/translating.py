"""Translate files: pictures, animations and videos, by name, in folders, in zips or by a glob; and round trips."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean

import torch
from PIL import Image

from ..data.containers import open_storage
from ..data.deep_files import is_tiff, page_numbers
from ..data.domain_names import in_files
from ..data.endings import is_image
from ..data.folders import find_domains
from ..data.images import UnreadableImage, bombs_are_errors, open_picture, read_bytes
from ..data.pixel_formats import FormattedPicture, ending_of
from ..errors import UserError, first_line
from ..files import write_output
from ..training.log import ProgressLine, say
from .input_files import InputFile, files_of, find_input_files
from .outputs import PICTURE_ENDING, VIDEO_ENDING, Outputs
from .picture_files import encode_picture
from .translator import Domain, ImageTranslator, other_domain
from .video import ANIMATED_FORMATS, is_animation, is_video, translate_animation, translate_video


@dataclass(frozen=True)
class Pages:
    """A TIFF of several pictures, which are read one after the other."""

    data: bytes
    numbers: list[int]


Content = FormattedPicture | Pages | Image.Image | None
"""A still picture, several, an open animation, or None for a video, which is read while it is written."""
logger = logging.getLogger("ganshift")

THREADS = 2
"""They read and write files; so many pictures, and twice as many results, wait in memory."""


@dataclass
class Translated:
    """What became of the files that were given."""

    written: list[Path] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Names of the files that have no result, and why."""
    skipped: int = 0
    """Files whose results were there."""


def translate_files(
    model: ImageTranslator,
    images: Sequence[Path],
    to: str,
    out: Path,
    *,
    roundtrip: bool = False,
    training_size: bool = False,
    skip_existing: bool = False,
    overwrite: bool = False,
) -> Translated:
    """Translate files, and all those in folders and zips, into files of the same relative names below `out`.

    Pictures become PNG, or TIFF where their domain has values that PNG cannot hold; animations stay what they are, and
    videos become MP4; of a TIFF of several pages, each becomes a picture. Of one file, `out` may be the name of its
    translation (`Outputs`). `to` is a domain (`ImageTranslator.domain`). To "both", the one folder or zip that is given
    has two domains: their validation images, or else all, are translated into folders that are named by the domains
    (`ImageTranslator.folders`). For a `roundtrip`, each image, its translation and the way back
    are written there, and their mean distance is said.
    `training_size` crops and scales images as in training. `skip_existing` leaves those alone whose results are there,
    to go on after an interruption; `overwrite` lets a translation take the place of the file that it was made from. A
    file that cannot be read, translated or written is left out with a warning, and the rest goes on; if nothing comes
    of any, a `UserError` says so.
    """
    found: dict[Domain, list[InputFile]]
    if to == "both":
        if len(images) != 1 or is_image(images[0].name):
            got = images[0] if len(images) == 1 else f"{len(images)} names"
            raise UserError(
                f"--to both takes one folder or zip with two domains, got {got}: of pictures say which domain, "
                f"--to {in_files(model.names['a'])} or {in_files(model.names['b'])}"
            )
        train_a, train_b, val_a, val_b = find_domains(open_storage(images[0]))
        found = {"b": files_of(val_a or train_a, out), "a": files_of(val_b or train_b, out)}
    else:
        found = {model.domain(to): find_input_files(images, out)}
    every = [source for sources in found.values() for source in sources]
    for way in found:
        for needed in (way, other_domain(way)) if roundtrip else (way,):
            model.check_way(needed)
    ways = []
    done = Translated()
    for way, sources in found.items():
        folders = model.folders(way)
        kinds = folders if roundtrip else folders[1:2] if to == "both" else ("",)
        endings = [ending_of(model.value_range(way))]
        if roundtrip:
            endings = [*endings, ending_of(model.value_range(other_domain(way))), PICTURE_ENDING]
        outputs = Outputs(sources, out, kinds, overwrite, every, list(dict.fromkeys(endings)))
        ways.append(_Translation(model, way, outputs, done, roundtrip, training_size, skip_existing))
    for translation in ways:
        translation.run()
    if done.left_out and not done.written and not done.skipped:
        if len(every) == 1:
            raise UserError(": ".join(*done.left_out.items()))
        raise UserError(
            f"none of the {len(every):,} images could be read, translated and written: nothing was translated"
        )
    if done.left_out:
        logger.warning("%d of %d files were left out", len(done.left_out), len(every))
    return done


@dataclass
class _Translation:
    """The translation of some files to one domain, while threads read those that follow and write what is done."""

    model: ImageTranslator
    to: Domain
    outputs: Outputs
    done: Translated
    roundtrip: bool
    training_size: bool
    skip_existing: bool
    distances: list[float] = field(default_factory=list)
    """Of images from their round trips."""
    said: bool = False
    """Whether it was said that pictures are nearly black."""
    writing: deque[tuple[int, Future[Path]]] = field(default_factory=deque)
    """Results on their way to the disk, by the numbers of their sources."""

    def run(self) -> None:
        """Translate all; what goes wrong with one file, whatever it is, is that file's."""
        sources = self.outputs.sources
        numbers = list(range(len(sources)))
        if self.skip_existing:
            numbers = [number for number in numbers if not self.outputs.exist(number)]
            self.done.skipped += len(sources) - len(numbers)
        with (
            bombs_are_errors(),
            ProgressLine(f"translate {self.model.direction(self.to)}", len(numbers)) as progress,
            ThreadPoolExecutor(THREADS) as threads,
        ):
            for count, (number, loaded) in enumerate(self._loaded(numbers, threads), start=1):
                try:
                    self._translate(number, loaded.result(), threads, partial(progress.update, count - 1))
                except Exception as error:  # decoders, networks and encoders have errors of their own
                    self._leave_out(number, error)
                self._finish_writing(2 * THREADS)
                progress.update(count, sources[number].name)
            self._finish_writing(0)
        if self.distances:
            start, _, back = self.model.folders(self.to)
            mean = f"{fmean(self.distances):.4f} over {len(self.distances):,} images"
            say(f"round trip {back}: mean |{back} - {start}| = {mean}, on the scale from -1 to 1")

    def _loaded(self, numbers: Sequence[int], threads: ThreadPoolExecutor) -> Iterator[tuple[int, Future[Content]]]:
        """Each number with what `_load` makes of its source, begun a few sources before it is asked for."""
        pending: deque[tuple[int, Future[Content]]] = deque()
        for number in numbers:
            pending.append((number, threads.submit(self._load, self.outputs.sources[number])))
            if len(pending) > THREADS:
                yield pending.popleft()
        yield from pending

    def _load(self, source: InputFile) -> Content:
        """What a source holds; of animations and videos the first frame where pictures are asked for."""
        if self.training_size:
            return self.model.as_trained(source.content(), self.to)
        if is_video(source.name) and not self.roundtrip:
            return None
        data = read_bytes(source.content())
        if not self.roundtrip and not is_tiff(data) and is_animation(picture := open_picture(data)):
            return picture
        numbers = page_numbers(data)
        return Pages(data, numbers) if len(numbers) > 1 else self.model.load(data, self.to)

    def _translate(
        self, number: int, content: Content, threads: ThreadPoolExecutor, note: Callable[[str], None]
    ) -> None:
        kinds, source = self.outputs.kinds, self.outputs.sources[number]

        def change(frame: FormattedPicture) -> FormattedPicture:
            return self.model.translate_formatted(frame, self.to).in_eight_bits()

        if isinstance(content, FormattedPicture):
            self._translate_picture(number, content, threads)
        elif isinstance(content, Pages):
            pages = [*enumerate(content.numbers, start=1)]
            for page, index in reversed(pages):  # the first one is written last: where it is, all are
                self._translate_picture(number, self.model.load(content.data, self.to, index), threads, page)
                self._finish_writing(2 * THREADS)
        elif isinstance(content, Image.Image):
            path = self.outputs.path(number, ANIMATED_FORMATS[str(content.format)], kinds[0])
            self.done.written.append(write_output(path, translate_animation(content, change)))
        else:
            path = self.outputs.path(number, VIDEO_ENDING, kinds[0])
            translate_video(source.content(), path, change, lambda frame: note(f"{source.name}, frame {frame:,}"))
            self.done.written.append(path)

    def _translate_picture(
        self, number: int, original: FormattedPicture, threads: ThreadPoolExecutor, page: int = 1
    ) -> None:
        if original.is_nearly_black and not self.said:
            self.said = True
            logger.warning(
                "%s is nearly black to this model, which was trained without a range of values: 65535 is white to it",
                self.outputs.sources[number].where,
            )
        if self.roundtrip:
            made, distance = self.model.round_trip(original, self.to)
            self.distances.append(distance)
        else:
            made = [self.model.translate_formatted(original, self.to)]
        for picture, kind in zip(made, self.outputs.kinds, strict=True):
            path = self.outputs.path(number, self.outputs.picture_ending or picture.ending, kind, page)
            self.writing.append((number, threads.submit(_write, picture, path)))

    def _finish_writing(self, most: int) -> None:
        """Wait until at most so many results are on their way."""
        while len(self.writing) > most:
            number, written = self.writing.popleft()
            try:
                self.done.written.append(written.result())
            except Exception as error:  # encoders, too, have errors of their own
                self._leave_out(number, error)

    def _leave_out(self, number: int, error: Exception) -> None:
        where, reason = self.outputs.sources[number].where, _reason(error)
        is_news = self.done.left_out.setdefault(where, reason) is reason  # a round trip has three files to write
        if is_news and len(self.outputs.sources) > 1:  # of one alone, the error says it
            logger.warning("left out %s: %s", where, reason)


def _reason(error: Exception) -> str:
    """Why a file was left out, in one line."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "memory is too short for it"
    if isinstance(error, UnreadableImage | UserError):
        return str(error)
    return f"{type(error).__name__} ({first_line(error)})"


def _write(picture: FormattedPicture, path: Path) -> Path:
    return write_output(path, encode_picture(picture, path.suffix.lower()))

"""Translate files: pictures, animations and videos, by name, in folders, in zips or by a glob; and round trips."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import torch
from PIL import Image

from ..data.folders import find_domains
from ..data.images import UnreadableImage, bombs_are_errors, fit_picture, load_picture, open_picture, to_picture
from ..data.pixel_formats import FormattedPicture, from_pillow, load_formatted
from ..data.storage import Storage, open_storage
from ..errors import UserError, first_line
from ..files import write_output
from ..inference.translator import Domain, ImageTranslator, other_domain
from ..training.log import ProgressLine, say
from .input_files import InputFile, files_of, find_input_files
from .outputs import VIDEO_ENDING, Outputs
from .picture_files import encode_picture
from .video import ANIMATED_FORMATS, is_animation, is_video, translate_animation, translate_video

Item = TypeVar("Item")
Result = TypeVar("Result")
logger = logging.getLogger("ganshift")

THREADS = 2
"""They read and write files; so many pictures, and twice as many results, wait in memory."""
KINDS: dict[Domain, tuple[str, str, str]] = {"a": ("A", "A2B", "A2B2A"), "b": ("B", "B2A", "B2A2B")}
"""Folders for images of a domain, their translations and the way back, as the published test phase names them."""


@dataclass(frozen=True)
class TranslationSettings:
    """How files are translated and written."""

    roundtrip: bool = False
    """Write each image, its translation and the way back into the folders `KINDS`, and say the mean distance."""
    training_size: bool = False
    """Crop and scale images as in training, instead of keeping their own size."""
    skip_existing: bool = False
    """Leave those alone whose results are there: to go on after an interruption."""
    overwrite: bool = False
    """Let a translation take the place of the file that it was made from."""


@dataclass
class Translated:
    """What became of the files that were given."""

    written: list[Path] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Names of the files that have no result, and why."""
    skipped: int = 0
    """Files whose results were there."""


@dataclass
class RoundTrips:
    """Mean distance of images from their round trips, gathered while they are written."""

    distances: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{sum(self.distances) / len(self.distances):.4f} over {len(self.distances):,} images"


def translate_files(
    model: ImageTranslator, images: Sequence[Path], to: Domain, out: Path, **settings: Any
) -> Translated:
    """Translate files, and all those in folders and zips, into files of the same relative names below `out`.

    Pictures become PNG, animations stay what they are, videos become MP4. Of one file, `out` may be the name of its
    translation (`Outputs`). `settings` are the fields of `TranslationSettings`. A file that cannot be read, translated
    or written is left out with a warning, and the rest goes on; if nothing comes of any, a `UserError` says so.
    """
    chosen, sources = TranslationSettings(**settings), find_input_files(images, out)
    kinds = KINDS[other_domain(to)] if chosen.roundtrip else ("",)
    return _concluded([_Translation(model, to, sources, Outputs(sources, out, kinds, chosen.overwrite), chosen)])


def translate_domains(model: ImageTranslator, data: Path, out: Path, **settings: Any) -> Translated:
    """Translate a folder or zip with two domains both ways: their validation images, or else all.

    The folders `KINDS` below `out` are written: translations alone, or all three for round trips.
    """
    chosen = TranslationSettings(**settings)
    train_a, train_b, val_a, val_b = find_domains(open_storage(data))
    places: dict[Domain, Storage] = {"b": val_a or train_a, "a": val_b or train_b}
    sources = {to: files_of(place, out) for to, place in places.items()}
    both = [*sources["a"], *sources["b"]]
    ways = []
    for to, found in sources.items():
        kinds = KINDS[other_domain(to)] if chosen.roundtrip else KINDS[other_domain(to)][1:2]
        ways.append(_Translation(model, to, found, Outputs(found, out, kinds, chosen.overwrite, both), chosen))
    return _concluded(ways)


def _concluded(ways: Sequence["_Translation"]) -> Translated:
    """Translate all, say what was left out, and raise if nothing came of it."""
    all_done = Translated()
    for way in ways:
        way.run()
        all_done.written += way.done.written
        all_done.left_out |= way.done.left_out
        all_done.skipped += way.done.skipped
    total, left_out = sum(len(way.sources) for way in ways), all_done.left_out
    if left_out and not all_done.written and not all_done.skipped:
        if total == 1:
            raise UserError(": ".join(*left_out.items()))
        raise UserError(f"none of the {total:,} images could be read, translated and written: nothing was translated")
    if left_out:
        logger.warning("%d of %d files were left out", len(left_out), total)
    return all_done


@dataclass
class _Translation:
    """The translation of some files to one domain, and what has become of them."""

    model: ImageTranslator
    to: Domain
    sources: Sequence[InputFile]
    outputs: Outputs
    settings: TranslationSettings
    done: Translated = field(default_factory=Translated)
    trips: RoundTrips = field(default_factory=RoundTrips)

    def run(self) -> None:
        """Translate all; what goes wrong with one file, whatever it is, is that file's."""
        numbers = list(range(len(self.sources)))
        if self.settings.skip_existing:
            numbers = [number for number in numbers if not self.outputs.exist(number)]
            self.done.skipped = len(self.sources) - len(numbers)
        crop = partial(as_trained, self.model, self.to) if self.settings.training_size else None
        load = partial(_load, as_trained=crop, stills=self.settings.roundtrip)
        with bombs_are_errors(), ProgressLine("translate", len(numbers)) as progress, Background() as background:
            loading = background.ahead(load, [self.sources[number] for number in numbers])
            for count, (number, loaded) in enumerate(zip(numbers, loading, strict=True), start=1):
                try:
                    self._translate(number, loaded.result(), background, partial(progress.update, count - 1))
                except Exception as error:  # decoders, networks and encoders have errors of their own
                    self._leave_out(number, error)
                progress.update(count, self.sources[number].name)
        if self.trips.distances:
            start, _, back = KINDS[other_domain(self.to)]
            say(f"round trip {back}: mean |{back} - {start}| = {self.trips}, on the scale from -1 to 1")

    def _translate(
        self,
        number: int,
        content: FormattedPicture | Image.Image | None,
        background: "Background",
        note: Callable[[str], None],
    ) -> None:
        kinds, source = self.outputs.kinds, self.sources[number]
        change = partial(self.model.translate_formatted, to=self.to)
        if isinstance(content, FormattedPicture):
            ending = self.outputs.picture_ending()
            paths = [self.outputs.path(number, ending, kind) for kind in kinds]
            if self.settings.roundtrip:
                results, distance = round_trip(self.model, content, self.to)
                self.trips.distances.append(distance)
            else:
                results = {kinds[0]: change(content)}
            for kind, path in zip(kinds, paths, strict=True):
                background.later(partial(_write, results[kind], path), partial(self._conclude, number))
        elif isinstance(content, Image.Image):
            path = self.outputs.path(number, ANIMATED_FORMATS[str(content.format)], kinds[0])
            self.done.written.append(write_output(path, translate_animation(content, change)))
        else:
            path = self.outputs.path(number, VIDEO_ENDING, kinds[0])
            translate_video(source.read(), path, change, lambda frame: note(f"{source.name}, frame {frame:,}"))
            self.done.written.append(path)

    def _conclude(self, number: int, writing: "Future[Path]") -> None:
        try:
            self.done.written.append(writing.result())
        except Exception as error:  # encoders, too, have errors of their own
            self._leave_out(number, error)

    def _leave_out(self, number: int, error: Exception) -> None:
        where, reason = self.sources[number].where, _reason(error)
        is_news = self.done.left_out.setdefault(where, reason) is reason  # a round trip has three files to write
        if is_news and len(self.sources) > 1:  # of one alone, the error says it
            logger.warning("left out %s: %s", where, reason)


def _reason(error: Exception) -> str:
    """Why a file was left out, in one line."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "memory is too short for it"
    if isinstance(error, UnreadableImage | UserError):
        return str(error)
    return f"{type(error).__name__} ({first_line(error)})"


class Background:
    """Two threads that read ahead and write behind, so that the networks need not wait for files."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS)
        self._unfinished: deque[tuple[Future[Any], Callable[[Future[Any]], None]]] = deque()

    def ahead(self, function: Callable[[Item], Result], items: Sequence[Item]) -> "Iterator[Future[Result]]":
        """Call the function for each item, a few items before its result is asked for."""
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(self._pool.submit(function, item))
            if len(pending) > THREADS:
                yield pending.popleft()
        yield from pending

    def later(self, function: Callable[[], Result], conclude: "Callable[[Future[Result]], None]") -> None:
        """Call the function, and some time after, in the thread that asked for it, `conclude` with what came of it."""
        self._unfinished.append((self._pool.submit(function), conclude))
        if len(self._unfinished) > 2 * THREADS:
            self._conclude_first()

    def _conclude_first(self) -> None:
        future, conclude = self._unfinished.popleft()
        conclude(future)

    def __enter__(self) -> "Background":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        while kind is None and self._unfinished:
            self._conclude_first()


def _load(
    source: InputFile, as_trained: Callable[[bytes | Path], FormattedPicture] | None, stills: bool
) -> FormattedPicture | Image.Image | None:
    """A still picture, an open animation, or None for a video; only first frames `as_trained`, or if `stills`."""
    if as_trained is not None:
        return as_trained(source.read())
    if stills:
        return load_formatted(source.read())
    if is_video(source.name):
        return None
    data = source.read()
    picture = open_picture(data)
    return picture if is_animation(picture) else load_formatted(data)


def as_trained(model: ImageTranslator, to: Domain, data: bytes | Path) -> FormattedPicture:
    """The picture cropped and scaled to the size of training, in the channels of its domain."""
    channels = model.channels[other_domain(to)]
    return from_pillow(to_picture(fit_picture(load_picture(data, for_size=model.size), model.size, channels)))


def round_trip(
    model: ImageTranslator, original: FormattedPicture, to: Domain
) -> tuple[dict[str, FormattedPicture], float]:
    """The picture, its translation and the way back, by their names in `KINDS`; and the mean distance of both ends.

    The distance is of values in [-1, 1], before what came back is rounded to the picture's bits.
    """
    start = other_domain(to)
    images = original.for_network(model.channels[start])
    there = model.translate(images, to)
    back = model.translate(there, start)  # not rounded in between
    results = (original, original.given_back(there, model.keeps_mode), original.given_back(back, keep_mode=True))
    return dict(zip(KINDS[start], results, strict=True)), (back - images).abs().mean().item()


def _write(picture: FormattedPicture, path: Path) -> Path:
    return write_output(path, encode_picture(picture, path.suffix.lower()))

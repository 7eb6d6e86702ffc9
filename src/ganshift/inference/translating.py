"""Translate files: pictures, animations and videos, by name, in folders, in zips or by a glob; and round trips."""

import itertools
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, TypeVar

from PIL import Image

from ..data.folders import find_domains, is_image
from ..data.images import UnreadableImage, bombs_are_errors, fit_picture, load_picture, open_picture, to_picture
from ..data.pixel_formats import FormattedPicture, from_pillow, load_formatted
from ..data.storage import Storage, open_storage
from ..errors import UserError, first_line
from ..files import write_output
from ..inference.translator import Domain, ImageTranslator, other_domain
from ..training.log import ProgressLine, say
from .video import VIDEO_SUFFIXES, is_animation, translate_animation, translate_video

Item = TypeVar("Item")
Result = TypeVar("Result")
logger = logging.getLogger("ganshift")

THREADS = 2
"""They read and write files; so many pictures, and twice as many results, wait in memory."""
KINDS: dict[Domain, tuple[str, str, str]] = {"a": ("A", "A2B", "A2B2A"), "b": ("B", "B2A", "B2A2B")}
"""Folders for images of a domain, their translations and the way back, as the published test phase names them."""


@dataclass(frozen=True)
class InputFile:
    """One file to translate."""

    where: str
    """Its name for messages."""
    name: str
    """Its relative name, with forward slashes."""
    read: Callable[[], bytes | Path]


@dataclass
class RoundTrips:
    """Mean distance of images from their round trips, gathered while they are written."""

    distances: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{sum(self.distances) / len(self.distances):.4f} over {len(self.distances):,} images"


def translate_files(
    model: ImageTranslator,
    images: Sequence[Path],
    to: Domain,
    out: Path,
    *,
    roundtrip: bool = False,
    training_size: bool = False,
) -> list[Path]:
    """Translate files, and all those in folders and zips, into files of the same relative names below `out`.

    Pictures become PNG, animations stay what they are, videos become MP4. With `roundtrip` the folders `KINDS` below
    `out` get each image, its translation and the way back, and the mean distance is said. With `training_size` images
    are cropped and scaled as in training, instead of keeping their own size. What cannot be read is left out with a
    warning; if nothing can, a `UserError` says so.
    """
    sources = list(_find(images))
    if not sources:
        raise UserError("name at least one image, or a folder or zip of images")
    return _translate(model, sources, to, out, roundtrip, training_size)


def translate_domains(
    model: ImageTranslator, data: Path, out: Path, *, roundtrip: bool = False, training_size: bool = False
) -> list[Path]:
    """Translate a folder or zip with two domains both ways: their validation images, or else all.

    The folders `KINDS` below `out` are written: translations alone, or all three with `roundtrip`.
    """
    train_a, train_b, val_a, val_b = find_domains(open_storage(data))
    places: dict[Domain, Storage] = {"b": val_a or train_a, "a": val_b or train_b}
    written = []
    for to, place in places.items():
        start = KINDS[other_domain(to)]
        folder = out if roundtrip else out / start[1]
        written += _translate(model, list(_images_of(place)), to, folder, roundtrip, training_size)
    return written


def _translate(
    model: ImageTranslator, sources: Sequence[InputFile], to: Domain, out: Path, roundtrip: bool, training_size: bool
) -> list[Path]:
    names = _output_names(sources)
    written: list[Path] = []
    trips = RoundTrips()
    load = partial(_load, as_trained=partial(as_trained, model, to) if training_size else None, stills=roundtrip)
    with bombs_are_errors(), ProgressLine("translate", len(sources)) as progress, Background() as background:
        for number, loaded in enumerate(background.ahead(load, sources)):
            source, name = sources[number], names[number]
            try:
                content = loaded.result()
                if isinstance(content, FormattedPicture):
                    if roundtrip:
                        results, distance = round_trip(model, content, to)
                        trips.distances.append(distance)
                    else:
                        results = {"": model.translate_formatted(content, to)}  # for the folder itself
                    for kind, result in results.items():
                        path = _in(out / kind, name, ".png")
                        background.later(partial(_write_png, result, path))
                        written.append(path)
                elif isinstance(content, Image.Image):
                    data, suffix = translate_animation(content, partial(model.translate_formatted, to=to))
                    written.append(write_output(_in(out, name, suffix), data))
                else:
                    path = _in(out, name, ".mp4")
                    _make_folder(path.parent)
                    note = partial(_note_frame, progress, number, source.name)
                    translate_video(source.read(), path, partial(model.translate_formatted, to=to), note)
                    written.append(path)
            except UnreadableImage as error:
                logger.warning("left out %s: %s", source.where, error)
            progress.update(number + 1, source.name)
    if not written:
        raise UserError(f"none of the {len(sources)} images could be read: nothing was translated")
    if roundtrip:
        start, _, back = KINDS[other_domain(to)]
        say(f"round trip {back}: mean |{back} - {start}| = {trips}, on the scale from -1 to 1")
    return written


def _note_frame(progress: ProgressLine, number: int, name: str, frame: int) -> None:
    progress.update(number, f"{name}, frame {frame:,}")


class Background:
    """Two threads that read ahead and write behind, so that the networks need not wait for files."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS)
        self._unfinished: deque[Future[Any]] = deque()

    def ahead(self, function: Callable[[Item], Result], items: Sequence[Item]) -> "Iterator[Future[Result]]":
        """Call the function for each item, a few items before its result is asked for."""
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(self._pool.submit(function, item))
            if len(pending) > THREADS:
                yield pending.popleft()
        yield from pending

    def later(self, function: Callable[[], Any]) -> None:
        """Call the function; what it raises is raised by a later call, or when everything is done."""
        self._unfinished.append(self._pool.submit(function))
        if len(self._unfinished) > 2 * THREADS:
            self._unfinished.popleft().result()

    def __enter__(self) -> "Background":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for future in self._unfinished:
                future.result()


def _load(
    source: InputFile, as_trained: Callable[[bytes | Path], FormattedPicture] | None, stills: bool
) -> FormattedPicture | Image.Image | None:
    """A still picture, an open animation, or None for a video; only first frames `as_trained`, or if `stills`."""
    if as_trained is not None:
        return as_trained(source.read())
    if stills:
        return load_formatted(source.read())
    if PurePosixPath(source.name).suffix.lower() in VIDEO_SUFFIXES:
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


def _find(images: Sequence[Path]) -> Iterator[InputFile]:
    for path in images:
        if path.is_file() and path.suffix.lower() != ".zip":
            yield InputFile(str(path), path.name, partial(Path, path))
        elif not path.exists() and _has_wildcard(str(path)):
            yield from _matching(path)
        else:
            yield from _images_of(open_storage(path))


def _matching(pattern: Path) -> Iterator[InputFile]:
    """Files that match a glob, named from its first wildcard on."""
    fixed = Path(*itertools.takewhile(lambda part: not _has_wildcard(part), pattern.parts))
    try:
        matching = sorted(fixed.glob(str(pattern.relative_to(fixed))))
    except (OSError, ValueError, NotImplementedError) as error:
        raise UserError(f"{pattern} is no pattern of names ({first_line(error)})") from None
    found = [path for path in matching if path.is_file() and _is_translatable(path.name)]
    if not found:
        raise UserError(f"no image matches {pattern}")
    for path in found:
        yield InputFile(str(path), path.relative_to(fixed).as_posix(), partial(Path, path))


def _has_wildcard(text: str) -> bool:
    return any(character in text for character in "*?[")


def _images_of(place: Storage) -> Iterator[InputFile]:
    names = [name for name in place.names if _is_translatable(name)]
    if not names:
        raise UserError(f"there are no images in {place.where}")
    for name in names:
        yield InputFile(f"{place.where}/{name}", name, partial(place.read, name))


def _is_translatable(name: str) -> bool:
    return is_image(name) or PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES


def _output_names(sources: Sequence[InputFile]) -> list[str]:
    """Names without their ending, or with it where two differ in nothing else."""
    short = [PurePosixPath(source.name).with_suffix("").as_posix() for source in sources]
    counts = Counter(short)
    names = [source.name if counts[name] > 1 else name for source, name in zip(sources, short, strict=True)]
    seen: dict[str, str] = {}
    for source, name in zip(sources, names, strict=True):
        if name in seen:
            raise UserError(f"{source.where} and {seen[name]} would write one file: translate them into two --out")
        seen[name] = source.where
    return names


def _in(folder: Path, name: str, suffix: str) -> Path:
    parts = PurePosixPath(name).parts
    if PurePosixPath(name).is_absolute() or ".." in parts:  # of a zip; it must not say where we write
        raise UnreadableImage("its name leads out of the folder to write to")
    return folder / (name if name.endswith(suffix) else name + suffix)


def _write_png(original: FormattedPicture, path: Path) -> Path:
    return write_output(path, original.to_png())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}") from error

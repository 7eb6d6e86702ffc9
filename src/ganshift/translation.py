"""Translate files: pictures, animations and videos, by name, in folders, in zips or by a glob; and round trips."""

import io
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from .data.images import UnreadableImage, bombs_are_errors, fit_picture, load_picture, open_picture, to_picture
from .data.layouts import find_domains, is_image
from .data.originals import Original, from_pillow, load_original
from .data.places import Place, locate
from .errors import UserError, first_line
from .models import Domain, Translator, other_domain
from .runtime.log import ProgressLine, say

logger = logging.getLogger("ganshift")

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm"})
"""Files with these endings are read by imageio, frame by frame, and written as .mp4."""
ANIMATED_FORMATS = {"GIF": ".gif", "WEBP": ".webp", "PNG": ".png"}
"""Formats in which an animation stays an animation."""
KINDS: dict[Domain, tuple[str, str, str]] = {"a": ("A", "A2B", "A2B2A"), "b": ("B", "B2A", "B2A2B")}
"""Folders for images of a domain, their translations and the way back, as the published test phase names them."""


@dataclass(frozen=True)
class Source:
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
    model: Translator,
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
    model: Translator, data: Path, out: Path, *, roundtrip: bool = False, training_size: bool = False
) -> list[Path]:
    """Translate a folder or zip with two domains both ways: their validation images, or else all.

    The folders `KINDS` below `out` are written: translations alone, or all three with `roundtrip`.
    """
    train_a, train_b, val_a, val_b = find_domains(locate(data))
    places: dict[Domain, Place] = {"b": val_a or train_a, "a": val_b or train_b}
    written = []
    for to, place in places.items():
        start = KINDS[other_domain(to)]
        folder = out if roundtrip else out / start[1]
        written += _translate(model, list(_images_of(place)), to, folder, roundtrip, training_size)
    return written


def _translate(
    model: Translator, sources: Sequence[Source], to: Domain, out: Path, roundtrip: bool, training_size: bool
) -> list[Path]:
    written: list[Path] = []
    trips = RoundTrips()
    with bombs_are_errors(), ProgressLine("translate", len(sources)) as progress:
        for number, (source, name) in enumerate(zip(sources, _output_names(sources), strict=True)):
            try:
                if roundtrip or training_size:
                    original = _as_trained(model, source, to) if training_size else load_original(source.read())
                    write = partial(_write_round_trip, trips=trips) if roundtrip else _write_translation
                    written += write(model, original, to, out, name)
                elif PurePosixPath(source.name).suffix.lower() in VIDEO_SUFFIXES:
                    written.append(_translate_video(model, source, to, _in(out, name, ".mp4"), progress, number))
                else:
                    written += _translate_picture(model, source, to, out, name)
            except UnreadableImage as error:
                logger.warning("left out %s: %s", source.where, error)
            progress.update(number + 1, source.name)
    if not written:
        raise UserError(f"none of the {len(sources)} images could be read: nothing was translated")
    if roundtrip:
        start, _, back = KINDS[other_domain(to)]
        say(f"round trip {back}: mean |{back} - {start}| = {trips}, on the scale from -1 to 1")
    return written


def _translate_picture(model: Translator, source: Source, to: Domain, out: Path, name: str) -> list[Path]:
    """Translate a picture, or an animation frame by frame."""
    data = source.read()
    picture = open_picture(data)
    if getattr(picture, "n_frames", 1) == 1 or picture.format not in ANIMATED_FORMATS:
        return _write_translation(model, load_original(data), to, out, name)
    frames, durations = [], []
    try:
        for frame in ImageSequence.Iterator(picture):
            frames.append(model.translate_original(from_pillow(frame.copy()), to).to_pillow())
            durations.append(frame.info.get("duration", 100))  # milliseconds; what browsers take where none is given
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadableImage(f"frame {len(frames) + 1} is damaged ({first_line(error)})") from error
    more: dict[str, Any] = {"loop": picture.info["loop"]} if "loop" in picture.info else {}
    if picture.format == "WEBP":
        more["lossless"] = True  # like all that is written here
    if picture.format == "GIF" and any("A" in frame.mode for frame in frames):
        more["disposal"] = 2  # or the frames before would show through
    path = _in(out, name, ANIMATED_FORMATS[picture.format])
    buffer = io.BytesIO()
    frames[0].save(buffer, picture.format, save_all=True, append_images=frames[1:], duration=durations, **more)
    return [_write(buffer.getvalue(), path)]


def _translate_video(
    model: Translator, source: Source, to: Domain, path: Path, progress: ProgressLine, number: int
) -> Path:
    """Translate a video frame by frame, without its sound, into H.264."""
    import imageio.v3 as iio

    try:
        video = iio.imopen(source.read(), "r", plugin="pyav")
        frames: Iterator[np.ndarray] = iter(video.iter())
        first = next(frames)
        rate = float(video.metadata()["fps"])
    except ImportError:
        raise UnreadableImage("videos need pip install 'ganshift[video]'") from None
    except Exception as error:  # every decoder has errors of its own
        raise UnreadableImage(f"no video that can be read ({first_line(error)})") from error

    def translate(pixels: np.ndarray) -> np.ndarray:
        picture = model.translate_original(from_pillow(Image.fromarray(pixels)), to).to_pillow()
        return np.asarray(picture.convert("RGB"))

    height, width = first.shape[:2]
    halves_colour = height % 2 == width % 2 == 0  # what all players can show, but for even sizes only
    _make_folder(path.parent)
    with video, TemporaryDirectory(prefix=".", dir=path.parent) as folder:  # an interrupt leaves no half of a video
        part = Path(folder) / path.name
        with iio.imopen(part, "w", plugin="pyav") as written:
            written.init_video_stream("libx264", fps=rate, pixel_format="yuv420p" if halves_colour else "yuv444p")
            written.write_frame(translate(first))
            for index, frame in enumerate(frames, start=2):
                written.write_frame(translate(frame))
                progress.update(number, f"{source.name}, frame {index:,}")
        part.replace(path)
    return path


def _as_trained(model: Translator, source: Source, to: Domain) -> Original:
    """The picture cropped and scaled to the size of training, in the channels of its domain."""
    channels = model.channels[other_domain(to)]
    return from_pillow(to_picture(fit_picture(load_picture(source.read()), model.size, channels)))


def _write_translation(model: Translator, original: Original, to: Domain, out: Path, name: str) -> list[Path]:
    return [_write(model.translate_original(original, to).to_png(), _in(out, name, ".png"))]


def _write_round_trip(
    model: Translator, original: Original, to: Domain, out: Path, name: str, trips: RoundTrips
) -> list[Path]:
    """Write a picture, its translation and the way back, and note the distance."""
    start = other_domain(to)
    images = original.for_network(model.channels[start])
    there = model.translate(images, to)
    back = model.translate(there, start)  # not rounded in between
    trips.distances.append((back - images).abs().mean().item())
    results = (original, original.given_back(there, model.keeps_mode), original.given_back(back, keep_mode=True))
    return [
        _write(result.to_png(), _in(out / kind, name, ".png"))
        for kind, result in zip(KINDS[start], results, strict=True)
    ]


def _find(images: Sequence[Path]) -> Iterator[Source]:
    for path in images:
        if path.is_file() and path.suffix.lower() != ".zip":
            yield Source(str(path), path.name, partial(Path, path))
        elif not path.exists() and _has_wildcard(str(path)):
            yield from _matching(path)
        else:
            yield from _images_of(locate(path))


def _matching(pattern: Path) -> Iterator[Source]:
    """Files that match a glob, named from its first wildcard on."""
    fixed = Path(*itertools.takewhile(lambda part: not _has_wildcard(part), pattern.parts))
    matching = sorted(fixed.glob(str(pattern.relative_to(fixed))))
    found = [path for path in matching if path.is_file() and _is_translatable(path.name)]
    if not found:
        raise UserError(f"no image matches {pattern}")
    for path in found:
        yield Source(str(path), path.relative_to(fixed).as_posix(), partial(Path, path))


def _has_wildcard(text: str) -> bool:
    return any(character in text for character in "*?[")


def _images_of(place: Place) -> Iterator[Source]:
    names = [name for name in place.names if _is_translatable(name)]
    if not names:
        raise UserError(f"there are no images in {place.where}")
    for name in names:
        yield Source(f"{place.where}/{name}", name, partial(place.read, name))


def _is_translatable(name: str) -> bool:
    return is_image(name) or PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES


def _output_names(sources: Sequence[Source]) -> list[str]:
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
    return folder / (name if name.endswith(suffix) else name + suffix)


def _write(data: bytes, path: Path) -> Path:
    _make_folder(path.parent)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}") from error

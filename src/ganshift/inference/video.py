"""Moving pictures: animations by Pillow, videos by imageio, changed frame by frame."""

import io
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from ..data.images import UnreadableImage, check_pixels, decoding
from ..data.pixel_formats import FormattedPicture, from_pillow
from ..errors import UserError, first_line
from ..files import open_regular, write_atomically

Change = Callable[[FormattedPicture], FormattedPicture]
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm"})
"""Files with these endings are taken for videos."""
MAX_WEBP_SIDE = 16_383
"""Pixels of a frame's side that WebP encodes; a file may say that its canvas is larger."""
MAX_ANIMATION_PIXELS = 2**28
"""Of all frames together, since all of them are in memory before the first is written."""
USUAL_DURATION = 100
"""Milliseconds; what browsers take where none is given."""
MAX_RATE = 1000.0
"""Frames a second."""
MAX_DURATION, MAX_LOOPS = 655_350, 65_535
"""What a GIF can hold, the least of the formats."""
DEMUXERS = "mov,matroska,avi"
"""FFmpeg's readers of `VIDEO_SUFFIXES`. It knows play lists, too, which would open other files, on other machines."""
ANIMATED_FORMATS = {"GIF": ".gif", "WEBP": ".webp", "PNG": ".png"}
"""Formats in which an animation stays an animation, and the endings of their files."""


def is_video(name: str) -> bool:
    """Whether the ending of the name is that of a video."""
    return PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES


def is_animation(picture: Image.Image) -> bool:
    """Whether an open picture has several frames, and not several pages; raises `UnreadableImage`."""
    with decoding(picture):  # frames are counted by reading on
        return picture.format in ANIMATED_FORMATS and getattr(picture, "n_frames", 1) > 1


def translate_animation(picture: Image.Image, change: Change) -> bytes:
    """The file of the changed animation, in its format, with its times and loops."""
    pixels = picture.width * picture.height * int(getattr(picture, "n_frames", 1))
    if pixels > MAX_ANIMATION_PIXELS:
        raise UnreadableImage(
            f"too long: {pixels:,} pixels in all frames are more than {MAX_ANIMATION_PIXELS:,}; make it a video"
        )
    if picture.format == "WEBP" and max(picture.size) > MAX_WEBP_SIDE:
        raise UnreadableImage(f"WebP can be read at {picture.width} x {picture.height} pixels, but not written")
    frames, durations = [], []
    for original, duration in _frames(picture):
        frames.append(change(original).to_pillow())
        durations.append(duration)
    kind = str(picture.format)
    loops = picture.info.get("loop")
    more: dict[str, Any] = {"loop": min(loops, MAX_LOOPS)} if isinstance(loops, int) and loops >= 0 else {}
    if kind == "WEBP":
        more["lossless"] = True  # like every picture that is written
    if kind == "GIF" and any("A" in frame.mode for frame in frames):
        more["disposal"] = 2  # or the frames before would show through
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=durations, **more)
    return buffer.getvalue()


def _frames(picture: Image.Image) -> Iterator[tuple[FormattedPicture, float]]:
    """Each frame and how long it is shown, in milliseconds."""
    size, frames = picture.size, ImageSequence.Iterator(picture)
    for number in itertools.count(1):
        try:
            with decoding(picture):
                if next(frames, None) is None:
                    return
                if picture.size != size:
                    raise UnreadableImage("of another size than those before")
                original = from_pillow(picture.copy())  # a copy is decoded
        except UnreadableImage as error:
            raise UnreadableImage(f"frame {number}: {error}") from error
        shown = picture.info.get("duration", USUAL_DURATION)
        yield original, min(shown, MAX_DURATION) if isinstance(shown, int | float) and shown >= 0 else USUAL_DURATION


def translate_video(source: Path | bytes, path: Path, change: Change, progress: Callable[[int], None]) -> None:
    """Write the changed video as H.264, without sound, into a file that is whole or not there, with its folders.

    `progress` is called with the number of frames done. Raises `UnreadableImage` if imageio cannot read the source.
    """
    import imageio.v3 as iio

    try:
        if isinstance(source, Path):
            open_regular(source).close()
        # its types know none of PyAV's options
        video: Any = iio.imopen(source, "r", plugin="pyav", options={"format_whitelist": DEMUXERS})  # type: ignore[call-overload]
        known = video.properties()
        check_pixels(known.shape[-2], known.shape[-3])
        frames = _same_size(iter(video.iter()))
        first = next(frames)
        rate = float(video.metadata()["fps"])
        if not (math.isfinite(rate) and 0 < rate <= MAX_RATE):
            raise ValueError(f"{rate} frames a second")
    except ImportError:
        raise UnreadableImage("videos need pip install 'ganshift[video]'") from None
    except UnreadableImage:
        raise
    except Exception as error:  # every decoder has errors of its own
        raise UnreadableImage(f"no video that can be read ({first_line(error)})") from error

    def changed(pixels: np.ndarray) -> np.ndarray:
        return np.asarray(change(from_pillow(Image.fromarray(pixels))).to_pillow().convert("RGB"))

    def write(beside: Path) -> None:
        height, width = first.shape[:2]
        halves_colour = height % 2 == width % 2 == 0  # what all players can show, but for even sizes only
        kind: dict[str, Any] = {"extension": ".mp4", "container": "mp4"}  # which the name beside its place hides
        with video, iio.imopen(beside, "w", plugin="pyav", **kind) as written:
            written.init_video_stream("libx264", fps=rate, pixel_format="yuv420p" if halves_colour else "yuv444p")
            written.write_frame(changed(first))
            for index, frame in enumerate(frames, start=2):
                written.write_frame(changed(frame))
                progress(index)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, write, durable=False)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _same_size(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames of a video; `UnreadableImage` where decoding fails or the size changes."""
    shape = None
    for number in itertools.count(1):
        try:
            frame = next(frames)
        except StopIteration:
            return
        except Exception as error:  # every decoder has errors of its own
            raise UnreadableImage(f"frame {number} is damaged ({first_line(error)})") from error
        if shape not in (None, frame.shape):
            raise UnreadableImage(f"frame {number} is of another size than those before")
        shape = frame.shape
        yield frame

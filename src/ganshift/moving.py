"""Moving pictures: animations by Pillow, videos by imageio, changed frame by frame."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from .data.images import UnreadableImage
from .data.originals import Original, from_pillow
from .errors import first_line

Change = Callable[[Original], Original]
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm"})
"""Files with these endings are taken for videos."""
ANIMATED_FORMATS = {"GIF": ".gif", "WEBP": ".webp", "PNG": ".png"}
"""Formats in which an animation stays an animation."""


def is_animation(picture: Image.Image) -> bool:
    """Whether an open picture has several frames, and not several pages."""
    return getattr(picture, "n_frames", 1) > 1 and picture.format in ANIMATED_FORMATS


def translate_animation(picture: Image.Image, change: Change) -> tuple[bytes, str]:
    """The file of the changed animation, with the times and loops of the given one, and its ending."""
    frames, durations = [], []
    try:
        for frame in ImageSequence.Iterator(picture):
            frames.append(change(from_pillow(frame.copy())).to_pillow())
            durations.append(frame.info.get("duration", 100))  # milliseconds; what browsers take where none is given
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadableImage(f"frame {len(frames) + 1} is damaged ({first_line(error)})") from error
    kind = str(picture.format)
    more: dict[str, Any] = {"loop": picture.info["loop"]} if "loop" in picture.info else {}
    if kind == "WEBP":
        more["lossless"] = True  # like every picture that is written
    if kind == "GIF" and any("A" in frame.mode for frame in frames):
        more["disposal"] = 2  # or the frames before would show through
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=durations, **more)
    return buffer.getvalue(), ANIMATED_FORMATS[kind]


def translate_video(source: Path | bytes, path: Path, change: Change, progress: Callable[[int], None]) -> None:
    """Write the changed video as H.264, without sound, into a file that is whole or not there.

    `progress` is called with the number of frames done. Raises `UnreadableImage` if imageio cannot read the source.
    """
    import imageio.v3 as iio

    try:
        video = iio.imopen(source, "r", plugin="pyav")
        frames: Iterator[np.ndarray] = iter(video.iter())
        first = next(frames)
        rate = float(video.metadata()["fps"])
    except ImportError:
        raise UnreadableImage("videos need pip install 'ganshift[video]'") from None
    except Exception as error:  # every decoder has errors of its own
        raise UnreadableImage(f"no video that can be read ({first_line(error)})") from error

    def changed(pixels: np.ndarray) -> np.ndarray:
        return np.asarray(change(from_pillow(Image.fromarray(pixels))).to_pillow().convert("RGB"))

    height, width = first.shape[:2]
    halves_colour = height % 2 == width % 2 == 0  # what all players can show, but for even sizes only
    with video, TemporaryDirectory(prefix=".", dir=path.parent) as folder:  # an interrupt leaves no half of a video
        part = Path(folder) / path.name
        with iio.imopen(part, "w", plugin="pyav") as written:
            written.init_video_stream("libx264", fps=rate, pixel_format="yuv420p" if halves_colour else "yuv444p")
            written.write_frame(changed(first))
            for index, frame in enumerate(frames, start=2):
                written.write_frame(changed(frame))
                progress(index)
        part.replace(path)

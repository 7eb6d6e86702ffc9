"""Moving pictures: animations by Pillow, videos by PyAV, changed frame by frame."""

import io
import itertools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from ..data.images import MAX_PIXELS, UnreadableImage, check_pixels, decoding
from ..data.pixel_formats import FormattedPicture, from_pillow
from ..errors import UserError, first_line
from ..files import open_regular, write_atomically

logger = logging.getLogger("ganshift")
Change = Callable[[FormattedPicture], FormattedPicture]
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm"})
"""Files with these endings are taken for videos."""
MAX_WEBP_SIDE = 16_383
"""Pixels of a frame's side that WebP encodes; a file may say that its canvas is larger."""
MAX_ANIMATION_PIXELS = 2**28
"""Of all frames together, since all of them are in memory before the first is written."""
USUAL_DURATION = 100
"""Milliseconds; what browsers take where none is given."""
HIGH = 720
"""Rows from which on players take the colours of HD (BT.709) where a video does not say which it has."""
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}
"""How a video says what its colours mean (ISO/IEC 23091-4), to the number that FFmpeg's scaler has for that."""
FULL_RANGE = 2
"""Levels from 0 to 255, as pictures have them."""
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


def translate_video(
    source: Path | bytes,
    path: Path,
    change: Change,
    progress: Callable[[int], None],
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Write the changed video as H.264 into an MP4 that is whole or not there, with its folders.

    Frames keep their times and are upright; colours keep their matrix, range and tags; sound is copied. `progress` is
    called with the number of frames done. Raises `UnreadableImage` if the video cannot be read, or says that its frames
    have more than `max_pixels`.
    """
    try:
        import av
    except ImportError:
        raise UnreadableImage("videos need pip install 'ganshift[video]'") from None
    try:
        if isinstance(source, Path):
            open_regular(source).close()
        file = str(source) if isinstance(source, Path) else io.BytesIO(source)
        opened = av.open(file, options={"format_whitelist": DEMUXERS})
        check_pixels(opened.streams.video[0].width, opened.streams.video[0].height, max_pixels)
    except UnreadableImage:
        raise
    except Exception as error:  # every demuxer has errors of its own
        reason = getattr(error, "strerror", None) or first_line(error)  # the former leaves out where the file lies
        raise UnreadableImage(f"no video that can be read ({reason})") from error
    with opened as given:

        def write(beside: Path) -> None:
            with av.open(str(beside), "w", format="mp4") as written:
                _copy(given, written, change, progress)

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, write, durable=False)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _copy(given: Any, written: Any, change: Change, progress: Callable[[int], None]) -> None:
    """Put the changed frames of an open video, and its sound, into another."""
    video = given.streams.video[0]
    video.thread_type = "AUTO"
    sound = {}
    for stream in given.streams.audio:
        if stream.codec_context.name in written.supported_codecs:
            sound[stream] = written.add_stream_from_template(stream)
        else:
            logger.warning("the sound is left out: an MP4 cannot hold %s", stream.codec_context.name)
    made = written.add_stream("libx264", rate=video.average_rate)
    size, last, count = None, None, 0
    early: list[Any] = []
    """Sound that comes before the first frame, from which the encoder learns what it has to write."""
    for packet in given.demux(video, *sound):
        if packet.stream in sound:
            if packet.dts is not None:
                packet.stream = sound[packet.stream]
                early.append(packet)
            while early and last is not None:
                written.mux(early.pop(0))
            continue
        for frame in _decoded(packet, count):
            count += 1
            if size not in (None, (frame.width, frame.height)):
                raise UnreadableImage(f"frame {count} is of another size than those before")
            size = frame.width, frame.height
            changed = _changed(frame, change)
            if last is None:
                _say_what_is_written(made, changed, video)
            changed.time_base, changed.duration = video.time_base, frame.duration
            changed.pts = (last or 0) + 1 if frame.pts is None else frame.pts
            if last is not None:  # or the encoder would end; two frames at one time are seen as one
                changed.pts = max(changed.pts, last + 1)
            last = changed.pts
            written.mux(made.encode(changed))
            progress(count)
    if last is None:
        raise UnreadableImage("no video that can be read (it has no frame)")
    written.mux(made.encode(None))


def _decoded(packet: Any, count: int) -> Any:
    """The frames of a packet; `count` came before."""
    try:
        return packet.decode()
    except Exception as error:  # every decoder has errors of its own
        raise UnreadableImage(f"frame {count + 1} is damaged ({first_line(error)})") from error


def _changed(frame: Any, change: Change) -> Any:
    """A frame of the same colours, turned upright."""
    import av

    matrix = MATRICES.get(frame.colorspace, MATRICES[1 if frame.height >= HIGH else 6])
    shown = frame.reformat(format="rgb24", src_colorspace=matrix, dst_color_range=FULL_RANGE).to_ndarray()
    picture = Image.fromarray(np.ascontiguousarray(np.rot90(shown, frame.rotation // 90)))
    values = np.asarray(change(from_pillow(picture)).to_pillow().convert("RGB"))
    halves_colour = values.shape[0] % 2 == values.shape[1] % 2 == 0  # what all players show, but for even sizes only
    made = av.VideoFrame.from_ndarray(values, format="rgb24").reformat(
        format="yuv420p" if halves_colour else "yuv444p",
        src_color_range=FULL_RANGE,
        dst_colorspace=matrix,
        dst_color_range=frame.color_range,
    )
    made.colorspace, made.color_range = frame.colorspace, frame.color_range
    made.color_primaries, made.color_trc = frame.color_primaries, frame.color_trc
    return made


def _say_what_is_written(made: Any, frame: Any, video: Any) -> None:
    """Set up the encoder for frames like this one, at the times of this video."""
    made.width, made.height, made.pix_fmt = frame.width, frame.height, frame.format.name
    encoder = made.codec_context
    encoder.time_base = video.time_base
    encoder.colorspace, encoder.color_range = frame.colorspace, frame.color_range
    encoder.color_primaries, encoder.color_trc = frame.color_primaries, frame.color_trc

"""Videos keep their times, their way up, what their colours mean, and their sound."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from ganshift.inference.video import translate_video


def times(path):
    """When each frame is shown, in seconds."""
    with av.open(path) as video:
        return [frame.time for frame in video.decode(video=0)]


def write_video(path, frames, pts, time_base, codec="libx264", **colour):
    """Frames at these times; `colour` are tags of the encoder."""
    with av.open(path, "w") as written:
        stream = written.add_stream(codec, rate=25, options={"crf": "1"} if codec == "libx264" else {"b": "1M"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = time_base
        for name, value in colour.items():
            setattr(stream.codec_context, name, value)
        for pixels, at in zip(frames, pts, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if colour:
                frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            frame.pts, frame.time_base = at, time_base
            written.mux(stream.encode(frame))
        written.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pts", "time_base"),
    [
        ("held.mp4", "libx264", [0, 3600, 7200, 277200, 280800], Fraction(1, 90000)),
        ("recorded.webm", "libvpx", [20, 110, 180, 290, 350], Fraction(1, 1000)),
        ("later.mkv", "libx264", [2000, 2040, 2500], Fraction(1, 1000)),
    ],
)
def test_frames_of_videos_keep_their_times(tmp_path, name, codec, pts, time_base):
    """Recordings of screens and browsers have no steady rate."""
    frames = [np.full((48, 64, 3), 40 * number, np.uint8) for number in range(len(pts))]
    given = write_video(tmp_path / name, frames, pts, time_base, codec)
    translate_video(given, tmp_path / "out.mp4", lambda frame: frame, lambda count: None)
    assert times(tmp_path / "out.mp4") == pytest.approx(times(given), abs=1e-3)


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_videos_of_phones_are_turned_upright(tmp_path, quarter_turns):
    """They are stored as the sensor lies, with a matrix that says how to turn them when they are shown."""
    stored = np.zeros((48, 96, 3), np.uint8)
    stored[:24, :48], stored[24:, :48], stored[24:, 48:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    plain = write_video(tmp_path / "plain.mp4", [stored] * 3, [0, 1, 2], Fraction(1, 25))
    data, cosine, sine = bytearray(plain.read_bytes()), *[(0, 1), (-1, 0), (0, -1)][quarter_turns - 1]
    at = data.find(b"tkhd") + 44
    one = 0x10000
    data[at : at + 36] = struct.pack(">9i", cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 0x40000000)
    (tmp_path / "turned.mp4").write_bytes(data)
    translate_video(tmp_path / "turned.mp4", tmp_path / "out.mp4", lambda frame: frame, lambda count: None)
    with av.open(tmp_path / "out.mp4") as video:
        frame = next(video.decode(video=0))
    assert frame.rotation == 0
    expected = np.rot90(stored, -quarter_turns)  # clockwise, as players turn it
    assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - expected).mean() < 12


def test_colours_of_videos_keep_what_they_mean(tmp_path):
    """BT.709 in a small video, where players would otherwise take BT.601, and its tags."""
    colours = np.array([(200, 30, 60), (30, 180, 90), (60, 60, 220), (240, 200, 40)], np.uint8)
    pixels = np.repeat(np.repeat(colours.reshape(2, 2, 3), 16, 0), 16, 1)
    tags = {"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1}
    given = write_video(tmp_path / "in.mp4", [pixels] * 3, [0, 1, 2], Fraction(1, 25), **tags)
    seen = []

    def look(frame):
        seen.append(frame.channels())
        return frame

    translate_video(given, tmp_path / "out.mp4", look, lambda count: None)
    assert np.abs(seen[0].transpose(1, 2, 0).astype(int) - pixels).mean() < 3  # read as BT.601 it would be 9
    with av.open(given) as first, av.open(tmp_path / "out.mp4") as second:
        before, after = next(first.decode(video=0)), next(second.decode(video=0))
    assert {name: getattr(after, name) for name in tags} == tags
    assert np.abs(after.to_ndarray(format="rgb24").astype(int) - before.to_ndarray(format="rgb24")).mean() < 4


@pytest.mark.parametrize(("name", "codec", "kept"), [("in.mkv", "aac", True), ("in.avi", "wmav2", False)])
def test_sound_is_copied_where_an_mp4_can_hold_it(tmp_path, caplog, name, codec, kept):
    given = tmp_path / name
    with av.open(given, "w") as written:
        video, sound = written.add_stream("libx264", rate=25), written.add_stream(codec, rate=44100)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        sound.bit_rate = 64_000
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 20 * number, np.uint8), format="rgb24")
            written.mux(video.encode(frame))
        tone = np.sin(np.arange(44100 // 2) / 20).astype(np.float32)
        for start in range(0, len(tone) - 1024, 1024):
            part = av.AudioFrame.from_ndarray(
                np.stack([tone[start : start + 1024]] * 2), format="fltp", layout="stereo"
            )
            part.rate, part.pts = 44100, start
            written.mux(sound.encode(part))
        written.mux(video.encode(None))
        written.mux(sound.encode(None))
    translate_video(given, tmp_path / "out.mp4", lambda frame: frame, lambda count: None)

    def packets(path):
        with av.open(path) as file:
            return [bytes(packet) for packet in file.demux(audio=0) if packet.size]

    with av.open(tmp_path / "out.mp4") as written:
        assert len(written.streams.audio) == kept
    if kept:
        assert packets(tmp_path / "out.mp4") == packets(given)
    else:
        assert "the sound is left out: an MP4 cannot hold wmav2" in caplog.text

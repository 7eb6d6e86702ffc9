"""Decoding of single pictures: known pixel values per mode, and one kind of refusal for everything broken."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from ganshift.data.images import (
    MAX_PIXELS,
    UnreadableImage,
    bombs_are_errors,
    fit_picture,
    load_picture,
    probe_channels,
)


def encoded(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def huge_png(width: int, height: int) -> bytes:
    """The head of a PNG that claims a size, without the pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b""))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("as_file", [False, True])
def test_every_format_opens(kind, as_file, tmp_path):
    data = encoded(Image.new("RGB", (8, 6), (200, 100, 50)), kind)
    (tmp_path / "picture").write_bytes(data)
    picture = load_picture(tmp_path / "picture" if as_file else data)
    assert (picture.mode, picture.size) == ("RGB", (8, 6))
    np.testing.assert_allclose(np.asarray(picture)[3, 4], (200, 100, 50), atol=6)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    deep = Image.fromarray(np.array([[0, 257, 32768, 65535]], dtype=np.uint16))
    picture = load_picture(encoded(deep, kind))
    assert np.asarray(picture).tolist() == [[0, 1, 128, 255]]
    assert probe_channels(encoded(deep, kind)) == len(picture.getbands()) == 1


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([0, 257, 65535, 70000], np.int32), ([0, 257, 65535, 70000], np.float32), ([0, 1 / 255, 1, 1], np.float32)],
)
def test_long_integers_and_floats(values, dtype):
    """Without a range, as 0.1.0 read them."""
    picture = load_picture(encoded(Image.fromarray(np.array([values], dtype=dtype)), "TIFF"), value_range=None)
    assert np.asarray(picture).tolist() == [[0, 1, 255, 255]]


def test_camera_orientation_moves_the_corner():
    picture = Image.new("L", (4, 2))
    picture.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    upright = load_picture(encoded(picture, "PNG", exif=exif))
    assert upright.size == (2, 4)
    assert np.argwhere(np.asarray(upright)).tolist() == [[0, 1]]


def test_palette_with_and_without_transparency():
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    assert np.asarray(load_picture(encoded(picture))).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    clear = encoded(picture, transparency=1)
    assert np.asarray(load_picture(clear)).tolist() == [[[10, 20, 30, 255], [40, 50, 60, 0]]]
    assert probe_channels(clear) == 4


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, ("L", 255)),
        ("L", 7, ("L", 7)),
        ("LA", (7, 255), ("L", 7)),
        ("LA", (7, 9), ("RGBA", (7, 7, 7, 9))),
        ("RGBA", (1, 2, 3, 255), ("RGB", (1, 2, 3))),
        ("RGBA", (1, 2, 3, 4), ("RGBA", (1, 2, 3, 4))),
    ],
)
def test_modes(mode, colour, expected):
    data = encoded(Image.new(mode, (3, 3), colour))
    picture = load_picture(data)
    assert (picture.mode, picture.getpixel((1, 1))) == expected
    assert probe_channels(data) == len(picture.getbands())


def test_cmyk_becomes_colour():
    picture = load_picture(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"))
    assert (picture.mode, picture.getpixel((4, 4))) == ("RGB", (255, 0, 0))


def test_first_frame_of_an_animation():
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    picture = load_picture(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(np.asarray(picture.convert("L")), 10)


def test_transparency_goes_over_white_unless_kept():
    picture = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    assert fit_picture(picture, 2, 1).tolist() == [[[255, 255], [255, 255]]]
    assert fit_picture(picture, 2, 3).min() == 255
    assert fit_picture(picture, 2, 4).max() == 0
    assert fit_picture(Image.new("RGBA", (2, 2), (0, 0, 0, 128)), 2, 1)[0, 0, 0] == 127


def test_centre_crop_of_a_wide_picture():
    wide = Image.fromarray(np.tile(np.arange(9, dtype=np.uint8), (3, 1)))
    assert fit_picture(wide, 3, 1).tolist() == [[[3, 4, 5]] * 3]
    assert fit_picture(wide.transpose(Image.Transpose.ROTATE_270), 3, 1)[0, :, 0].tolist() == [3, 4, 5]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_what_covers_the_size_exactly_is_cut_and_not_resampled(mode):
    noise = np.random.default_rng(0).integers(0, 256, (32, 50) + (3,) * (mode == "RGB"), dtype=np.uint8)
    for turned in (False, True):
        pixels = noise.swapaxes(0, 1) if turned else noise
        size = (40, 32) if turned else (32, 40)
        cut = pixels[5:45] if turned else pixels[:, 5:45]
        fitted = fit_picture(Image.fromarray(pixels), size, len(mode))
        np.testing.assert_array_equal(fitted, np.atleast_3d(cut).transpose(2, 0, 1))
        np.testing.assert_array_equal(fit_picture(Image.fromarray(cut), size, len(mode)), fitted)


@pytest.mark.parametrize(("width", "height"), [(100, 37), (37, 100), (200, 133), (24, 16), (12, 8)])
def test_oblong_boxes_are_largest_centred_and_not_distorted(width, height):
    """Slopes keep their steepness in both directions, up to the scale at which the picture just covers 24 x 16."""
    scale = min(width / 24, height / 16)
    for axis, (inside, outside) in enumerate(((16, height), (24, width))):
        slope = np.arange(outside, dtype=np.uint8)
        picture = np.broadcast_to(slope[:, None] if axis == 0 else slope, (height, width))
        (fitted,) = fit_picture(Image.fromarray(picture), (16, 24), 1)
        assert fitted.shape == (16, 24)
        start = int(outside - scale * inside) // 2
        expected = np.clip(start + scale * (np.arange(inside) + 0.5) - 0.5, 0, outside - 1)
        along = fitted[:, 12] if axis == 0 else fitted[8]
        np.testing.assert_allclose(along[1:-1], expected[1:-1], atol=1)  # the picture's edge bends the ends


def test_shrinking_averages():
    """A checkerboard becomes gray; picking pixels would leave it black or white."""
    board = Image.fromarray((np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8))
    np.testing.assert_allclose(fit_picture(board, 4, 1), 127.5, atol=2)


@pytest.mark.parametrize(("mode", "channels"), [("L", 3), ("RGB", 1), ("L", 4), ("RGB", 4)])
def test_channel_conversions(mode, channels):
    fitted = fit_picture(Image.new(mode, (5, 4), "white"), 4, channels)
    assert fitted.shape == (channels, 4, 4)
    assert fitted.min() == 255


def noise(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), kind)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"no picture at all", "not a JPEG, PNG"),
        (noise("JPEG")[:-400], "truncated"),
        (noise("PNG")[:-400], "truncated"),
        (noise("WEBP")[:100], "damaged|truncated|not a"),
        (huge_png(MAX_PIXELS // 1000 + 1, 1000), "too large"),
        (huge_png(100_000, 100_000), "too large"),
    ],
)
def test_broken_files_are_refused_with_a_reason(data, reason, tmp_path):
    with pytest.raises(UnreadableImage, match=reason):
        load_picture(data)
    (tmp_path / "broken.png").write_bytes(data)
    with pytest.raises(UnreadableImage, match=reason):
        load_picture(tmp_path / "broken.png")


def progressive(size: int, more: int) -> bytes:
    """A JPEG whose last scan comes so many times more."""
    data = encoded(Image.new("L", (size, size), 90), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * more + data[-2:]


def test_a_jpeg_of_many_scans_is_refused_before_they_are_decoded():
    for size, more, most in ((64, 100, 100), (8936, 20, 20)):
        data = progressive(size, more)
        assert data.count(b"\xff\xda") > most
        with pytest.raises(UnreadableImage, match=f"more than the {most} that are decoded"):
            load_picture(data)
    assert load_picture(progressive(64, 90)).size == (64, 64)
    filmed = encoded(Image.new("L", (64, 64)), "JPEG", comment=b"\xff\xda" * 200) + b"\xff\xda" * 200
    assert load_picture(filmed).size == (64, 64)  # as telephones put a film behind the picture


def test_a_large_jpeg_is_reduced_while_decoding():
    slope = Image.fromarray(np.tile(np.linspace(0, 255, 256).astype(np.uint8), (320, 1)))
    data = encoded(slope, "JPEG", quality=95)
    small = load_picture(data, for_size=16)
    assert small.size == (32, 40)
    expected = fit_picture(load_picture(data), 16, 1).astype(float)
    np.testing.assert_allclose(fit_picture(small, 16, 1), expected, atol=2)
    assert load_picture(data, for_size=200).size == (256, 320)


@pytest.mark.parametrize(
    ("stored", "orientation", "upright"),
    [
        ((960, 640), 1, (240, 160)),  # quartered: 160 x 80 are needed
        ((960, 320), 1, (240, 80)),
        ((640, 960), 3, (160, 240)),
        ((960, 320), 6, (160, 480)),  # halved: a quarter of its width, 80, would be too narrow once it is upright
        ((320, 960), 8, (240, 80)),
    ],
)
def test_a_reduced_jpeg_is_twice_as_high_and_as_wide_as_needed_once_upright(stored, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.new("L", stored), "JPEG", exif=exif)
    assert load_picture(data, for_size=(40, 80)).size == upright


def test_nothing_global_is_changed():
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    with bombs_are_errors(), pytest.raises(UnreadableImage, match="too large"):
        load_picture(huge_png(100_000, 1000))
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == before == (before[0], False)


@pytest.mark.parametrize("cut", range(0, 900, 37))
def test_damaged_bytes_never_raise_anything_else(cut):
    data = bytearray(noise("JPEG"))
    data[cut : cut + 20] = bytes(20)
    with contextlib.suppress(UnreadableImage):
        load_picture(bytes(data))

"""What the first bytes of ordinary pictures say is what a decoder finds; all else is left to it."""

import io
import struct
import zlib

import numpy as np
import pytest
from corpus import encode, malformed, noise, of_sides, pictures, with_chunk
from PIL import Image

from ganshift.data.heads import ordinary_channels
from ganshift.data.images import (
    GRAY_MODES,
    UnreadableImage,
    bombs_are_errors,
    is_deep,
    may_be_transparent,
    open_picture,
)

ORDINARY = {
    "png-1": encode(noise("1"), "PNG"),
    "png-L": encode(noise("L"), "PNG"),
    "png-P": encode(noise("P"), "PNG"),
    "png-RGB": encode(noise("RGB"), "PNG", dpi=(72, 72)),
    "jpg-L": encode(noise("L"), "JPEG"),
    "jpg-RGB": encode(noise("RGB"), "JPEG", comment=b"of no matter", progressive=True),
    "jpg-RGB-dpi": encode(noise("RGB"), "JPEG", dpi=(300, 300), subsampling=0, quality=100),
}


def decoders_channels(data):
    """What a decoder finds in the head; None for what may be transparent, is deep, or is refused."""
    with bombs_are_errors():
        try:
            picture = open_picture(data)
        except UnreadableImage:
            return None
    if may_be_transparent(picture) or is_deep(picture):
        return None
    return 1 if picture.mode in GRAY_MODES else 3


def assert_no_other_answer(data, what):
    assert ordinary_channels(data) in (None, decoders_channels(data)), what


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_pictures_need_no_decoder(name):
    assert ordinary_channels(ORDINARY[name]) == decoders_channels(ORDINARY[name]) in (1, 3)
    assert ordinary_channels(ORDINARY[name][:10]) is None


@pytest.mark.parametrize("mode", ["LA", "RGBA", "I;16"])
def test_what_may_be_transparent_or_is_deep_is_left_to_a_decoder(mode):
    assert ordinary_channels(encode(noise(mode), "PNG")) is None


def test_a_palette_with_transparency_is_left_to_a_decoder():
    assert ordinary_channels(encode(noise("P"), "PNG", transparency=3)) is None
    assert ordinary_channels(encode(noise("RGB"), "PNG", transparency=(1, 2, 3))) is None


def test_whole_and_malformed_pictures():
    sides = [
        of_sides(width, height) for width, height in ((0, 1), (1, 0), (8192, 8193), (1, 2_000_000), (2**31, 2**31))
    ]
    files = [pictures(), malformed(), *sides]
    for name, data in (found for each in files for found in each.items()):
        assert_no_other_answer(data, name)


@pytest.mark.parametrize(
    "kind", [b"IHDR", b"PLTE", b"gAMA", b"pHYs", b"sRGB", b"cHRM", b"iCCP", b"tEXt", b"tRNS", b"acTL"]
)
def test_further_chunks(kind):
    for content in (b"", b"\0", bytes(4), bytes(8), bytes(9), b"\xff" * 13, bytes(32)):
        assert_no_other_answer(with_chunk(kind, content), (kind, content))


@pytest.mark.parametrize("name", ORDINARY)
def test_changed_bytes(name):
    """Any byte of the head in turn, with and without the checksum set right; and bytes taken away or put in between."""
    whole = ORDINARY[name]
    random = np.random.default_rng(7)
    for index in range(2, min(len(whole), 700)):
        for value in {0, 1, 2, 255, whole[index] ^ 1, int(random.integers(256))}:
            changed = whole[:index] + bytes([value]) + whole[index + 1 :]
            assert_no_other_answer(changed, (index, value))
            if index < 29:
                right = changed[:29] + struct.pack(">I", zlib.crc32(changed[12:29])) + changed[33:]
                assert_no_other_answer(right, (index, value))
        assert_no_other_answer(whole[:index], index)
        assert_no_other_answer(whole[:index] + whole[index + 1 :], index)
        assert_no_other_answer(whole[:index] + b"\xff" + whole[index:], index)


def test_every_way_of_writing_a_jpeg():
    for mode in ("L", "RGB", "CMYK"):
        for options in (
            {},
            {"progressive": True},
            {"optimize": True},
            {"exif": b"Exif\0\0"},
            {"icc_profile": b"x" * 200},
        ):
            buffer = io.BytesIO()
            Image.new(mode, (9, 5)).save(buffer, "JPEG", **options)
            assert_no_other_answer(buffer.getvalue(), (mode, options))

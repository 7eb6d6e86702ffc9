"""Pictures that come back as they were: every mode, depth and orientation."""

import io

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ganshift.data.images import UnreadableImage, load_picture, to_pixels, with_channels
from ganshift.data.pixel_formats import FormattedPicture, from_pillow, load_formatted


def random_values(channels, dtype=np.uint8, seed=0, height=5, width=7):
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, (channels, height, width), dtype=dtype, endpoint=True)


def encoded(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_modes_of_pillow_come_back(mode):
    bands = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "I;16": 1}[mode]
    values = random_values(bands, np.uint16 if mode == "I;16" else np.uint8)
    picture = Image.fromarray(values[0] if bands == 1 else values.transpose(1, 2, 0), None)
    assert picture.mode == mode
    back = load_formatted(encoded(picture)).to_pillow()
    assert back.mode == mode
    assert back.tobytes() == picture.tobytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_png_files_come_back(channels, has_alpha, dtype):
    original = FormattedPicture(
        random_values(channels, dtype), random_values(1, dtype, seed=1)[0] if has_alpha else None
    )
    back = load_formatted(original.to_png())
    np.testing.assert_array_equal(back.colours, original.colours)
    assert back.colours.dtype == dtype
    assert (back.alpha is None) == (not has_alpha)
    if has_alpha:
        np.testing.assert_array_equal(back.alpha, original.alpha)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_deep_tiff(channels):
    values = random_values(channels, np.uint16)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values.transpose(1, 2, 0).squeeze(), photometric="minisblack" if channels == 1 else "rgb")
    original = load_formatted(buffer.getvalue())
    np.testing.assert_array_equal(original.colours, values[:3])
    if channels == 4:
        np.testing.assert_array_equal(original.alpha, values[3])


def test_planar_tiff_keeps_its_bits():
    values, buffer = random_values(3, np.uint16), io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="rgb", planarconfig="separate")
    original = load_formatted(buffer.getvalue())
    np.testing.assert_array_equal(original.colours, values)
    assert original.to_pillow().mode == "RGB"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_pictures_are_turned_upright_like_others(orientation):
    values = random_values(3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    shallow = load_formatted(encoded(Image.fromarray(values.transpose(1, 2, 0)), exif=exif))
    buffer = io.BytesIO()
    deep_values = values.transpose(1, 2, 0).astype(np.uint16) * 257
    tifffile.imwrite(buffer, deep_values, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    deep = load_formatted(buffer.getvalue())
    assert deep.colours.dtype == np.uint16
    np.testing.assert_array_equal(deep.colours // 257, shallow.colours)
    assert shallow.colours.shape == ((3, 5, 7) if orientation < 5 else (3, 7, 5))


def test_other_modes_become_plain():
    colour = Image.fromarray(random_values(3).transpose(1, 2, 0))
    assert load_formatted(encoded(colour.convert("CMYK"), "TIFF")).colours.shape == (3, 5, 7)
    assert load_formatted(encoded(colour.convert("1"))).to_pillow().mode == "L"
    palette = load_formatted(encoded(colour.convert("P"), transparency=0))
    assert palette.colours.shape == (3, 5, 7)
    assert palette.alpha is not None
    assert from_pillow(colour.convert("L").convert("LA").convert("La")).to_pillow().mode == "LA"
    deep = from_pillow(Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32)))
    assert deep.colours.tolist() == [[[0, 32768, 65535]]]


def test_an_opaque_alpha_channel_is_still_one():
    opaque = Image.new("RGBA", (3, 2), (1, 2, 3, 255))
    assert load_formatted(encoded(opaque)).to_pillow().mode == "RGBA"


@pytest.mark.parametrize("data", [b"", b"no picture", encoded(Image.new("RGB", (9, 9), "red"))[:45]])
def test_broken_files(data):
    with pytest.raises(UnreadableImage):
        load_formatted(data)


def test_a_network_sees_what_training_shows():
    """Gray of colour, and colour of gray, equal to the last level to what a data set gives."""
    for picture in (Image.fromarray(random_values(3).transpose(1, 2, 0)), Image.fromarray(random_values(1)[0])):
        for channels in (1, 3, 4):
            trained = to_pixels(with_channels(load_picture(encoded(picture)), channels))
            seen = from_pillow(picture).for_network(channels)
            np.testing.assert_array_equal(((seen[0] + 1) * 127.5).round().numpy(), trained)


def test_range_of_what_a_network_sees():
    for dtype in (np.uint8, np.uint16):
        values = np.array([[[0, np.iinfo(dtype).max]]], dtype=dtype)
        assert FormattedPicture(values).for_network(1).tolist() == [[[[-1.0, 1.0]]]]


def test_what_cannot_be_seen_is_white():
    values = np.array([[[10, 20, 30]]], dtype=np.uint8)
    original = FormattedPicture(values, np.array([[0, 1, 255]], dtype=np.uint8))
    np.testing.assert_allclose((original.for_network(1)[0, 0, 0] + 1) * 127.5, [255, 20, 30], atol=1e-4)
    np.testing.assert_allclose((original.for_network(4)[0, 3, 0] + 1) * 127.5, [0, 1, 255], atol=1e-4)


@given(st.sampled_from([np.uint8, np.uint16]), st.sampled_from([1, 3]), st.booleans(), st.integers(0, 99))
def test_what_is_not_changed_comes_back(dtype, channels, has_alpha, seed):
    alpha = random_values(1, dtype, seed + 1)[0].clip(1) if has_alpha else None
    original = FormattedPicture(random_values(channels, dtype, seed), alpha)
    back = original.given_back(original.for_network(channels), keep_mode=True)
    assert back.to_png() == original.to_png()
    if channels == 1:  # colour of gray, and gray again
        assert original.given_back(original.for_network(3), keep_mode=True).to_png() == original.to_png()


def test_modes_that_are_kept_and_not():
    gray = FormattedPicture(random_values(1), random_values(1, seed=1)[0])
    colour = torch.zeros(1, 3, 5, 7)
    assert gray.given_back(colour, keep_mode=True).to_pillow().mode == "LA"
    assert gray.given_back(colour, keep_mode=False).to_pillow().mode == "RGBA"
    assert FormattedPicture(random_values(3)).given_back(colour[:, :1], keep_mode=False).to_pillow().mode == "L"
    assert FormattedPicture(random_values(3)).given_back(colour[:, :1], keep_mode=True).to_pillow().mode == "RGB"


def test_opacity_of_the_network():
    """A network for RGBA decides on the opacity; without a place for it, what is transparent shows white."""
    seen = torch.tensor([-1.0, -1.0, -1.0, 0.0]).reshape(1, 4, 1, 1)
    with_alpha = FormattedPicture(random_values(3, height=1, width=1), random_values(1, height=1, width=1)[0])
    assert with_alpha.given_back(seen, keep_mode=True).alpha.tolist() == [[128]]
    without = FormattedPicture(random_values(3, height=1, width=1)).given_back(seen, keep_mode=True)
    assert (without.alpha, without.colours.ravel().tolist()) == (None, [127, 127, 127])


def test_deep_colour_in_pillow_has_eight_bits():
    original = FormattedPicture(np.full((3, 1, 1), 257 * 77, dtype=np.uint16))
    assert original.to_pillow().getpixel((0, 0)) == (77, 77, 77)

"""Ranges of values: found, given, kept; and the files of more than 8 bits a value that they are for."""

import io
import logging

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from imagecodecs import png_encode
from PIL import Image

from ganshift.data.deep_files import open_deep, page_numbers
from ganshift.data.images import UnreadableImage, load_picture, probe_channels
from ganshift.data.open import open_domains, open_held_out, open_images
from ganshift.data.pixel_formats import FormattedPicture, from_array, load_formatted, to_array
from ganshift.data.value_range import ValueRange, parse_range, range_of_values, ranges_to_json, stored_range
from ganshift.errors import UserError

RAMP = np.arange(64).reshape(8, 8)


def tiff(values, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer, values, **{"photometric": "rgb" if values.shape[-1] in (3, 4) else "minisblack", **options}
    )
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.arange(4096, dtype=np.uint16), (4, 4091)),  # 12 bits in 16: percentiles 0.1 and 99.9
        (np.arange(65536, dtype=np.uint16), (0, 65535)),  # most of the type: the whole
        (np.arange(-1000, 1001).astype(np.int16), (-998, 998)),
        (np.linspace(0, 1, 1001, dtype=np.float32), (0.001, 0.999)),
        (np.array([np.nan, np.inf, -1e6] + [5.0] * 9997, dtype=np.float32), (5, 6)),
        (np.full(9, np.nan, dtype=np.float32), (0, 1)),
    ],
)
def test_what_values_use_of_their_type(values, expected):
    found = range_of_values([values])
    assert (found.low, found.high) == expected
    assert found.dtype == values.dtype.name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0,4095", ValueRange(0, 4095)),
        ("hu:-1000,1000", ValueRange(-1000, 1000, unit="hu")),
        (" metres: -1.5 , 2e3", ValueRange(-1.5, 2000, unit="metres")),
    ],
)
def test_ranges_as_they_are_given(text, expected):
    assert parse_range(text) == expected
    assert parse_range(str(expected)) == expected


@pytest.mark.parametrize(
    "text", ["", "5", "1,2,3", "2,1", "1,1", "a,b", "nan,1", "0,inf", "hu:", "-1e308,1e308:", "::0,1"]
)
def test_what_is_no_range_is_refused(text):
    with pytest.raises(UserError, match=r"range_a must be LOW,HIGH or UNIT:LOW,HIGH"):
        parse_range(text, "range_a")


@given(st.sampled_from(["uint16", "int16", "int32", "float32"]), st.integers(-30000, 30000), st.integers(1, 60000))
def test_values_come_back_in_their_units(kind, low, span):
    low = max(low, 0) if kind == "uint16" else low
    span = min(span, 65535 - low) if kind == "uint16" else min(span, 32767 - low) if kind == "int16" else span
    value_range = ValueRange(low, low + span, kind)
    values = np.linspace(low, low + span, 50).round().astype(kind)
    back = value_range.values(value_range.levels(values))
    assert back.dtype == np.dtype(kind)
    assert np.abs(back.astype(float) - values).max() <= (0 if kind != "float32" else span / 65535)


def test_what_is_stored_comes_back_and_damage_is_said():
    value_range = ValueRange(-1000, 1000, "int16", "hu")
    config = ranges_to_json({"a": value_range, "b": None})
    assert stored_range(config, "a") == value_range
    assert stored_range(config, "b") is stored_range({}, "a") is None
    assert ranges_to_json({"images": None}) == {}
    for damage in (
        *({"low": value} for value in ("x", 2000, float("nan"), None)),
        *({"type": value} for value in ("complex64", "no", None)),
    ):
        with pytest.raises(UserError, match="damaged"):
            stored_range({"value_ranges": {"a": {**config["value_ranges"]["a"], **damage}}}, "a")


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (RAMP * 60 + 100, np.uint16),
        (RAMP * 30 - 1000, np.int16),
        (RAMP * 12.5 + 400, np.float32),
        (RAMP / 4, np.float64),
    ],
)
def test_a_file_alone_is_not_black(values, dtype):
    values = values.astype(dtype)
    data = png_encode(values) if dtype == np.uint16 else tiff(values)
    seen = np.asarray(load_picture(data))
    assert (seen.min(), seen.max()) == (0, 255)
    assert len(np.unique(seen)) >= 60
    assert probe_channels(data) == 1


def test_the_range_says_what_is_black_and_white():
    data = tiff(np.array([[-2000, -1000, 0, 1000, 2000]], dtype=np.int16))
    window = ValueRange(-1000, 1000, "int16", "hu")
    assert np.asarray(load_picture(data, value_range=window)).tolist() == [[0, 0, 128, 255, 255]]
    seen = load_formatted(data, window).for_network(1)
    np.testing.assert_allclose(seen.ravel(), [-1, -1, 0, 1, 1], atol=2e-5)
    eight_bits = Image.fromarray(np.array([[0, 128, 255]], dtype=np.uint8))
    buffer = io.BytesIO()
    eight_bits.save(buffer, "PNG")
    assert np.asarray(load_picture(buffer.getvalue(), value_range=window)).tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_float_colour(channels, planar):
    values = np.random.default_rng(0).random((6, 5, channels), np.float32)
    stored = values if planar == "contig" else values.transpose(2, 0, 1)
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    data = tiff(np.ascontiguousarray(stored), photometric="rgb", planarconfig=planar, **extra)
    found = load_formatted(data)
    np.testing.assert_allclose(found.channels().transpose(1, 2, 0) / 65535, values, atol=1e-5)
    picture = load_picture(data, value_range=ValueRange(0, 1, "float32"))
    np.testing.assert_allclose(np.asarray(picture) / 255, values, atol=0.003)
    assert probe_channels(data) == channels


def test_the_file_says_which_channel_is_opacity():
    values = np.random.default_rng(0).integers(0, 65536, (6, 5, 4), dtype=np.uint16)
    infrared = load_formatted(tiff(values, photometric="rgb", extrasamples=["unspecified"]))
    assert infrared.alpha is None
    np.testing.assert_array_equal(infrared.colours, values[..., :3].transpose(2, 0, 1))
    opacity = load_formatted(tiff(values, photometric="rgb", extrasamples=["unassalpha"]))
    np.testing.assert_array_equal(opacity.alpha, values[..., 3])
    black, white = np.zeros((2, 2), np.uint16), np.full((2, 2), 65535, np.uint16)
    premultiplied = np.dstack([white // 2, black, black, white // 2])
    found = load_formatted(tiff(premultiplied, photometric="rgb", extrasamples=["assocalpha"]))
    assert found.channels()[:, 0, 0].tolist() == [65535, 0, 0, 32767]


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [
        ((8, 8, 13), np.uint16, "a TIFF of 13 channels of uint16"),
        ((8, 8, 5), np.uint8, "a TIFF of 5 channels of uint8"),
        ((8, 8, 2), np.uint16, "a TIFF of 2 channels of uint16"),
        ((8, 8), np.complex64, "a TIFF of 1 channel of complex64"),
    ],
)
def test_what_is_not_read_is_called_what_it_is(shape, dtype, reason, capfd):
    extra = {"extrasamples": [0] * (shape[2] - 1), "planarconfig": "contig"} if len(shape) == 3 else {}
    data = tiff(np.zeros(shape, dtype), photometric="minisblack", **extra)
    for read in (load_picture, load_formatted, probe_channels):
        with pytest.raises(UnreadableImage, match=reason):
            read(data)
    assert capfd.readouterr().err == ""


def test_white_can_be_zero():
    data = tiff(np.array([[0, 65535]], dtype=np.uint16), photometric="miniswhite")
    assert load_formatted(data).colours.tolist() == [[[65535, 0]]]


def test_pages_are_told_from_smaller_copies():
    assert page_numbers(tiff(np.zeros((5, 8, 8), np.uint8))) == [0, 1, 2, 3, 4]
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(np.zeros((8, 8), np.uint8), photometric="minisblack")
        writer.write(np.zeros((4, 4), np.uint8), photometric="minisblack", subfiletype=1)
        writer.write(np.zeros((8, 8), np.uint8), photometric="minisblack")
    assert page_numbers(buffer.getvalue()) == [0, 2]
    assert page_numbers(b"II*\0damaged") == page_numbers(b"no picture") == [0]
    assert open_deep(b"II*\0damaged") is None


@pytest.mark.parametrize("budget", [1e9, 0])
@pytest.mark.parametrize("kind", ["bits12", "float255"])
def test_sets_of_deep_files_are_not_black(kind, budget, tmp_path, caplog):
    for index in range(20):
        values = np.random.default_rng(index).integers(0, 256, (8, 8))
        data = png_encode((values * 16).astype(np.uint16)) if kind == "bits12" else tiff(values.astype(np.float32))
        (tmp_path / f"{index}.{'png' if kind == 'bits12' else 'tif'}").write_bytes(data)
    images = open_images(tmp_path, 8, memory_budget_bytes=budget)
    assert 110 < images.read(range(20)).float().mean() < 145
    assert images.value_range.dtype == ("uint16" if kind == "bits12" else "float32")
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        dark = open_images(tmp_path, 8, memory_budget_bytes=budget, value_range=None)
    assert dark.read(range(20)).max() <= 16
    assert "nearly black" in caplog.text


def test_a_given_range_gets_the_type_of_the_files(tmp_path, caplog):
    (tmp_path / "a.tif").write_bytes(tiff((RAMP * 10).astype(np.int16)))
    images = open_images(tmp_path, 8, value_range=parse_range("hu:0,1260"))
    assert images.value_range == ValueRange(0, 1260, "int16", "hu")
    assert images.read([0]).max() == 128
    Image.fromarray(RAMP.astype(np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.tif").unlink()
    assert open_images(tmp_path, 8, value_range=parse_range("0,9")).value_range is None
    assert "the range 0,9 is ignored" in caplog.text


def test_held_out_images_are_read_like_those_of_training(tmp_path):
    for name, factor in (
        ("train/A", 60),
        ("train/B", 600),
        ("val/A", 30),
        ("val/B", 300),
        ("train/x", 1),
        ("test/x", 1),
    ):
        folder = tmp_path / ("set" if name.endswith("x") else "pair") / name
        folder.mkdir(parents=True)
        for index in range(2):
            (folder / f"{index}.png").write_bytes(png_encode((RAMP * factor).astype(np.uint16)))
    domains = open_domains(tmp_path / "pair", None, None, 8)
    assert domains.val_a.value_range == domains.train_a.value_range
    assert domains.val_b.value_range == domains.train_b.value_range != domains.train_a.value_range
    assert domains.val_a.read([0]).max() in (127, 128)
    held_out = open_held_out(tmp_path / "set", 8, value_range=ValueRange(0, 126, "uint16"))
    assert held_out.read([0]).max() in (127, 128)


def test_pages_that_are_not_used_are_said(tmp_path, caplog):
    (tmp_path / "stack.tif").write_bytes(tiff(np.random.default_rng(0).integers(0, 256, (5, 8, 8), np.uint8)))
    open_images(tmp_path, 8)
    assert "1 of 1 files have several pages; only the first is used (stack.tif)" in caplog.text


@pytest.mark.parametrize("kind", ["uint16", "int16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_files_hold_what_a_range_stands_for(kind, channels):
    value_range = ValueRange(10, 2010, kind)
    levels = np.random.default_rng(0).integers(0, 65536, (channels, 5, 6), dtype=np.uint16)
    picture = FormattedPicture(
        levels if channels in (1, 3) else levels[:-1], None if channels in (1, 3) else levels[-1], value_range
    )
    data = picture.to_png() if kind == "uint16" else picture.to_tiff()
    assert picture.ending == (".png" if kind == "uint16" else ".tif")
    back = load_formatted(data, value_range)
    assert np.abs(back.channels().astype(float) - picture.channels()).max() <= (0 if kind == "uint16" else 1)
    assert back.channels().dtype == np.dtype(kind)
    if kind != "uint16":
        np.testing.assert_array_equal(
            tifffile.imread(io.BytesIO(data)).reshape(5, 6, channels).transpose(2, 0, 1), picture.channels()
        )


def test_arrays_of_a_domain_with_a_range():
    value_range = ValueRange(-1000, 1000, "int16", "hu")
    array = np.array([[-1000, 0, 1000]], dtype=np.int16)
    found = from_array(array, value_range)
    assert found.colours.tolist() == [[[0, 32768, 65535]]]
    np.testing.assert_array_equal(to_array(found, array), array)
    assert from_array(array.astype(np.float64), value_range).colours.tolist() == [[[0, 32768, 65535]]]
    assert from_array(np.array([[7]], np.uint8), value_range).colours.tolist() == [[[7]]]
    assert found.to_pillow().mode == "I"
    assert np.asarray(found.to_pillow()).tolist() == [[-1000, 0, 1000]]
    assert np.asarray(found.in_eight_bits().to_pillow()).tolist() == [[0, 128, 255]]

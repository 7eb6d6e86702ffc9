"""ICC profiles: colours that a file means come out in sRGB at every door, and what is sRGB already is left alone."""

import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from ganshift.data.images import load_picture
from ganshift.data.pixel_formats import from_pillow, load_formatted

ADOBE = bytes(imagecodecs.cms_profile("adobergb"))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
VALUES = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)


def encoded(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_wide_colours_become_srgb(kind):
    """Adobe RGB's (200, 90, 60) is a red that sRGB writes as (229, 90, 56), to rounding."""
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.new("RGB", (4, 3), (200, 90, 60)), kind, icc_profile=ADOBE, **options)
    assert np.abs(np.array(load_picture(data).getpixel((0, 0))) - (229, 90, 56)).max() <= 1
    formatted = load_formatted(data)
    assert np.abs(formatted.colours[:, 0, 0].astype(int) - (229, 90, 56)).max() <= 1
    handed_in = from_pillow(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(handed_in.colours, formatted.colours)
    assert "icc_profile" not in Image.open(io.BytesIO(formatted.to_png())).info


@pytest.mark.parametrize("profile", [SRGB, bytes(imagecodecs.cms_profile("srgb")), b"", b"no profile", ADOBE[:200]])
def test_srgb_and_broken_profiles_change_nothing(profile):
    data = encoded(Image.fromarray(VALUES), icc_profile=profile)
    np.testing.assert_array_equal(np.asarray(load_picture(data)), VALUES)
    np.testing.assert_array_equal(load_formatted(data).colours, VALUES.transpose(2, 0, 1))


def test_a_profile_of_other_channels_changes_nothing():
    gray = VALUES[..., 0]
    np.testing.assert_array_equal(np.asarray(load_picture(encoded(Image.fromarray(gray), icc_profile=ADOBE))), gray)


def test_opacity_and_palettes():
    opacity = VALUES[..., :1] // 2
    clear = encoded(Image.fromarray(np.concatenate([VALUES, opacity], axis=2)), icc_profile=ADOBE)
    plain = encoded(Image.fromarray(VALUES), icc_profile=ADOBE)
    found = load_formatted(clear)
    np.testing.assert_array_equal(found.alpha, opacity[..., 0])
    np.testing.assert_array_equal(found.colours, load_formatted(plain).colours)
    palette = encoded(Image.new("RGB", (4, 3), (200, 90, 60)).quantize(2), icc_profile=ADOBE)
    assert load_picture(palette).getpixel((0, 0)) == load_picture(
        encoded(Image.new("RGB", (1, 1), (200, 90, 60)), icc_profile=ADOBE)
    ).getpixel((0, 0))


def test_gray_with_a_gamma_of_its_own():
    """A middle gray of linear light, 128 of 255, is 188 of sRGB."""
    linear = bytes(imagecodecs.cms_profile("gray", gamma=1.0))
    picture = load_picture(encoded(Image.new("L", (2, 2), 128), icc_profile=linear))
    assert picture.mode == "L"
    assert abs(picture.getpixel((0, 0)) - 188) <= 1
    with_opacity = load_formatted(encoded(Image.new("LA", (2, 2), (128, 9)), icc_profile=linear))
    assert abs(int(with_opacity.colours[0, 0, 0]) - 188) <= 1
    assert with_opacity.alpha[0, 0] == 9

"""What may be given to a translator and to a generator, and what comes back for it."""

import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from ganshift import Generator, Translator, UserError
from ganshift.inference.latents import draw_latents

SHARED = {"width": 4, "levels": 5, "size": 32}


def new_translator(channels_a=3, channels_b=1):
    torch.manual_seed(0)
    return Translator(
        {"in_channels": channels_a, "out_channels": channels_b, **SHARED},
        {"in_channels": channels_b, "out_channels": channels_a, **SHARED},
    )


@pytest.fixture(scope="module")
def translator():
    return new_translator()


@pytest.fixture(scope="module")
def photo():
    """Uneven sides, so that a swap of height and width would show."""
    return np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


def test_arrays_are_translated_as_the_same_pictures_are(translator, photo):
    expected = np.asarray(translator(Image.fromarray(photo)))
    assert np.array_equal(translator(photo)[..., 0], expected)
    assert translator(photo).dtype == np.uint8
    deep = translator(photo.astype(np.uint16) * 257)
    assert (deep.dtype, deep.shape) == (np.uint16, (40, 56, 1))
    assert np.abs(deep[..., 0] / 257 - expected).max() <= 0.51
    for kind in (np.float16, np.float32, np.float64):
        translated = translator((photo / 255).astype(kind))
        assert (translated.dtype, translated.shape) == (kind, (40, 56, 1))
        assert np.abs(translated[..., 0] * 255.0 - expected).max() <= (6 if kind == np.float16 else 0.51)


def test_a_pillow_picture_is_seen_as_its_file_is(translator, tmp_path):
    """Its camera's orientation and its ICC profile hold when it is handed in, too."""
    exif = Image.Exif()
    exif[0x0112] = 6
    rng, adobe = np.random.default_rng(0), bytes(imagecodecs.cms_profile("adobergb"))
    Image.fromarray(rng.integers(0, 256, (40, 56, 3), np.uint8)).save(tmp_path / "p.png", exif=exif, icc_profile=adobe)
    by_name, handed_in = translator(tmp_path / "p.png"), translator(Image.open(tmp_path / "p.png"))
    assert by_name.size == handed_in.size == (40, 56)
    assert by_name.tobytes() == handed_in.tobytes()


@pytest.mark.parametrize(("given", "to", "expected"), [((8, 9), "a", (8, 9, 3)), ((8, 9, 1), "a", (8, 9, 3))])
def test_channels_of_the_other_domain(translator, given, to, expected):
    assert translator(np.zeros(given, np.uint8), to).shape == expected


def test_gray_stays_flat_and_opacity_is_put_back():
    alike = new_translator(3, 3)
    assert alike(np.zeros((8, 9), np.uint8)).shape == (8, 9)
    assert alike(np.zeros((8, 9, 1), np.uint8)).shape == (8, 9, 1)
    colours = np.random.default_rng(0).integers(0, 256, (8, 9, 4), dtype=np.uint8)
    assert np.array_equal(alike(colours)[..., 3], colours[..., 3])
    assert alike(colours[..., 2:]).shape == (8, 9, 2)
    assert np.array_equal(alike(colours[::2, ::-1]), alike(colours[::2, ::-1].copy()))  # strides do not matter


def test_an_array_is_left_as_it_was(translator, photo):
    before = photo.copy()
    translator(photo)
    assert np.array_equal(photo, before)


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.zeros((3, 40, 56), np.uint8), r"got \[3, 40, 56\]: move its channels to the end"),
        (np.zeros((2, 40, 56, 3), np.uint8), "one picture at a time"),
        (np.zeros(40, np.uint8), r"\[h, w\] or \[h, w, c\]"),
        (np.zeros((0, 40, 3), np.uint8), r"got \[0, 40, 3\]"),
        (np.zeros((40, 56, 3), np.int64), "got int64"),
        (np.zeros((40, 56, 3), bool), "got bool"),
        (np.full((40, 56, 3), 200.0), r"must lie in \[0, 1\], got 200 to 200"),
        (np.full((40, 56, 3), -0.5), r"must lie in \[0, 1\], got -0.5"),
        (np.full((40, 56, 3), np.nan), r"must lie in \[0, 1\], got nan"),
    ],
)
def test_arrays_that_could_be_anything_are_refused(translator, array, complaint):
    with pytest.raises(UserError, match=complaint):
        translator(array)


def test_tensors_keep_their_dimensions_and_type(translator):
    images = torch.rand(2, 3, 40, 56) * 2 - 1
    expected = translator.translate(images)
    assert_close(translator(images), expected)
    assert_close(translator(images[1]), expected[1], rtol=1e-4, atol=1e-5)
    for kind in (torch.float64, torch.bfloat16):
        translated = translator(images.to(kind))
        assert translated.dtype == kind
        assert_close(translated.float(), expected, rtol=0, atol=0.1 if kind == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize(
    ("tensor", "complaint"),
    [
        (torch.zeros(40, 56), r"must be \[c, h, w\] or \[n, c, h, w\]"),
        (torch.zeros(3, 40, 56, dtype=torch.uint8), r"got torch.uint8 .*from_uint8"),
        (torch.full((3, 40, 56), 255.0), r"must lie in \[-1, 1\], got 255 to 255: scale it"),
        (torch.full((3, 40, 56), torch.nan), r"must lie in \[-1, 1\]"),
        (torch.zeros(3, 0, 56), r"got torch.float32 \[3, 0, 56\]"),
        (torch.zeros(1, 40, 56), "images of A have 3 channels, got 1"),
    ],
)
def test_tensors_that_could_be_anything_are_refused(translator, tensor, complaint):
    with pytest.raises(UserError, match=complaint):
        translator(tensor)


def test_latents_of_all_kinds():
    torch.manual_seed(0)
    model = Generator({"size": 32, "width": 4})
    latents = draw_latents(3, seed=1)
    array = latents.numpy()
    fixed = array.copy()
    fixed.flags.writeable = False  # as np.load gives it of a file that it maps
    for given in (3, latents, latents.double(), array, array.astype(float), array[::-1].copy()[::-1], fixed):
        assert model.sample(given, seed=1) == model.sample(3, seed=1)
    assert (model.size, model.channels) == (32, 3)
    for wrong in (torch.zeros(3, 127), np.zeros((3, 1))):
        with pytest.raises(UserError, match=r"latents must be \[n, 128\], got \[3, 1"):
            model.sample(wrong)


@pytest.mark.parametrize("labels", [torch.tensor([0, 2, 3]), torch.tensor([-1, 0, 0])])
def test_labels_of_no_class_are_refused(labels):
    model = Generator({"size": 32, "width": 4, "num_classes": 3}, ("cat", "dog", "rose"))
    with pytest.raises(UserError, match="3 whole numbers from 0 to 2, one for each image, got"):
        model.generate(draw_latents(3, seed=1), labels)

"""The emoji that ship: which they are, what is held out, and that they can be learned with opacity and over white."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ganshift.data.emoji import EMOJI, EMOJI_FLAT, emoji, emoji_pair
from ganshift.data.open import open_domains, open_held_out, open_images
from ganshift.tools.doctor.parts import find_parts

DATA, PAIR = Path("bundled:emoji"), Path("bundled:emoji-pair")
GROUPS = (
    *("activities", "animals-nature", "food-drink", "objects", "people-body", "smileys-emotion", "symbols"),
    "travel-places",
)


@pytest.fixture(scope="module")
def train():
    return emoji(32)


@pytest.fixture(scope="module")
def pair():
    return emoji_pair(32)


def codes(images):
    """The code points of the pictures of a set, in order."""
    return [name.rpartition("/")[2].removesuffix(".webp") for name in images.names]


def test_what_there_is(train):
    held_out = open_held_out(DATA, 32)
    assert (len(train), len(held_out)) == (1237, 139)
    assert train.classes == held_out.classes == GROUPS
    assert not set(codes(train)) & set(codes(held_out))
    assert train.classes[train.labels[codes(train).index("1f400")]] == "animals-nature"


@pytest.mark.parametrize("split", ["train", "test"])
def test_food_and_the_others_are_all(split):
    every = open_images(DATA, 32, split=split)
    food, others = (open_images(Path(f"bundled:emoji-{part}"), 32, split=split) for part in ("food", "others"))
    assert len(food) == {"train": 120, "test": 14}[split]
    assert (food.classes, food.labels) == ((), None)
    assert others.classes == tuple(group for group in GROUPS if group != "food-drink")
    kinds = {name: every.classes[label] for name, label in zip(every.names, every.labels, strict=True)}
    assert {name for name in every.names if kinds[name] == "food-drink"} == set(food.names)
    assert {name: others.classes[label] for name, label in zip(others.names, others.labels, strict=True)} == {
        name: kind for name, kind in kinds.items() if kind != "food-drink"
    }
    first = others.names.index(others.names[-1])
    assert torch.equal(others.read([first]), every.read([every.names.index(others.names[first])]))


def test_what_the_pair_has(pair, train):
    sets = (pair.train_a, pair.train_b, pair.val_a, pair.val_b)
    assert [len(images) for images in sets] == [638, 599, 139, 139]
    assert {images.labels is None for images in sets} == {True}
    a, b = set(codes(pair.train_a)), set(codes(pair.train_b))
    assert not a & b
    assert a | b == set(codes(train))
    assert pair.val_a.names == pair.val_b.names == open_held_out(DATA, 32).names


def test_no_flags_skin_tones_and_joined_sequences():
    for file in (EMOJI, EMOJI_FLAT):
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            assert {member.date_time[0] for member in archive.infolist()} == {1980}
        for code in (Path(name).stem for name in names):
            points = [int(point, 16) for point in code.split("-")]
            assert not set(points) & {0x200D, 0xFE0F, *range(0x1F3FB, 0x1F400), *range(0x1F1E6, 0x1F200)}, code
            assert points[0] not in (0x1F3C1, 0x1F3F3, 0x1F3F4, 0x1F38C, 0x1F6A9), code


def test_no_picture_has_two_names():
    for file in (EMOJI, EMOJI_FLAT):
        with zipfile.ZipFile(file) as archive:
            pictures = [archive.read(name) for name in archive.namelist()]
        assert len(set(pictures)) == len(pictures)


def test_they_fit_beside_the_code():
    assert EMOJI.stat().st_size + EMOJI_FLAT.stat().st_size <= 4_000_000
    text = EMOJI.with_suffix(".txt").read_text()
    assert "Copyright (c) Microsoft Corporation." in text
    assert "Permission is hereby granted" in text


def centre(images, code):
    """Colour and opacity in the middle of a picture, and the opacity of its corner."""
    pixels = images.read([codes(images).index(code)])[0].numpy().astype(int)
    middle = images.size // 2
    return [*pixels[:, middle, middle], pixels[3, 0, 0]]


@pytest.mark.parametrize("size", [32, 64, 128])
def test_known_pixels_at_each_size(size):
    """Lossy WebP and resizing may differ a little from decoder to decoder; the flat ones are without loss."""
    pair = emoji_pair(size)
    assert {images.size for images in (pair.train_a, pair.train_b, pair.val_a, pair.val_b)} == {size}
    red_heart, red_circle, green_square = "2764", "1f534", "1f7e9"
    np.testing.assert_allclose(centre(pair.train_b, red_heart), (255, 53, 99, 255, 0), atol=6)
    np.testing.assert_allclose(centre(pair.train_a, red_circle), (248, 49, 47, 255, 0), atol=1)
    np.testing.assert_allclose(centre(pair.val_a, green_square), (0, 210, 106, 255, 0), atol=1)


def test_opacity_stays_or_lies_over_white(train):
    held_out = [open_images(DATA, 32, channels, split="test") for channels in (None, 3, 1, 4)]
    assert [images.channels for images in held_out] == [3, 3, 1, 4]
    assert {(images.names, images.classes) for images in held_out} == {(held_out[0].names, train.classes)}
    over_white, everything = open_images(DATA, 32), range(len(train))
    assert over_white.labels.tolist() == train.labels.tolist()
    pixels = train.read(everything).numpy().astype(np.float64)
    colours, alpha = pixels[:, :3], pixels[:, 3:] / 255
    expected = colours * alpha + 255 * (1 - alpha)
    np.testing.assert_allclose(over_white.read(everything).numpy(), expected, atol=1.01)
    assert (alpha[:, :, 0, 0] == 0).mean() > 0.9  # nearly all leave their corner empty
    assert (alpha.max((1, 2, 3)) > 0.9).all()


def test_pairs_in_the_channels_that_are_asked_for():
    found = open_domains(PAIR, None, None, 32, channels_a=None, channels_b=4)
    assert [images.channels for images in (found.train_a, found.val_a, found.train_b, found.val_b)] == [3, 3, 4, 4]


def test_the_doctor_looks_at_all_of_them():
    assert [(part.name, len(part.names)) for part in find_parts(DATA)] == [("train", 1237), ("val", 139)]
    parts = [(part.name, len(part.names)) for part in find_parts(PAIR)]
    assert parts == [("train A", 638), ("train B", 599), ("val A", 139), ("val B", 139)]

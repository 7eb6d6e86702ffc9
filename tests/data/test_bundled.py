"""The pictures that come along: what they are, that they repeat, and that A and B of photo_sketch share nothing."""

import numpy as np
import pytest
from PIL import Image

from ganshift.data.bundled import digits, faces, photo_sketch, photographs, sketch
from ganshift.data.images import fit_picture


def test_digits():
    images = digits(16)
    assert (len(images), images.channels, images.size) == (1797, 1, 16)
    assert images.classes == tuple("0123456789")
    assert images.labels[:4].tolist() == [0, 1, 2, 3]
    zero = images.read([0])[0, 0].numpy()
    assert zero[7:9, 7:9].max() < 40  # the hole of the first zero is dark, its stroke is light
    assert zero.max() > 200


def test_some_digits():
    images = digits(8, classes=(7, 3), part=slice(20))
    assert (len(images), images.classes) == (20, ("7", "3"))
    names = digits(8).names
    everything = digits(8).labels[[names.index(name) for name in images.names]]
    assert [(7, 3)[label] for label in images.labels] == everything.tolist()


def test_faces():
    images = faces(32)
    assert images.read(range(100)).shape == (100, 1, 32, 32)
    assert images.content_hash == faces(32).content_hash


def test_photographs_are_in_colour():
    found = photographs()
    assert len(found) == 7
    assert {picture.mode for picture in found.values()} == {"RGB"}


def test_a_sketch_is_white_paper_with_dark_edges():
    picture = Image.new("L", (64, 64), 200)
    picture.paste(50, (0, 0, 32, 64))
    lines = np.asarray(sketch(picture))
    assert (lines[:, :20].min(), lines[:, 44:].min()) == (255, 255)
    assert lines[:, 30:34].min() < 150


@pytest.fixture(scope="module")
def domains():
    return photo_sketch(32, num_per_domain=28, seed=1)


def test_photo_sketch_sizes(domains):
    assert [len(images) for images in (domains.train_a, domains.train_b, domains.val_a, domains.val_b)] == [
        28,
        28,
        14,
        14,
    ]
    assert (domains.train_a.channels, domains.train_b.channels) == (3, 1)


def test_photo_sketch_in_any_shape():
    oblong = photo_sketch((16, 24), num_per_domain=7, num_val=7)
    assert oblong.train_a.read([0]).shape == (1, 3, 16, 24)
    assert oblong.val_b.read([0]).shape == (1, 1, 16, 24)


def test_no_photograph_of_a_is_drawn_in_b(domains):
    drawn = {image.tobytes() for image in domains.train_b.read(range(28)).numpy()}
    drawn |= {image.tobytes() for image in domains.val_b.read(range(14)).numpy()}
    assert len(drawn) == 28 + 14
    for image in domains.train_a.read(range(28)).numpy():
        picture = Image.fromarray(image.transpose(1, 2, 0))
        assert fit_picture(sketch(picture), 32, 1).tobytes() not in drawn


def test_validation_pairs_belong_together(domains):
    assert domains.val_a.names == domains.val_b.names
    for photo, drawing in zip(domains.val_a.read(range(14)), domains.val_b.read(range(14)), strict=True):
        picture = Image.fromarray(photo.permute(1, 2, 0).numpy())
        np.testing.assert_array_equal(np.asarray(sketch(picture)), drawing[0])


def test_photo_sketch_repeats_and_depends_on_the_seed(domains):
    again, other = photo_sketch(32, 28, seed=1), photo_sketch(32, 28, seed=2)
    assert again.train_a.content_hash == domains.train_a.content_hash
    assert other.train_b.content_hash != domains.train_b.content_hash

"""Pictures that are there more than once: found, and no others."""

import numpy as np
import pytest
from pictures import encoded, looked_at, scene
from PIL import Image

from ganshift.tools.doctor.alike import difference_hash, find_alike, near_pairs


def grouped(*files):
    """Numbers of exact copies, of pictures nearly alike, and of all that look alike."""
    found = find_alike(looked_at(*files))
    return [
        [[int(picture.name) for picture in group] for group in kind] for kind in (found.exact, found.near, found.looks)
    ]


def test_exact_and_near():
    first, second, third = (scene(seed, (96, 80)) for seed in range(3))
    exact, near, looks = grouped(
        encoded(first),  # 0
        encoded(second),
        encoded(first),  # 2, the same bytes
        encoded(first, "JPEG", quality=70),  # 3
        encoded(first.resize((90, 75)), "WEBP"),  # 4
        encoded(third),
        encoded(third, compress_level=0),  # 6, other bytes of the same pixels
    )
    assert exact == [[0, 2]]
    assert near == looks == [[0, 2, 3, 4], [5, 6]]


def test_exact_copies_alone_are_not_nearly_alike():
    assert grouped(*[encoded(scene(0))] * 2) == [[[0, 1]], [], [[0, 1]]]


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda picture: picture.rotate(90),
        lambda picture: Image.eval(picture, lambda level: 255 - level),
        lambda picture: picture.crop((0, 0, 48, 48)),
    ],
)
def test_what_is_not_near(change):
    assert grouped(encoded(scene(0)), encoded(change(scene(0)))) == [[], [], []]


def test_pale_pictures_are_not_all_alike():
    """Flat grounds have empty hashes; only the levels tell them apart."""
    _, near, _ = grouped(*(encoded(Image.new("RGB", (40, 40), (level, level, level))) for level in (0, 1, 40, 80)))
    assert near == [[0, 1]]


def test_nothing_and_one():
    assert grouped() == grouped(encoded(scene(0))) == [[], [], []]


def test_pairs_among_many():
    """A hundred pictures and their noisy copies, spread over thousands of others, are found and nothing else."""
    random = np.random.default_rng(0)
    cells = random.integers(0, 256, (3000, 4, 4, 3), dtype=np.uint8)
    thumbs = np.repeat(np.repeat(cells, 4, axis=1), 4, axis=2)
    chosen = random.choice(3000, 100, replace=False)
    noise = random.integers(-4, 5, (100, 16, 16, 3))
    copies = (thumbs[chosen].astype(int) + noise).clip(0, 255).astype(np.uint8)
    left, right = near_pairs(np.concatenate([thumbs, copies]))
    assert set(zip(left.tolist(), right.tolist(), strict=True)) == {
        (int(old), 3000 + new) for new, old in enumerate(chosen)
    }


def test_hash_by_hand():
    """Brighter to the right: every step across is set and none down."""
    row = np.repeat(np.arange(8, dtype=np.uint8) * 30, 2)
    thumb = np.broadcast_to(row[None, None, :, None], (1, 16, 16, 3))
    assert difference_hash(np.ascontiguousarray(thumb)).tolist() == [[True] * 56 + [False] * 56]

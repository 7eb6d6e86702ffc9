"""Two domains in every spelling, and what is said when one is missing."""

import pytest
from builders import levels, many, png, write

from ganshift.data.open import open_domains
from ganshift.errors import UserError


def layout(*folders: str) -> dict[str, bytes]:
    """One folder per set, with pictures of the set's own gray level; the first has one picture, the next two..."""
    return {f"{name}/{i}.png": png(10 * n) for n, name in enumerate(folders, 1) for i in range(n)}


@pytest.mark.parametrize("kind", ["set", "set.zip"])
@pytest.mark.parametrize(
    "folders",
    [
        ("train/A", "train/B", "val/A", "val/B"),
        ("train/a", "train/b", "test/a", "test/b"),
        ("trainA", "trainB", "testA", "testB"),
        ("top/train/A", "top/train/B", "top/val/A", "top/val/B"),
        ("top/A", "top/B", "top/val/A", "top/val/B"),
        ("A", "B"),
        ("train/A", "train/B"),
        ("train/A", "train/B", "val/A"),
    ],
)
def test_layouts(kind, folders, tmp_path):
    domains = open_domains(write(tmp_path / kind, layout(*folders)), None, None, 8)
    sets = [domains.train_a, domains.train_b, domains.val_a, domains.val_b]
    for number, images in enumerate(sets, 1):
        if number > len(folders):
            assert images is None
        else:
            assert levels(images.read(range(len(images)))) == [10 * number] * number
            assert (images.labels, images.names[0]) == (None, "0.png")


def test_two_folders(tmp_path):
    write(tmp_path / "photos", many(3))
    write(tmp_path / "sketches.zip", many(2, mode="L"))
    domains = open_domains(None, tmp_path / "photos", tmp_path / "sketches.zip", 8)
    assert (len(domains.train_a), domains.train_a.channels) == (3, 3)
    assert (len(domains.train_b), domains.train_b.channels) == (2, 1)
    assert domains.val_a is None
    assert open_domains(None, tmp_path / "photos", tmp_path / "photos", 8, channels_a=1).train_a.channels == 1


def test_val_has_the_channels_of_train(tmp_path):
    files = {**many(2, "train/A/"), **many(2, "train/B/"), **many(2, "val/A/", "L"), **many(2, "val/B/")}
    domains = open_domains(write(tmp_path / "set", files), None, None, 8)
    assert domains.val_a.channels == 3


def test_the_memory_budget_is_for_all_sets_together(tmp_path):
    write(tmp_path / "set", {**many(2, "A/"), **many(2, "B/")})
    one_set = 2 * 3 * 8 * 8
    domains = open_domains(tmp_path / "set", None, None, 8, memory_budget_bytes=1.5 * one_set)
    assert (domains.train_a.streams, domains.train_b.streams) == (False, True)
    domains = open_domains(tmp_path / "set", None, None, (4, 16), memory_budget_bytes=2 * one_set)
    assert (domains.train_a.streams, domains.train_b.streams) == (False, False)
    domains = open_domains(tmp_path / "set", None, None, (8, 9), memory_budget_bytes=2 * one_set)
    assert (domains.train_a.streams, domains.train_b.streams) == (False, True)
    assert domains.train_a.read([0]).shape == domains.train_b.read([0]).shape == (1, 3, 8, 9)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (many(2), "does not have two domains, it holds images without folders; make folders train/A and train/B"),
        (
            layout("photos", "sketches"),
            r"it holds photos, sketches; .* ganshift dual and evaluate also take two folders",
        ),
        (layout("train/A"), r"train/A holds images but its counterpart B has none"),
        (layout("trainB"), r"trainB holds images but its counterpart A has none"),
        ({"train/A/readme.txt": b""}, "holds no images, only 1 other files"),
        ({"A/0.png": b"x", "B/0.png": png(1)}, "A: none of 1 image files can be read"),
    ],
)
def test_user_errors(files, message, tmp_path):
    with pytest.raises(UserError, match=message):
        open_domains(write(tmp_path / "set", files), None, None, 8)

"""Bundled and published sets by name, and everything else by path."""

from pathlib import Path

import numpy as np
import pytest
from builders import many, png, write
from PIL import Image

from ganshift.data.open import PLACES, PREFIX, PUBLISHED, open_domains, open_held_out, open_images
from ganshift.errors import UserError


@pytest.mark.parametrize(
    ("name", "number", "classes"),
    [("digits", 1797, 10), ("digits-0-4", 901, 5), ("digits-5-9", 100, 5), ("faces", 100, 0)],
)
def test_bundled_images(name, number, classes):
    images = open_images(Path(PREFIX + name), 32)
    assert (len(images), images.channels, images.size, len(images.classes)) == (number, 1, 32, classes)
    with pytest.raises(UserError, match="has 1 channels, not 3"):
        open_images(Path(PREFIX + name), 32, 3)


def test_source_and_target_of_the_demo_share_no_image():
    source, target = (open_images(Path(PREFIX + name), 8) for name in ("digits-0-4", "digits-5-9"))
    assert not set(source.names) & set(target.names)
    assert set(np.unique(target.labels)) == {0, 1, 2, 3, 4}
    assert target.classes == ("5", "6", "7", "8", "9")


def test_digits_5_to_9_have_others_that_are_held_out():
    target = Path(PREFIX + "digits-5-9")
    learned, unseen = (open_images(target, 8, split=split) for split in ("train", "test"))
    assert (len(learned), len(unseen)) == (100, 796)
    assert not set(learned.names) & set(unseen.names)
    assert open_held_out(target, 8, 1).content_hash == unseen.content_hash
    assert open_held_out(Path(PREFIX + "faces"), 8) is None


@pytest.mark.parametrize(
    ("files", "held_out"),
    [
        (many(2, "train/") | many(3, "test/"), 3),
        (many(2, "data/train/x/") | many(3, "data/val/y/"), 3),
        (many(3, "test/"), None),
        (many(3, "data/test/"), None),
        (many(3), None),
    ],
)
def test_held_out_images_lie_beside_those_to_learn(tmp_path, files, held_out):
    """A folder that is called test and lies alone is learned: nothing is left to compare with."""
    data = write(tmp_path / "d", files)
    assert len(open_images(data, 8)) == len(files) - (held_out or 0)
    images = open_held_out(data, 8)
    assert (images and len(images)) == held_out


def open_both(data):
    return open_domains(data, None, None, 32)


@pytest.mark.parametrize(("name", "channels"), [("photo-sketch", (3, 1)), ("emoji-pair", (3, 3))])
def test_bundled_domains(name, channels):
    domains = open_both(Path(PREFIX + name))
    assert (domains.train_a.channels, domains.train_b.channels) == channels


@pytest.mark.parametrize("opener", [open_both, lambda data: open_images(data, 32)])
def test_unknown_names_list_the_known(opener):
    with pytest.raises(UserError, match=r"there is no bundled .* 'cats'; there are "):
        opener(Path("bundled:cats"))


def test_a_path_is_a_path(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "x.png")
    images = open_images(tmp_path, 32, 1)
    assert (len(images), images.channels) == (1, 1)


def published_set(place: Path, level: int) -> None:
    """One image a domain, of a gray level of its own; in a zip below a folder of the set's name, as published."""
    top = f"{place.stem}/" if place.suffix else ""
    place.parent.mkdir(exist_ok=True)
    write(place, {f"{top}{split}/{domain}/0.png": png(level) for split in ("train", "val") for domain in "AB"})


def test_published_names_are_found_where_the_published_code_has_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    by_precedence = ["{}", *PLACES]
    for level, place in reversed(list(enumerate(by_precedence))):
        published_set(Path(place.format("oil-chinese")), level)
        domains = open_both(Path("oil-chinese"))
        assert [images.read([0])[0, 0, 16, 16] for images in (domains.train_a, domains.val_b)] == [level, level]


def test_published_names_are_the_ones_of_the_published_script():
    assert set(PUBLISHED) == {
        *("sketch-photo", "facades", "day-night", "oil-chinese"),
        *("plastic-metal", "metal-stone", "leather-fabric", "plastic-wood"),
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_said_of_a_published_set_that_is_not_here(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        open_both(Path(name))
    message, document = str(error.value), "docs/dual.md"
    for part in (f"datasets/{name}.zip", document, f"--data path/to/{name}"):
        assert part in message
    rows = [line for line in (Path(__file__).parents[2] / document).read_text().splitlines() if line.startswith("| `")]
    assert any(f"`{name}`" in row.split(" | ")[0] for row in rows)
    assert f"{name}/{{train,val}}/{{A,B}}/*" in message
    assert "\n" not in message


def test_misspelled_names_get_a_hint_and_other_paths_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="facade does not exist; did you mean the published data set facades"):
        open_both(Path("facade"))
    with pytest.raises(UserError, match="photos does not exist; give a folder"):
        open_both(Path("photos"))
    (tmp_path / "in" / "photo\n").mkdir(parents=True)
    with pytest.raises(UserError, match=r"in/photos does not exist; did you mean in/photo\\n\?$"):
        open_both(Path("in/photos"))
    (tmp_path / "facad").mkdir()
    with pytest.raises(UserError, match=r"facads does not exist; did you mean facad\?$"):
        open_both(Path("facads"))
    write(tmp_path / "facade", {**many(1, "A/"), **many(1, "B/")})
    assert len(open_both(Path("facade")).train_a) == 1

"""Facts about pictures, against numbers found by hand."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, looked_at, scene, write
from PIL import Image

from ganshift.errors import UserError
from ganshift.tools.doctor.parts import find_parts
from ganshift.tools.doctor.scan import scan


def facts_of(folder, part=0):
    return scan(find_parts(folder)[part])


def test_sizes_aspects_and_crop(tmp_path):
    """Of 30 x 20, 20 x 30 and 40 x 40 a square leaves out 1/3, 1/3 and nothing."""
    sizes = [(30, 20), (20, 30), (40, 40)]
    facts = facts_of(write(tmp_path / "d", {f"{i}.png": encoded(scene(i, size)) for i, size in enumerate(sizes)}))
    found = facts.to_json()
    assert (found["smallest"], found["median"], found["largest"]) == ([20, 30], [30, 20], [40, 40])
    assert found["aspects"] == {"1:1": 1, "2:3": 1, "3:2": 1}
    assert found["cropped_to_square"] == round(2 / 9, 4)
    assert facts.cropped(1.5) == pytest.approx((0 + (1 - 4 / 9) + 1 / 3) / 3)
    assert facts.shorter_side == 20


def test_aspects_in_small_numbers(tmp_path):
    sizes = [(427, 640), (640, 427), (500, 375), (900, 300)]
    files = {f"{i}.png": encoded(Image.new("RGB", size)) for i, size in enumerate(sizes)}
    assert facts_of(write(tmp_path / "d", files)).aspects == {"2:3": 1, "3:1": 1, "3:2": 1, "4:3": 1}


def test_colour_and_texture_by_hand():
    columns = np.zeros((64, 64, 3), np.uint8)
    columns[:, ::2] = 255
    (stripes,) = looked_at(encoded(Image.fromarray(columns)))
    assert stripes.texture == pytest.approx(127.5, abs=0.01)
    assert stripes.colour == (127.5, 127.5, 127.5)
    assert stripes.chroma == 0
    (flat,) = looked_at(encoded(Image.new("RGB", (64, 64), (200, 80, 50))))
    assert (flat.texture, flat.colour, flat.chroma) == (pytest.approx(0, abs=1e-4), (200, 80, 50), 150)


def test_modes(tmp_path):
    see_through = Image.new("RGBA", (40, 40), (255, 0, 0, 128))
    opaque = Image.new("RGBA", (40, 40), (255, 0, 0, 255))
    animation = io.BytesIO()
    frames = [scene(index, (40, 40)) for index in range(2)]
    frames[0].save(animation, "GIF", save_all=True, append_images=frames[1:])
    deep = Image.fromarray(np.full((40, 40), 40_000, np.uint16))
    files = {
        "alpha.png": encoded(see_through),
        "opaque.png": encoded(opaque),
        "animation.gif": animation.getvalue(),
        "deep.png": encoded(deep),
        "gray.png": encoded(scene(3, (40, 40)).convert("L")),
        "gray-in-colour.jpg": encoded(scene(4, (40, 40)).convert("L").convert("RGB"), "JPEG"),
        "colour.png": encoded(scene(5, (40, 40))),
    }
    found = facts_of(write(tmp_path / "d", files)).to_json()
    assert found["channels"] == {"transparent": 1, "colour": 4, "gray": 2}
    assert (found["sixteen_bit"], found["animated"], found["gray_as_colour"]) == (1, 1, 1)
    assert found["modes"]["RGBA"] == 2


def test_turned_by_the_camera(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = io.BytesIO()
    scene(0, (60, 30)).save(data, "JPEG", exif=exif)
    (picture,) = looked_at(data.getvalue())
    assert (picture.width, picture.height) == (30, 60)


def test_a_photograph_with_a_preview_is_not_animated():
    data = io.BytesIO()
    scene(0).save(data, "MPO", save_all=True, append_images=[scene(1)])
    assert Image.open(data).n_frames == 2
    assert not looked_at(data.getvalue())[0].is_animated


def test_broken_files_and_others(tmp_path):
    good = encoded(scene(0, (40, 40)))
    files = {"a.png": good, "cut.png": good[: len(good) // 2], "empty.jpg": b"", "no.png": b"text", "list.csv": b"1"}
    facts = facts_of(write(tmp_path / "d", files))
    assert [name for name, _ in facts.unreadable] == ["cut.png", "empty.jpg", "no.png"]
    assert dict(facts.unreadable)["empty.jpg"] == "empty file"
    assert [picture.name for picture in facts.pictures] == ["a.png"]
    assert facts.to_json()["passed_over"] == {".csv": 1}
    assert facts.to_json()["files"] == 4


def test_parts_of_one_set_and_classes(tmp_path):
    files = {f"train/{kind}/{i}.png": encoded(scene(i)) for kind, count in (("x", 3), ("y", 1)) for i in range(count)}
    files["val/x/9.png"] = encoded(scene(9))
    files["train/y/broken.png"] = b"broken"
    for place in (write(tmp_path / "d", files), write(tmp_path / "d.zip", files)):
        train, val = find_parts(place)
        assert (train.name, val.name) == ("train", "val")
        assert scan(train).classes == {"x": 3, "y": 1}
        assert [picture.name for picture in scan(val).pictures] == ["x/9.png"]


def test_a_lone_folder_is_trained_on_whatever_its_name(tmp_path):
    (part,) = find_parts(write(tmp_path / "d", {"val/1.png": encoded(scene(0))}))
    assert part.name == "train"


def test_parts_of_two_domains(tmp_path):
    names = ["trainA/1.png", "trainB/1.png", "testA/1.png", "testB/1.png", "testB/2.png"]
    parts = find_parts(write(tmp_path / "d", {name: encoded(scene(0)) for name in names}))
    assert [(part.name, len(part.names)) for part in parts] == [
        ("train A", 1),
        ("train B", 1),
        ("val A", 1),
        ("val B", 2),
    ]
    pair = find_parts(tmp_path / "d" / "trainA", tmp_path / "d" / "testB")
    assert [(part.name, len(part.names)) for part in pair] == [("train A", 1), ("train B", 2)]


def test_classes_that_are_letters_are_no_domains(tmp_path):
    files = {f"{letter}/1.png": encoded(scene(0)) for letter in "ABC"}
    (part,) = find_parts(write(tmp_path / "d", files))
    assert scan(part).classes == {"A": 1, "B": 1, "C": 1}


def test_a_missing_domain_is_refused(tmp_path):
    with pytest.raises(UserError, match="counterpart B has none"):
        find_parts(write(tmp_path / "d", {"trainA/1.png": encoded(scene(0))}))


def test_bundled_sets():
    digits = scan(find_parts(Path("bundled:digits-5-9"))[0])
    assert digits.classes == {"5": 20, "6": 21, "7": 20, "8": 19, "9": 20}
    assert digits.to_json()["channels"] == {"gray": 100}
    names = [part.name for part in find_parts(Path("bundled:photo-sketch"))]
    assert names == ["train A", "train B", "val A", "val B"]
    with pytest.raises(UserError, match="there is no bundled"):
        find_parts(Path("bundled:dogs"))
    with pytest.raises(UserError, match="did you mean digits"):
        find_parts(Path("bundled:digit"))


def test_cifar_batches(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)
    for file in ("data_batch_1", "test_batch"):
        (tmp_path / file).write_bytes(pickle.dumps({"data": pixels, "labels": [0, 1, 1, 1]}))
    train, val = map(scan, find_parts(tmp_path))
    assert train.classes == val.classes == {"0": 1, "1": 3}
    assert train.to_json()["median"] == [32, 32]
    assert train.pictures[0].colour[0] == pytest.approx(pixels[0, :1024].mean(), abs=1.5)  # enlarged to be measured

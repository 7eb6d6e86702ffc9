"""Opening image sets: layouts, channels, quarantine, streaming, CIFAR batches, and messages when nothing is there."""

import logging
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from builders import levels, many, png, write
from PIL import Image

from ganshift.data import storage as places
from ganshift.data.datasets import open_array
from ganshift.data.open import open_images
from ganshift.errors import UserError


@pytest.fixture(params=["set", "set.zip"])
def place(request, tmp_path):
    """A folder and a zip must behave alike."""
    return tmp_path / request.param


@pytest.fixture(params=[2e9, 0], ids=["memory", "streaming"])
def budget(request):
    return request.param


def test_flat_and_nested_files_are_unlabelled(place, budget):
    write(place, {**many(3), "deep/er/5.PNG": png(5), "notes.txt": b"x", ".hidden.png": b"", "__MACOSX/0.png": b""})
    images = open_images(place, 8, memory_budget_bytes=budget)
    assert images.names == ("000.png", "001.png", "002.png", "deep/er/5.PNG")
    assert (images.labels, images.classes, images.channels, images.quarantined) == (None, (), 3, [])
    assert images.streams == (budget == 0)
    assert levels(images.read(np.array([3, 0, 0]))) == [5, 0, 0]
    assert images.read([1]).dtype == torch.uint8


def test_class_folders_give_labels(place, budget):
    write(place, {**many(2, "rose/"), **many(1, "lily/deeper/"), "weed/0.png": b"broken", "empty/readme": b""})
    images = open_images(place, 8, memory_budget_bytes=budget)
    assert images.classes == ("lily", "rose")
    assert images.labels.tolist() == [0, 1, 1]
    assert images.labels.dtype == np.int64


def test_one_class_folder_or_a_stray_file_gives_no_labels(place):
    write(place, {**many(2, "a_class/"), **many(2, "other/"), "stray.png": png(1)})
    assert open_images(place, 8).labels is None
    assert open_images(place / "other", 8).names == ("000.png", "001.png")


def test_one_top_folder_is_passed_through(place):
    write(place, {**many(1, "set/cat/"), **many(1, "set/dog/"), "README": b""})
    assert open_images(place, 8).classes == ("cat", "dog")


def test_splits_are_chosen(place):
    write(place, {f"set/{part}/{kind}/0.png": png(i) for i, part in enumerate(["train", "val"]) for kind in "xy"})
    assert levels(open_images(place, 8).read([0, 1])) == [0, 0]
    test = open_images(place, 8, split="test")
    assert (levels(test.read([0, 1])), test.classes) == ([1, 1], ("x", "y"))
    inner = "train" if place.suffix == ".zip" else "set/train"  # inside a zip the top folder may be left out
    assert open_images(place / inner, 8).classes == ("x", "y")


def test_a_class_named_train_is_a_class(place):
    write(place, {**many(1, "train/"), **many(1, "bus/")})
    assert open_images(place, 8).classes == ("bus", "train")


def test_folder_and_zip_hold_the_same(tmp_path):
    files = {**many(3, "p/"), **many(2, "q/")}
    sets = [
        open_images(write(tmp_path / name, files), 8, memory_budget_bytes=budget)
        for name in ("set", "set.zip")
        for budget in (0, 2e9)
    ]
    assert len({images.content_hash for images in sets}) == 1
    for images in sets:
        torch.testing.assert_close(images.read(range(5)), sets[0].read(range(5)))
    changed = open_images(write(tmp_path / "changed", {**files, "q/000.png": png(77)}), 8)
    assert changed.content_hash != sets[0].content_hash


@pytest.mark.parametrize(("modes", "channels"), [("LLR", 1), ("RRL", 3), ("AAL", 4), ("LR", 3)])
def test_channels_follow_the_majority(modes, channels, place, budget):
    names = {"L": "L", "R": "RGB", "A": "RGBA"}
    write(place, {f"{i}.png": png(i, mode=names[mode]) for i, mode in enumerate(modes)})
    images = open_images(place, 8, memory_budget_bytes=budget)
    assert images.channels == channels == images.read([0]).shape[1]
    assert open_images(place, 8, channels=3, memory_budget_bytes=budget).read([0]).shape == (1, 3, 8, 8)


def test_a_wrong_guess_of_the_channels_is_mended(tmp_path):
    """The guess looks at 32 spread files; here those are gray, and all others are in colour."""
    spread = set(np.linspace(0, 99, 32).astype(int).tolist())
    files = {f"{i:03d}.png": png(i, mode="L" if i in spread else "RGB") for i in range(100)}
    images = open_images(write(tmp_path / "set", files), 8)
    assert images.channels == 3
    assert levels(images.read(range(100))) == list(range(100))


def test_bad_files_are_set_aside_with_one_warning(place, budget, caplog):
    bad = {"bad1.png": b"", "bad2.png": b"text", "bad3.png": png(1)[:30]}
    write(place, {**many(4), **bad})
    with caplog.at_level(logging.WARNING, "ganshift"):
        images = open_images(place, 8, memory_budget_bytes=budget)
    assert levels(images.read(range(4))) == [0, 1, 2, 3]
    assert dict(images.quarantined)["bad1.png"] == "empty file"
    assert [name for name, _ in images.quarantined] == sorted(bad)
    (record,) = caplog.records
    assert "left out 3 of 7 files (bad1.png: empty file; " in record.getMessage()


def test_gaps_of_bad_files_do_not_shift_images(tmp_path):
    write(tmp_path / "set", {**many(6), "000.png": b"", "003.png": b"x"})
    images = open_images(tmp_path / "set", 8)
    assert levels(images.read(range(len(images)))) == [1, 2, 4, 5]
    assert images.names == ("001.png", "002.png", "004.png", "005.png")


def test_a_bomb_in_a_zip_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "MAX_FILE_BYTES", 10_000)
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(1_000_000))
        archive.writestr("good.png", png(3))
    images = open_images(tmp_path / "set.zip", 8)
    assert images.names == ("good.png",)
    assert "too large" in images.quarantined[0][1]


def test_a_member_of_absurd_size_or_place_is_set_aside(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("far.png", "good.png", "large.png"):
            archive.writestr(name, png(3))
        archive.getinfo("large.png").file_size = 2**64 - 1
        archive.getinfo("far.png").header_offset = 2**64 - 1
    images = open_images(tmp_path / "set.zip", 8)
    assert images.names == ("good.png",)
    assert [reason[:9] for _, reason in images.quarantined] == ["cannot be", "claims to"]


def test_an_encrypted_member_is_called_so(tmp_path):
    path = write(tmp_path / "set.zip", many(2))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    assert open_images(path, 8).quarantined == [("000.png", "encrypted: pack it again without a password")]


def test_a_member_with_a_wrong_checksum_is_set_aside(tmp_path):
    path = write(tmp_path / "set.zip", many(2))
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 0xFF
    path.write_bytes(data)
    assert open_images(path, 8).names == ("001.png",)


def test_a_picture_that_breaks_later_is_replaced_within_its_class(tmp_path, caplog):
    write(tmp_path / "set", {**many(2, "x/"), **many(3, "y/")})
    images = open_images(tmp_path / "set", 8, memory_budget_bytes=0)
    (tmp_path / "set" / "x" / "001.png").unlink()
    (tmp_path / "set" / "y" / "001.png").write_bytes(png(1)[:-30])
    assert levels(images.read([0, 1, 3])) == [0, 0, 2]
    assert levels(images.read([3, 1])) == [2, 0]
    assert [name for name, _ in images.quarantined] == ["x/001.png", "y/001.png"]
    assert len(caplog.records) == 2
    (tmp_path / "set" / "x" / "000.png").unlink()
    with pytest.raises(UserError, match="no readable image is left"):
        images.read([0])


def test_a_streaming_set_survives_pickling(place):
    images = open_images(write(place, many(3)), 8, memory_budget_bytes=0)
    images.read([0])  # a zip is open now
    assert levels(pickle.loads(pickle.dumps(images)).read([2, 1])) == [2, 1]


def test_links_in_a_circle(tmp_path):
    write(tmp_path / "set", many(2, "x/"))
    (tmp_path / "set" / "x" / "loop").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "gone.png").symlink_to(tmp_path / "nowhere")
    images = open_images(tmp_path / "set", 8)
    assert images.names == ("x/000.png", "x/001.png")
    assert images.quarantined[0][0] == "gone.png"


def test_pipes_and_devices_are_not_opened(tmp_path):
    """Opening a pipe that nobody writes to would wait for ever."""
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    images = open_images(tmp_path, 8)
    assert images.names == ("good.png",)
    reasons = dict(images.quarantined)
    assert reasons["pipe.png"] == reasons["zero.png"] == "not a regular file"
    assert "cannot be read" in reasons["gone.png"]


def test_progress_counts_files(place):
    seen = []
    open_images(write(place, many(3)), 8, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (3, 3)


@pytest.mark.parametrize(
    ("files", "inner", "split", "message"),
    [
        (None, "", "train", "does not exist; give a folder"),
        ({}, "", "train", "is empty; put images there"),
        ({"notes.txt": b""}, "", "train", "holds no images, only 1 other files"),
        ({"a.png": b"x", "b.png": b""}, "", "train", "none of 2 image files can be read .*a.png, not a JPEG"),
        ({"a.png": png(1)}, "", "test", "has no test split; add a folder named test"),
        ({"train/a.png": png(1)}, "", "test", "holds train but no images of the test split"),
        ({"val/a.png": png(1), "test/a.png": png(1)}, "", "train", "holds test, val but no images of the train split"),
        ({"x/a.png": png(1), "y/a.png": png(1)}, "z", "train", "does not exist|has no folder z; it holds x, y"),
    ],
)
def test_user_errors(files, inner, split, message, place):
    if files is not None:
        write(place, files)
        if place.suffix != ".zip":
            place.mkdir(exist_ok=True)
    with pytest.raises(UserError, match=message) as caught:
        open_images(place / inner, 8, split=split)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_zip(tmp_path):
    (tmp_path / "a.png").write_bytes(png(1))
    with pytest.raises(UserError, match="neither a folder nor a zip"):
        open_images(tmp_path / "a.png", 8)


def test_open_array_keeps_or_resizes():
    pixels = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    images = open_array(pixels, np.array([1, 0]), ("x", "y"))
    np.testing.assert_array_equal(images.read([0, 1]), pixels)
    images.read([0]).zero_()  # what is read belongs to the reader
    np.testing.assert_array_equal(images.read([0]), pixels[:1])
    assert open_array(pixels, size=8, channels=1).read([0]).shape == (1, 1, 8, 8)


def test_open_array_keeps_any_shape():
    pixels = np.arange(2 * 4 * 6, dtype=np.uint8).reshape(2, 1, 4, 6)
    images = open_array(pixels)
    assert images.size == (4, 6)
    np.testing.assert_array_equal(images.read([0, 1]), pixels)
    assert open_array(pixels, size=(3, 2)).read([0]).shape == (1, 1, 3, 2)


def test_the_hash_of_square_images_stays_what_it_was():
    """Runs begun before images could be oblong compare it when they resume."""
    pixels = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 1, 4, 4)
    known = "d4efecbac699bda0a1c50493e7c49bb86583037669153cc67060728297a51dad"
    assert open_array(pixels).content_hash == known
    assert open_array(pixels, size=4).content_hash == open_array(pixels, size=(4, 4)).content_hash == known
    assert open_array(pixels, size=(4, 3)).content_hash != open_array(pixels, size=(3, 4)).content_hash != known


@pytest.mark.parametrize("size", [(6, 9), (9, 6), 7])
def test_oblong_images_are_the_same_from_memory_and_from_files(size, tmp_path):
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(png(50 * index, size=20 + index))
    in_memory, streaming = (open_images(tmp_path, size, memory_budget_bytes=budget) for budget in (1e6, 1))
    assert (in_memory.streams, streaming.streams) == (False, True)
    assert in_memory.size == streaming.size == size
    assert in_memory.read([0]).shape[2:] == ((size, size) if isinstance(size, int) else size)
    np.testing.assert_array_equal(in_memory.read([2, 0]), streaming.read([2, 0]))


def cifar_batch(num: int, first: int, label_key: bytes = b"labels") -> bytes:
    pixels = np.repeat(np.arange(first, first + num, dtype=np.uint8)[:, None], 3072, axis=1)
    batch = {b"data": pixels, label_key: [index % 2 for index in range(num)], b"filenames": [b"x"] * num}
    return pickle.dumps(batch, protocol=4)


def test_cifar_10(place):
    names = pickle.dumps({"label_names": ["plane", "car"]}, protocol=4)
    files = {"data_batch_1": cifar_batch(3, 0), "data_batch_2": cifar_batch(2, 3), "test_batch": cifar_batch(1, 9)}
    write(place, {f"cifar-10-batches-py/{name}": data for name, data in {**files, "batches.meta": names}.items()})
    images = open_images(place, 32)
    assert levels(images.read(range(5))) == [0, 1, 2, 3, 4]
    assert (images.labels.tolist(), images.classes) == ([0, 1, 0, 0, 1], ("plane", "car"))
    test = open_images(place, 16, split="test", channels=1)
    assert test.read([0]).shape == (1, 1, 16, 16)
    assert levels(test.read([0])) == [9]


def test_cifar_100_has_fine_labels(place):
    meta = pickle.dumps({b"fine_label_names": [b"apple", b"bee"], b"coarse_label_names": [b"c"]}, protocol=4)
    write(place, {"train": cifar_batch(4, 0, b"fine_labels"), "test": cifar_batch(2, 0, b"fine_labels"), "meta": meta})
    assert open_images(place, 32).classes == ("apple", "bee")
    assert len(open_images(place, 32, split="test")) == 2


def test_cifar_as_python_2_wrote_it(tmp_path):
    """Protocol 2 with byte strings, as in the published files: the opcodes are written out by hand."""
    raw = bytes(range(8)) * 384
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x0c\x00\x00" + raw + b"tb"
    )
    write(tmp_path / "set", {"data_batch_1": b"\x80\x02}(U\x04data" + array + b"U\x06labels]K\x01au."})
    images = open_images(tmp_path / "set", 32)
    assert images.read([0])[0, 0, 0, :8].tolist() == list(range(8))
    assert images.classes == ("0", "1")


class Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def test_a_hostile_pickle_does_nothing(tmp_path):
    mark = tmp_path / "executed"
    write(tmp_path / "set", {"data_batch_1": pickle.dumps({"data": Evil(mark.touch)})})
    with pytest.raises(UserError, match="which is not allowed"):
        open_images(tmp_path / "set", 32)
    assert not mark.exists()


def test_a_pickle_cannot_crash_python_through_numpy(tmp_path):
    """numpy.ndarray called with a buffer of made-up object pointers would end the process."""
    data = pickle.dumps({"data": Evil(np.ndarray, (1,), "O", b"a" * 8), "labels": [0]})
    write(tmp_path / "set", {"data_batch_1": data})
    with pytest.raises(UserError, match="is not a CIFAR"):
        open_images(tmp_path / "set", 32)


@pytest.mark.parametrize(
    "batch",
    [
        {"labels": [0]},
        {"data": [1, 2], "labels": [0]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0]},
        {"data": np.zeros((1, 7), np.uint8), "labels": [0]},
        {"data": np.zeros((1, 3072), np.float64), "labels": [0]},
    ],
)
def test_wrong_cifar_batches(batch, tmp_path):
    write(tmp_path / "set", {"data_batch_1": pickle.dumps(batch, protocol=4)})
    with pytest.raises(UserError, match="is not a CIFAR batch"):
        open_images(tmp_path / "set", 32)
    with pytest.raises(UserError, match="no CIFAR batch of the test split"):
        open_images(tmp_path / "set", 32, split="test")

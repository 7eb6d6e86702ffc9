"""Layouts of others: StyleGAN's dataset.json, names of splits, system folders, backslashes, forms of Unicode."""

import json
import unicodedata
import zipfile

import pytest
from builders import levels, many, png, write

from ganshift.data.open import open_domains, open_held_out, open_images
from ganshift.errors import UserError
from ganshift.inference.input_files import find_input_files
from ganshift.tools.doctor.parts import find_parts
from ganshift.tools.doctor.scan import scan

NFC, NFD = (unicodedata.normalize(form, "Grün") for form in ("NFC", "NFD"))


@pytest.fixture(params=["set", "set.zip"])
def place(request, tmp_path):
    """A folder and a zip must behave alike."""
    return tmp_path / request.param


def shards(labels, name=lambda index: f"{index // 2:05d}/img{index:08d}.png") -> dict[str, bytes]:
    """Pictures as StyleGAN's dataset_tool lays them out, two a shard."""
    files = {name(index): png(index) for index in range(len(labels or range(4)))}
    pairs = None if labels is None else [[file, label] for file, label in zip(files, labels, strict=True)]
    return {**files, "dataset.json": json.dumps({"labels": pairs}).encode()}


def test_the_classes_of_dataset_json_and_not_its_shards(place, caplog):
    write(place, shards([10, 2, 10, 2]))
    images = open_images(place, 8)
    assert images.classes == ("2", "10")
    assert images.labels.tolist() == [1, 0, 1, 0]
    assert [scan(part).classes for part in find_parts(place)] == [{"10": 2, "2": 2}]
    assert caplog.records == []


@pytest.mark.parametrize(
    "name",
    [lambda index: f"00000/img{index:08d}.png", lambda index: f"set/train/{index}.png", lambda index: f"{index}.png"],
)
def test_dataset_json_lies_above_the_images(place, name):
    """One shard, or one folder, is passed through on the way to them."""
    write(place, shards([0, 1, 1, 0], name))
    assert open_images(place, 8).labels.tolist() == [0, 1, 1, 0]


def test_labels_of_null_are_no_classes(place, caplog):
    write(place, shards(None))
    assert open_images(place, 8).labels is None
    assert caplog.records == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "Expecting property name"),
        (b'{"images": []}', "it has no labels, as StyleGAN's has"),
        (b'{"labels": [1, 2]}', "its labels are not a list of file names"),
        (b'{"labels": [["00000/img00000000.png", 1]]}', "no label for 3 of 4 images, such as 00000/img00000001.png"),
        (b'{"labels": [["00000/img00000000.png", [0.5, 0.5]]]}', "its labels are not whole numbers"),
        (b'{"labels": ' + b"[" * 100_000, "recursion"),
        (b"\xff\xfe\xfd", "codec can't decode"),
    ],
)
def test_a_dataset_json_that_cannot_be_used_is_set_aside(content, reason, tmp_path, caplog):
    place = write(tmp_path / "set", {**shards([0, 1, 1, 0]), "dataset.json": content})
    assert open_images(place, 8).labels is None
    (record,) = caplog.records
    assert f"{place}/dataset.json is ignored: " in record.getMessage()
    assert reason in record.getMessage()
    assert "\n" not in record.getMessage()


def test_a_dataset_json_of_something_else_leaves_class_folders_alone(tmp_path):
    write(tmp_path / "set", {**many(2, "cat/"), **many(2, "dog/"), "dataset.json": b'{"title": "pets"}'})
    assert open_images(tmp_path / "set", 8).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        *(("Training", "Testing"), ("training", "validation"), ("TRAIN", "Valid"), ("trn", "tst"), ("Train", "dev")),
        *(("train", "eval"), ("train", "hold-out"), ("training_set", "test_set"), ("seg_train", "seg_test")),
        *(("my train", "my val"), ("trainset", "testset"), ("dogs-train-v2", "dogs-test-v2")),
    ],
)
def test_splits_by_many_names(place, train, test):
    write(place, {f"{split}/{kind}/{i}.png": png(i * 10) for i, split in enumerate([train, test]) for kind in "xy"})
    images, held_out = open_images(place, 8), open_held_out(place, 8)
    assert (images.classes, levels(images.read(range(len(images))))) == (("x", "y"), [0, 0])
    assert levels(held_out.read(range(len(held_out)))) == [10, 10]
    assert [part.split for part in find_parts(place)] == ["train", "val"]


def test_a_folder_of_a_split_in_itself_and_pictures_to_predict(place, caplog):
    """Intel's scenes, as Kaggle has them."""
    files = {
        f"seg_{split}/seg_{split}/{kind}/0.png": png(1) for split in ("train", "test") for kind in ("sea", "street")
    }
    write(place, {**files, "seg_pred/seg_pred/5.png": png(5)})
    assert open_images(place, 8).classes == open_held_out(place, 8).classes == ("sea", "street")
    assert [record.getMessage() for record in caplog.records] == [f"1 images in {place} are in neither split: seg_pred"]


@pytest.mark.parametrize(
    "names", [("Dev", "Eval"), ("dev", "test", "ship"), ("train", "bus"), ("cats_train", "dogs_test"), ("Dev", "Val")]
)
def test_classes_named_like_splits_are_classes(place, names):
    write(place, {f"{name}/0.png": png(1) for name in names})
    assert open_images(place, 8).classes == tuple(sorted(names))
    assert open_held_out(place, 8) is None


@pytest.mark.parametrize(
    "folders",
    [
        ("TrainA", "TrainB", "TestA", "TestB"),
        ("training/A", "training/B", "Testing/a", "Testing/b"),
        ("train_A", "train_B", "val_A", "val_B"),
        ("trainingA", "trainingB", "holdoutA", "holdoutB"),
        ("A/train", "B/train", "A/test", "B/test"),
    ],
)
def test_splits_of_two_domains(place, folders):
    write(place, {f"{name}/0.png": png(10 * number) for number, name in enumerate(folders)})
    domains = open_domains(place, None, None, 8)
    sets = (domains.train_a, domains.train_b, domains.val_a, domains.val_b)
    assert [levels(images.read([0])) for images in sets] == [[0], [10], [20], [30]]
    assert [len(images) for images in sets] == [1] * 4
    assert len(find_parts(place)) == 4


def test_system_folders_are_never_read(place, tmp_path):
    names = ("@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX", ".git")
    junk = {f"{where}{name}/0.png": png(200) for name in names for where in ("", "cat/", "cat/deeper/")}
    write(place, {**many(2, "cat/"), **many(2, "dog/"), **junk})
    images = open_images(place, 8)
    assert (images.classes, len(images)) == (("cat", "dog"), 4)
    assert [len(part.names) for part in find_parts(place)] == [4]
    assert len(find_input_files([place], tmp_path / "out")) == 4
    if place.suffix != ".zip":
        assert len(find_input_files([place / "**" / "*.png"], tmp_path / "out")) == 4


def test_backslashes_in_a_zip_mean_folders(tmp_path):
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as archive:
        for name in ("set\\", "set\\cat\\0.png", "set\\dog\\1.png"):
            member = zipfile.ZipInfo("x")
            member.filename = name  # the constructor would mend it on Windows
            archive.writestr(member, png(7) if name.endswith("png") else b"")
    images = open_images(tmp_path / "old.zip", 8)
    assert (images.names, images.classes) == (("cat/0.png", "dog/1.png"), ("cat", "dog"))
    assert levels(images.read([0, 1])) == [7, 7]
    assert len(open_images(tmp_path / "old.zip" / "set" / "cat", 8)) == 1


def test_forms_of_unicode_are_one_name(place, tmp_path):
    assert NFC != NFD
    write(place, {**many(2, f"{NFD}/"), **many(1, "rot/")})
    composed = open_images(write(tmp_path / f"composed{place.suffix}", {**many(2, f"{NFC}/"), **many(1, "rot/")}), 8)
    images = open_images(place, 8, memory_budget_bytes=0)
    assert images.classes == composed.classes == (NFC, "rot")
    assert images.names == composed.names
    assert images.content_hash == composed.content_hash
    assert levels(images.read([0, 1, 2])) == [0, 1, 0]
    assert {source.name for source in find_input_files([place], tmp_path / "out")} == set(images.names)


def test_both_forms_in_one_place_are_one_class(place):
    write(place, {f"{NFC}/0.png": png(1), f"{NFD}/0.png": png(2), f"{NFD}/1.png": png(3), "rot/0.png": png(4)})
    images = open_images(place, 8, memory_budget_bytes=0)
    assert images.classes == (NFC, "rot")
    assert sorted(levels(images.read(range(4)))) == [1, 2, 3, 4]
    assert images.labels.tolist().count(0) == 3


def test_a_path_in_the_other_form_is_found(tmp_path):
    write(tmp_path / NFD, {**many(2, "A/"), **many(2, "B/")})
    assert len(open_images(tmp_path / NFC / "A", 8)) == 2
    assert len(open_domains(tmp_path / NFC, None, None, 8).train_a) == 2
    (tmp_path / f"{NFD}.png").write_bytes(png(1))
    assert len(find_input_files([tmp_path / NFC, tmp_path / f"{NFC}.png"], tmp_path / "out")) == 5


def test_what_is_passed_over_is_counted_by_ending(place, caplog, tmp_path):
    pictures = {**many(2, "train/x/"), **many(2, "train/y/"), **many(2, "test/x/"), "train/x/p.jpg?size=large": png(1)}
    write(place, {**pictures, "train/x/a.PSD": b"", "train/x/b.psd": b"", "test/c.psd": b"", "LICENSE": b""})
    said = f"skipped 4 of 11 files in {place} that are not pictures by their endings: 3 .psd, 1 no ending"
    assert len(open_images(place, 8)) == 5
    assert [record.getMessage() for record in caplog.records] == [said]
    caplog.clear()
    open_held_out(place, 8)
    assert caplog.records == []
    assert [dict(part.passed_over) for part in find_parts(place)] == [{".psd": 2, "no ending": 1}, {".psd": 1}]
    find_input_files([place], tmp_path / "out")
    assert said.replace("pictures", "pictures or videos") in caplog.text
    caplog.clear()
    open_domains(None, place, place, 8)
    assert [record.getMessage() for record in caplog.records] == [said]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *(("a.rar", "a RAR archive; unpack it with unrar x"), ("data.mdb", "an LMDB database; ")),
        *(("a.tfrecord", "TensorFlow's records; "), ("a.MAT", "a MATLAB file; "), ("a.dcm", "a DICOM file; ")),
        *(
            ("a.7z", "a 7-Zip archive; "),
            ("a.cr2", "a camera's raw file; "),
            ("a.pkl", "a Python pickle, which can run "),
        ),
    ],
)
def test_what_cannot_be_read_is_called_by_name(name, what, tmp_path):
    write(tmp_path / "set", {name: b"x", "more/readme.txt": b"x"})
    for path in (tmp_path / "set", tmp_path / "set" / name):
        with pytest.raises(UserError, match=rf" is {what}"):
            open_images(path, 8)
    with pytest.raises(UserError, match=rf" is {what}"):
        find_input_files([tmp_path / "set"], tmp_path / "out")

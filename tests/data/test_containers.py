"""Containers of others: NumPy's arrays, MNIST's files, tar, Parquet, and pictures in AVIF, HEIC and PNM."""

import gzip
import io
import json
import pickle
import tarfile

import numpy as np
import pillow_heif
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import levels, many, png, write
from PIL import Image

from ganshift.data.containers import open_storage
from ganshift.data.open import open_domains, open_held_out, open_images
from ganshift.inference.input_files import find_input_files
from ganshift.tools.doctor.parts import find_parts
from ganshift.tools.doctor.scan import scan


def pictures(num: int, *shape: int, dtype=np.uint8) -> np.ndarray:
    """Pictures whose level is their number."""
    return np.broadcast_to(np.arange(num, dtype=dtype).reshape(-1, *(1 for _ in shape)), (num, *shape)).copy()


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def hugging_face(path, values, labels, names=None, **options):
    """A table as `datasets` writes it."""
    images = pa.array(
        [{"bytes": value, "path": None} for value in values], pa.struct({"bytes": pa.binary(), "path": pa.string()})
    )
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    table = pa.table({"image": images, "label": pa.array(labels, pa.int64())})
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path, **options)


def tar(path, files):
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("shape", "channels"), [((8, 8), 1), ((8, 8, 1), 1), ((8, 8, 3), 3), ((3, 8, 8), 3), ((8, 8, 4), 4)]
)
@pytest.mark.parametrize("budget", [2e9, 0])
def test_an_npy_of_images(shape, channels, budget, tmp_path):
    np.save(tmp_path / "x.npy", pictures(12, *shape))
    images = open_images(tmp_path / "x.npy", 8, memory_budget_bytes=budget)
    assert (images.channels, images.labels) == (channels, None)
    assert levels(pickle.loads(pickle.dumps(images)).read(range(12))) == list(range(12))


def test_the_hash_does_not_depend_on_the_budget(tmp_path):
    np.savez(tmp_path / "x.npz", pictures(5, 8, 8, 3))
    assert (
        len({open_images(tmp_path / "x.npz", 8, memory_budget_bytes=budget).content_hash for budget in (0, 1e9)}) == 1
    )


@pytest.mark.parametrize(
    "keys",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "val_images", "val_labels"),
        ("trainX", "trainY", "testX", "testY"),
    ],
)
def test_an_npz_of_splits_with_labels(keys, tmp_path):
    labels = np.arange(12) % 11
    arrays = (pictures(12, 8, 8), labels[:, None], pictures(4, 8, 8), labels[:4])
    np.savez_compressed(tmp_path / "mnist.npz", **dict(zip(keys, arrays, strict=True)), about=np.array("digits"))
    images = open_images(tmp_path / "mnist.npz", 8)
    assert images.classes == tuple(map(str, range(11)))
    assert images.labels.tolist() == labels.tolist()
    assert levels(images.read(range(12))) == list(range(12))
    assert len(open_held_out(tmp_path / "mnist.npz", 8)) == 4
    train, val = find_parts(tmp_path / "mnist.npz")
    assert (scan(train).classes["0"], len(val.names)) == (2, 4)
    assert len(open_images(tmp_path / "mnist.npz" / keys[2].replace("_", "").strip("xXimages"), 8)) == 4


def test_arrays_of_samples_as_diffusion_models_write_them(tmp_path):
    np.savez(tmp_path / "samples.npz", pictures(6, 8, 8, 3), np.array([0, 1, 2] * 2))
    assert open_images(tmp_path / "samples.npz", 8).labels.tolist() == [0, 1, 2] * 2


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_the_files_of_mnist(ending, tmp_path):
    pack = gzip.compress if ending else bytes
    labels = np.array([3, 1, 4, 1, 5])
    write(
        tmp_path / "mnist",
        {
            f"train-images-idx3-ubyte{ending}": pack(idx(pictures(5, 8, 8))),
            f"train-labels-idx1-ubyte{ending}": pack(idx(labels)),
            f"t10k-images-idx3-ubyte{ending}": pack(idx(pictures(2, 8, 8))),
            f"t10k-labels-idx1-ubyte{ending}": pack(idx(labels[:2])),
        },
    )
    images = open_images(tmp_path / "mnist", 8)
    assert (images.classes, images.labels.tolist()) == (("1", "3", "4", "5"), [1, 0, 2, 0, 3])
    assert levels(images.read(range(5))) == list(range(5))
    assert len(open_held_out(tmp_path / "mnist", 8)) == 2
    assert open_images(tmp_path / "mnist" / f"t10k-images-idx3-ubyte{ending}", 8).classes == ("1", "3")


@pytest.mark.parametrize("name", ["set.tar", "set.tar.gz", "set.tgz"])
def test_a_tar_is_as_a_folder(name, tmp_path):
    files = {**many(3, "cat/"), **many(2, "dog/")}
    known = open_images(write(tmp_path / "set", files), 8)
    tar(tmp_path / name, {**{f"./set/{file}": data for file, data in files.items()}, "./._x.png": b""})
    for budget in (0, 2e9):
        images = open_images(tmp_path / name, 8, memory_budget_bytes=budget)
        assert (images.classes, images.content_hash) == (("cat", "dog"), known.content_hash)
        assert levels(pickle.loads(pickle.dumps(images)).read(range(5))) == [0, 1, 2, 0, 1]
    assert len(open_images(tmp_path / name / "cat", 8)) == 3


def test_tables_of_hugging_face(tmp_path):
    names = ["zebra", "ant"]
    folder = tmp_path / "pets" / "data"
    folder.parent.mkdir()
    hugging_face(folder / "train-00000-of-00002.parquet", [png(0), png(1), png(2)], [0, 1, 0], names, row_group_size=2)
    hugging_face(folder / "train-00001-of-00002.parquet", [png(3), png(4)], [1, 1], names)
    hugging_face(folder / "test-00000-of-00001.parquet", [png(9)], [-1], names)
    (tmp_path / "pets" / "README.md").write_text("pets")
    images = open_images(tmp_path / "pets", 8, memory_budget_bytes=0)
    assert (images.classes, images.labels.tolist()) == (("ant", "zebra"), [1, 0, 1, 0, 0])
    assert levels(pickle.loads(pickle.dumps(images)).read([4, 2, 0, 3, 1])) == [4, 2, 0, 3, 1]
    assert levels(open_held_out(tmp_path / "pets", 8).read([0])) == [9]
    assert len(open_images(folder / "train-00001-of-00002.parquet", 8)) == 2


def test_a_row_without_a_picture_is_set_aside(tmp_path):
    hugging_face(tmp_path / "x.parquet", [png(0), None, b"text", png(3)], [0, 1, 0, 1])
    images = open_images(tmp_path / "x.parquet", 8)
    assert (images.names, images.classes) == (("00000000.png", "00000003.png"), ("0", "1"))
    assert [reason[:9] for _, reason in images.quarantined] == ["no pictur", "not a JPE"]


def test_every_command_takes_a_container(tmp_path):
    np.save(tmp_path / "a.npy", pictures(3, 8, 8))
    tar(tmp_path / "b.tar", many(2))
    domains = open_domains(None, tmp_path / "a.npy", tmp_path / "b.tar", 8)
    assert (len(domains.train_a), domains.train_a.channels, len(domains.train_b)) == (3, 1, 2)
    assert [len(part.names) for part in find_parts(tmp_path / "a.npy", tmp_path / "b.tar")] == [3, 2]
    found = find_input_files([tmp_path / "a.npy", tmp_path / "b.tar"], tmp_path / "out")
    assert [source.name for source in found] == ["0000000.pgm", "0000001.pgm", "0000002.pgm", "000.png", "001.png"]
    assert np.asarray(Image.open(io.BytesIO(found[2].content()))).tolist() == [[2] * 8] * 8


@pytest.mark.parametrize("dtype", [np.uint16, np.int64, np.float32, np.float64])
def test_deep_arrays_become_deep_files(dtype, tmp_path):
    np.save(tmp_path / "x.npy", pictures(4, 8, 8, dtype=dtype))
    place = open_storage(tmp_path / "x.npy")
    assert place.names[3] == "0000003.tif"
    assert np.asarray(Image.open(io.BytesIO(place.read("0000003.tif")))).tolist() == [[3] * 8] * 8


def test_masks_of_booleans_are_black_and_white(tmp_path):
    np.save(tmp_path / "x.npy", np.stack([np.zeros((8, 8), bool), np.ones((8, 8), bool)]))
    assert levels(open_images(tmp_path / "x.npy", 8).read([0, 1])) == [0, 255]


@pytest.mark.parametrize(
    ("ending", "kind", "mode"),
    [
        (".avif", "AVIF", "RGB"),
        (".heic", "HEIF", "RGB"),
        (".PGM", "PPM", "L"),
        (".ppm", "PPM", "RGB"),
        (".pbm", "PPM", "1"),
    ],
)
def test_other_formats(ending, kind, mode, tmp_path):
    pillow_heif.register_heif_opener()
    for number, level in enumerate((0, 255)):
        Image.new("RGB", (16, 16), (level,) * 3).convert(mode).save(tmp_path / f"{number}{ending}", kind)
    for budget in (0, 2e9):
        images = open_images(tmp_path, 16, memory_budget_bytes=budget)
        assert images.channels == (3 if mode == "RGB" else 1)
        np.testing.assert_allclose(images.read([0, 1])[:, 0, 4, 4], [0, 255], atol=3)


def test_tops_are_what_stands_before_the_first_slash(tmp_path):
    names = [
        "a",
        "a-b/x.png",
        "a.png",
        "a/b/x.png",
        "a/x.png",
        "a/y.png",
        "a0/x.png",
        "b/x.png",
        "\xe9/x.png",
        "/z.png",
    ]
    place = open_storage(write(tmp_path / "set.zip", dict.fromkeys(names, b"x")))
    expected: dict[str | None, list[str]] = {}
    for name in sorted(names):
        if "/" in name:
            expected.setdefault(name.split("/")[0], []).append(name)
    found = list(place.tops())
    assert {folder: list(inside) for folder, inside in found if folder is not None} == expected
    assert [inside for folder, inside in found if folder is None] == [("a",), ("a.png",)]

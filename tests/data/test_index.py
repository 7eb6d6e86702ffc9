"""Large sets are opened again from an index, as they were; it counts only as long as their files are the same."""

import io
import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import png

from ganshift.data import decoding
from ganshift.data.index import FEWEST
from ganshift.data.open import open_domains, open_held_out, open_images
from ganshift.data.sampling import batches

PNG = [png(level, mode="L") for level in range(256)]
FILES = {f"{'xy'[number % 2]}/{number:03d}.png": PNG[number % 256] for number in range(FEWEST)}


def make(path, files):
    """A place of the kind that the name's ending says, new each time."""
    path.unlink(missing_ok=True) if path.is_file() else None
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    elif path.suffix == ".tar":
        with tarfile.open(path, "w") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    elif path.suffix == ".parquet":
        labels = [name.split("/")[0] for name in files]
        table = pa.table({"image": [{"bytes": content} for content in files.values()], "label": labels})
        pq.write_table(table, path, row_group_size=60)
    else:
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    return path


@pytest.fixture(params=["set", "set.zip", "set.tar", "set.parquet"])
def place(request, tmp_path):
    return make(tmp_path / request.param, FILES)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ganshift" / "images"


def stream(path, **settings):
    return open_images(path, 8, memory_budget_bytes=0, **settings)


def spoil(path):
    """Change what is in a file, or in all of a folder, but no name, size or time."""
    for file in [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]:
        status = file.stat()
        file.write_bytes(bytes(status.st_size))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def assert_equal(one, other):
    names = ("names", "classes", "channels", "size", "content_hash", "quarantined", "value_range", "streams")
    for name in names:
        assert getattr(one, name) == getattr(other, name), name
    np.testing.assert_array_equal(one.labels, other.labels)
    assert (one.place is None) == (other.place is None)
    assert one.place is None or one.place.where == other.place.where


def test_a_set_from_an_index_is_the_set(place, cache):
    first = stream(place)
    assert len(list(cache.iterdir())) == 1
    again = stream(place)
    assert_equal(first, again)
    chosen = [0, 1, FEWEST // 2, FEWEST - 1]
    np.testing.assert_array_equal(first.read(chosen), again.read(chosen))
    np.testing.assert_array_equal(first.read(chosen), pickle.loads(pickle.dumps(again)).read(chosen))
    assert (len(again), again.classes, again.streams) == (FEWEST, ("x", "y"), True)


def test_nothing_is_read_but_the_index(place):
    first = stream(place)
    spoil(place)
    assert_equal(first, stream(place))


def test_the_hash_is_that_of_the_set_in_memory(place):
    assert stream(place).content_hash == stream(place).content_hash == open_images(place, 8).content_hash


def test_other_settings_have_an_index_of_their_own(place, cache):
    for settings in ({}, {"channels": 3}, {"value_range": None}):
        stream(place, **settings)
    assert stream(place, channels=3).channels == 3
    assert open_images(place, 9, memory_budget_bytes=0).size == 9
    assert len(list(cache.iterdir())) == 4


def test_small_sets_and_sets_in_memory_have_none(tmp_path, cache):
    stream(make(tmp_path / "few.zip", dict(islice(FILES.items(), 10))))
    open_images(make(tmp_path / "set.zip", FILES), 8)
    assert not cache.exists()


def test_changed_files_are_gone_through_again(tmp_path):
    folder = make(tmp_path / "set", FILES)
    first = stream(folder)
    (folder / "x" / "new.png").write_bytes(PNG[1])
    assert len(stream(folder)) == FEWEST + 1
    (folder / "x" / "new.png").unlink()
    assert_equal(first, stream(folder))
    (folder / "x" / "000.png").write_bytes(PNG[200])  # in its place
    os.utime(folder / "x" / "000.png", ns=(1, 1))
    assert stream(folder).content_hash != first.content_hash
    (folder / "x" / "000.png").rename(folder / "y" / "000.png")
    assert stream(folder).labels.sum() == FEWEST / 2 + 1


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.parquet"])
def test_a_changed_container_is_gone_through_again(name, tmp_path):
    place = make(tmp_path / name, FILES)
    first = stream(place)
    make(place, {**FILES, "x/new.png": PNG[1]})
    assert len(stream(place)) == FEWEST + 1
    make(place, FILES)
    assert_equal(first, stream(place))


@pytest.mark.parametrize("damage", [b"", b"text", "cut", "foreign", "pickle"])
def test_a_damaged_index_is_as_good_as_none(damage, tmp_path, cache):
    place = make(tmp_path / "set.zip", FILES)
    first = stream(place)
    (index,) = cache.iterdir()
    if damage == "cut":
        index.write_bytes(index.read_bytes()[: index.stat().st_size // 2])
    elif damage == "foreign":
        np.savez(index.with_suffix(""), about=np.zeros(3))
    elif damage == "pickle":
        np.savez(index.with_suffix(""), about=np.array([first.names], dtype=object))
    else:
        index.write_bytes(damage)
    assert_equal(first, stream(place))
    spoil(place)
    assert_equal(first, stream(place))  # it was written anew


@pytest.mark.parametrize("cannot_be_written", [True, False], ids=["a file in its place", "no home"])
def test_without_a_cache_folder(cannot_be_written, tmp_path, monkeypatch):
    place = make(tmp_path / "set.zip", FILES)
    if cannot_be_written:
        (tmp_path / "file").write_bytes(b"")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    else:
        for name in ("HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert_equal(stream(place), stream(place))


def test_warnings_are_given_again(tmp_path, caplog):
    place = make(tmp_path / "set", {**FILES, "x/bad.png": b"text", "notes.txt": b""})
    first = stream(place)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "left out 1 of 201 files (x/bad.png: not a" in said[1]
    caplog.clear()
    assert_equal(first, stream(place))
    assert [record.getMessage() for record in caplog.records] == said
    assert first.quarantined[0][0] == "x/bad.png"


def test_a_program_without_logging_sees_the_warnings(tmp_path, capsys, monkeypatch):
    """Python shows them where a program has set up nothing."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger("ganshift"), "handlers", [])
    place = make(tmp_path / "set", {**FILES, "x/bad.png": b"text"})
    for _ in range(2):
        stream(place)
        assert "left out 1 of 201 files" in capsys.readouterr().err


def test_odd_names(tmp_path):
    odd = ["new\nline.png", "e\u0301.png", "\u65e5\u672c.png", os.fsdecode(b"\xff.png"), "'\".png"]
    folder = make(tmp_path / "set", {**FILES, **{f"x/{name}": PNG[9] for name in odd}})
    first, again = stream(folder), stream(folder)
    assert_equal(first, again)
    assert {"x/\xe9.png", "x/new\nline.png"} <= set(again.names)
    assert again.place.other_names == {"x/\xe9.png": "x/e\u0301.png"}
    np.testing.assert_array_equal(first.read(range(len(first))), again.read(range(len(again))))


def test_a_part_of_a_container(tmp_path):
    files = {f"top/{split}/{name}": content for split in ("train", "test") for name, content in FILES.items()}
    place = make(tmp_path / "set.zip", files)
    for path, settings in ((place, {}), (place, {"split": "test"}), (place / "train", {})):
        first, again = stream(path, **settings), stream(path, **settings)
        assert_equal(first, again)
        np.testing.assert_array_equal(first.read([3, 180]), again.read([3, 180]))
    assert_equal(open_held_out(place, 8, None, 0), open_held_out(place, 8, None, 0))


def test_that_nothing_is_held_out_is_kept(tmp_path, cache):
    place = make(tmp_path / "set.tar", FILES)
    assert open_held_out(place, 8) is None
    assert len(list(cache.iterdir())) == 1
    spoil(place)
    assert open_held_out(place, 8) is None


def test_domains_of_which_some_fit_into_memory(tmp_path):
    files = {f"train{'AB'[number % 2]}/{number:03d}.png": PNG[number % 256] for number in range(FEWEST)}
    files |= {f"test{domain}/{number}.png": PNG[number] for domain in "AB" for number in range(9)}
    place = make(tmp_path / "set.zip", files)
    opened = [open_domains(place, None, None, 8, memory_budget_bytes=5_000) for _ in range(2)]
    for name in ("train_a", "train_b", "val_a", "val_b"):
        first, again = (getattr(domains, name) for domains in opened)
        assert_equal(first, again)
        assert again.streams == name.startswith("train")
        np.testing.assert_array_equal(first.read(range(9)), again.read(range(9)))


# Python 3.12 warns of every fork in a process that has threads, and torch always has some.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("name", ["set", "set.zip", "set.tar", "set.parquet"])
def test_processes_find_what_threads_find(name, tmp_path, monkeypatch):
    place = make(tmp_path / name, {**dict(islice(FILES.items(), 50)), "y/bad.png": b"text", "y/empty.png": b""})
    first = stream(place)
    monkeypatch.setattr(decoding, "_MANY", 10)
    monkeypatch.setattr(decoding, "_PART", 20)
    seen = []
    again = stream(place, progress=lambda done, total: seen.append((done, total)))
    assert_equal(first, again)
    assert [reason[:5] for _, reason in again.quarantined] == ["not a", "empty"]
    assert seen == [(26, 52), (52, 52)]
    assert multiprocessing.active_children() == []


def test_a_script_without_a_main_guard_runs_once(tmp_path):
    """Also where processes are not forked from it, as on macOS, or by default from Python 3.14 on."""
    place = make(tmp_path / "set.zip", FILES)
    script = tmp_path / "script.py"
    script.write_text(f"""
import multiprocessing
multiprocessing.set_start_method("forkserver", force=True)
from pathlib import Path
from ganshift.data import decoding
from ganshift.data.open import open_images
decoding._MANY = 10
print(len(open_images(Path({str(place)!r}), 8, memory_budget_bytes=0)))
""")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stdout) == (0, f"{FEWEST}\n"), done.stderr


# The same.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_the_same(workers, place):
    settings = {"batch": 8, "start": 16, "seed": 3, "flip": True, "workers": workers}
    sets = [stream(place), stream(place)]
    readers = [batches({"a": images}, **settings) for images in sets]
    for one, other in islice(zip(*readers, strict=True), 3):
        np.testing.assert_array_equal(one["a"].images, other["a"].images)
        np.testing.assert_array_equal(one["a"].labels, other["a"].labels)
    for reader in readers:
        reader.close()

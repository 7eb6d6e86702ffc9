"""Checkpoints are whole or not there, and a damaged one is noticed."""

import pickle
import zipfile

import pytest
import torch

from ganshift.errors import UserError
from ganshift.files import write_atomically
from ganshift.training import checkpoint


def test_round_trip_and_keep(tmp_path):
    for images in (1, 2, 30):
        checkpoint.save(tmp_path, images, {"state": {"weight": torch.arange(3) * images}}, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000002.pt", "000000000030.pt"]
    content = checkpoint.load_latest(tmp_path)
    assert content["images"] == 30
    assert torch.equal(content["state"]["weight"], torch.tensor([0, 30, 60]))


def test_nothing_there(tmp_path):
    assert checkpoint.load_latest(tmp_path / "none") is None


def damage(path, how):
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_bytes(b"not a checkpoint")
    elif how == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme", "x")
    else:
        place = content.index((1.2345 * torch.ones(8)).numpy().tobytes())
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


@pytest.mark.parametrize("how", ["cut", "empty", "text", "zip", "one bit"])
def test_damaged_newest_falls_back(tmp_path, how, caplog):
    for images in (1, 2):
        checkpoint.save(tmp_path, images, {"state": 1.2345 * torch.ones(64)}, keep=2)
    damage(tmp_path / "000000000002.pt", how)
    assert checkpoint.load_latest(tmp_path)["images"] == 1
    assert "000000000002.pt is damaged" in caplog.text


def test_damaged_ones_are_not_kept_in_place_of_good_ones(tmp_path):
    for images in (1, 2, 9):
        checkpoint.save(tmp_path, images, {}, keep=3)
    damage(tmp_path / "000000000009.pt", "cut")
    assert checkpoint.load_latest(tmp_path)["images"] == 2
    checkpoint.save(tmp_path, 3, {}, keep=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000003.pt", "000000000009.damaged"]
    assert checkpoint.load_latest(tmp_path)["images"] == 3


def test_what_a_killed_run_left_is_cleared(tmp_path):
    tmp_path.joinpath(".000000000007.pt.part").write_bytes(b"half")
    checkpoint.save(tmp_path, 8, {}, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["000000000008.pt"]


@pytest.mark.parametrize("content", [[1], torch.ones(2), {"format": 1}])
def test_other_contents_are_damaged_checkpoints(tmp_path, content, caplog):
    torch.save(content, tmp_path / "000000000005.pt")
    checkpoint.save(tmp_path, 1, {}, keep=9)
    assert checkpoint.load_latest(tmp_path)["images"] == 1
    assert "is damaged" in caplog.text


def test_all_damaged_is_an_error(tmp_path):
    checkpoint.save(tmp_path, 1, {}, keep=2)
    damage(tmp_path / "000000000001.pt", "cut")
    with pytest.raises(UserError, match="all 1 checkpoints"):
        checkpoint.load_latest(tmp_path)


def test_other_format_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    checkpoint.save(tmp_path, 1, {}, keep=2)
    monkeypatch.undo()
    with pytest.raises(UserError, match="format 99"):
        checkpoint.load_latest(tmp_path)


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (print, ("boom",))


def test_no_code_is_run(tmp_path, capsys):
    torch.save({"format": 1, "images": 5, "bomb": Bomb()}, tmp_path / "000000000005.pt", pickle_module=pickle)
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load_latest(tmp_path)
    assert "boom" not in capsys.readouterr().out


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(beside):
        beside.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]

"""Full and read-only disks, two processes on one folder, and sources that have moved."""

import os
import resource
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from processes import Command

from ganshift.cli import main
from ganshift.errors import UserError
from ganshift.files import write_atomically, write_output
from ganshift.training import checkpoint, run_folder

TRAIN = ["transfer", "--preset", "tiny", "--data", "bundled:digits", "--checkpoint-every", "32"]


@contextmanager
def small_disk(folder, size):
    """A file system of its own of so many bytes, which can be filled up and made read-only; root alone may mount."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def can_mount(tmp_path):
    probe = tmp_path / "probe"
    try:
        with small_disk(probe, 4096):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def assert_stopped(code, said):
    """The run ended with one line that says that it cannot write, and no traceback."""
    assert code == 2, said
    assert "cannot write" in said.splitlines()[-1]
    assert "Traceback" not in said


@pytest.mark.ring_two
def test_files_that_cannot_grow(tmp_path):
    """A limit on the size of files stops a run as a full disk does, everywhere: the last checkpoint stays as it was."""
    out = tmp_path / "run"
    assert main([*TRAIN, "--images", "32", "--out", str(out)]) == 0
    before = {path: path.read_bytes() for path in (out / "checkpoints").iterdir()}
    longest = max(len(content) for content in before.values())

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (longest // 2, longest // 2))

    command = [sys.executable, "-m", "ganshift", *TRAIN, "--images", "64", "--out", str(out)]
    run = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, timeout=90)
    assert_stopped(run.returncode, run.stderr)
    assert {path: path.read_bytes() for path in (out / "checkpoints").iterdir()} == before
    assert main([*TRAIN, "--images", "64", "--out", str(out)]) == 0
    assert checkpoint.load_latest(out / "checkpoints")["images"] == 64


def test_a_full_and_a_read_only_disk(tmp_path, capsys):
    """On a disk of our own where we may mount one; else what a path below a file answers, which is no folder at all."""
    if not can_mount(tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match="cannot write"):
            write_output(tmp_path / "file" / "out.png", b"")
        return
    disk = tmp_path / "disk"
    with small_disk(disk, 4_000_000):
        out = disk / "run"
        assert main([*TRAIN, "--images", "32", "--out", str(out)]) == 0
        before = {path: path.read_bytes() for path in (out / "checkpoints").iterdir()}
        filler = disk / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4096"], stderr=subprocess.DEVNULL, check=False)
        assert_stopped(main([*TRAIN, "--images", "64", "--out", str(out)]), capsys.readouterr().err)
        assert {path: path.read_bytes() for path in (out / "checkpoints").iterdir()} == before
        with pytest.raises(UserError, match=r"cannot write.*No space"):
            write_output(disk / "more" / "x.png", bytes(100_000))
        assert not list(disk.rglob("*.part"))
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert_stopped(main([*TRAIN, "--images", "64", "--out", str(out)]), capsys.readouterr().err)
        assert main([*TRAIN, "--images", "64", "--out", str(disk / "new")]) == 2
        with pytest.raises(UserError, match=r"cannot write.*Read-only"):
            write_output(out / "x.png", b"")
        assert main(["generate", str(out), "-n", "1", "-o", str(tmp_path / "one.png")]) == 0  # reading needs no lock
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert main([*TRAIN, "--images", "64", "--out", str(out)]) == 0
        assert checkpoint.load_latest(out / "checkpoints")["images"] == 64


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path, capsys):
    out = tmp_path / "run"
    first = Command([*TRAIN, "--images", str(10**9), "--out", str(out)], tmp_path / "said")
    try:
        while not list((out / "checkpoints").glob("*.pt")):
            assert first.poll() is None
            time.sleep(0.05)
        log = (out / "log.jsonl").read_text()
        assert main([*TRAIN, "--images", "1000000000", "--out", str(out)]) == 2
        said = capsys.readouterr().err
        assert f"another process is training in {out} (process {first.pid} on " in said
        assert said.count("\n") == 1
        assert (out / "log.jsonl").read_text().startswith(log)
        assert main(["generate", str(out), "-n", "1", "-o", str(tmp_path / "one.png")]) == 0
    finally:
        first.kill()
        first.wait()
    with run_folder.held(out):
        pass


def test_locks_that_a_file_system_does_not_have(tmp_path, monkeypatch, caplog):
    import fcntl

    def refuse(file, operation):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with run_folder.held(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()
    assert "cannot be locked" in caplog.text


def test_a_lock_that_leads_elsewhere(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "run" / run_folder.LOCK).symlink_to("../elsewhere")
    with pytest.raises(UserError, match="cannot write"), run_folder.held(tmp_path / "run"):
        pass
    assert (tmp_path / "elsewhere").read_text() == "mine"


def test_a_folder_of_something_else_gets_no_lock(tmp_path):
    (tmp_path / "letters.txt").write_text("mine")
    with pytest.raises(UserError, match="holds no run"), run_folder.held(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_what_is_written_is_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """First the content, then the name, then the folder that has the name."""
    steps = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda number: (steps.append(str(Path(f"/proc/self/fd/{number}").readlink())), sync(number))
    )
    monkeypatch.setattr(os, "replace", lambda one, two: (steps.append("rename"), replace(one, two)))
    write_atomically(tmp_path / "x", lambda beside: beside.write_text("x"))
    assert steps == [str(tmp_path / ".x.part"), "rename", str(tmp_path)]


@pytest.mark.ring_two
def test_a_run_goes_on_when_its_source_has_moved(tmp_path):
    """Its weights are in the checkpoint: the run is the one that would have gone on with the source in place."""
    states, trained, here = [], tmp_path / "trained", tmp_path / "source"
    assert main([*TRAIN, "--images", "32", "--out", str(trained)]) == 0
    for name in ("moved", "stayed"):
        out = tmp_path / name
        shutil.copytree(trained, here)
        arguments = [*TRAIN, "--source", str(here), "--out", str(out)]
        assert main([*arguments, "--images", "32"]) == 0
        surgery = (out / "surgery.txt").read_text()
        if name == "moved":
            shutil.rmtree(here)
        assert main([*arguments, "--images", "64"]) == 0
        assert (out / "surgery.txt").read_text() == surgery
        states.append(checkpoint.load_latest(out / "checkpoints")["state"])
        shutil.rmtree(here, ignore_errors=True)
    for one, other in zip(states[0]["generator"].values(), states[1]["generator"].values(), strict=True):
        assert torch.equal(one, other)
    assert main([*TRAIN, "--source", str(here), "--images", "32", "--out", str(tmp_path / "new")]) == 2


def test_classes_whose_names_are_no_text(tmp_path):
    """Names of folders get into config.json; what of them is no text comes back as it was."""
    import corpus

    for name in (b"\xff\xfe", b"\x1b[31m\n"):
        folder = tmp_path / "data" / os.fsdecode(name)
        corpus.write_all(folder, {f"{n}.png": corpus.encode(corpus.noise("RGB", seed=n), "PNG") for n in range(4)})
    out = tmp_path / "run"
    arguments = ["transfer", "--preset", "tiny", "--data", str(tmp_path / "data"), "--conditioning", "norm"]
    arguments += ["--critic-norm", "True", "--images", "16", "--out", str(out)]
    assert main(arguments) == 0
    assert sorted(run_folder.read_config(out)["classes"]) == sorted(
        os.fsdecode(n) for n in (b"\xff\xfe", b"\x1b[31m\n")
    )
    assert main(["generate", str(out), "-n", "2", "-o", str(tmp_path / "two.png")]) == 0
    exported = tmp_path / "exported"
    assert main(["export", str(out), "--format", "safetensors", "-o", str(exported)]) == 0
    assert run_folder.read_config(exported)["classes"] == run_folder.read_config(out)["classes"]

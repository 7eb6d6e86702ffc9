"""Checkpoints that a thread writes while training goes on, as on accelerators: here with the numbers of a processor."""

import resource
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from ganshift import cli
from ganshift.training import background, checkpoint

TRAIN = [
    *("transfer", "--preset", "tiny", "--data", "bundled:digits", "--ema-images", "64", "--no-linear-decay"),
    *("--checkpoint-every", "8"),
]
PROGRAM = (
    "import sys; from ganshift.training import background; background.writes_in_thread = lambda device: True; "
    "from ganshift.cli import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture
def in_thread(monkeypatch):
    monkeypatch.setattr(background, "writes_in_thread", lambda device: True)


def train(out, images, **options):
    """In a process of its own, in which a thread writes."""
    command = [sys.executable, "-c", PROGRAM, *TRAIN, "--images", str(images), "--out", str(out)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run that waits for its writing."""
    out = tmp_path_factory.mktemp("straight") / "run"
    assert cli.main([*TRAIN, "--images", "64", "--out", str(out)]) == 0
    return out


def assert_equal_runs(one: Path, other: Path):
    """To the last bit."""
    states = [checkpoint.load_latest(out / "checkpoints") for out in (one, other)]
    for state in states:
        assert state.pop("seconds") > 0
    compare = partial(torch.testing.assert_close, rtol=0, atol=0, equal_nan=True)
    compare(*(state.pop("state") for state in states))
    assert states[0] == states[1]
    for name in ("model.safetensors", "critic.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_a_run_that_is_saved_so_resumes_to_the_last_bit(straight, tmp_path, in_thread):
    for images in ("32", "64"):
        assert cli.main([*TRAIN, "--images", images, "--out", str(tmp_path / "run")]) == 0
    assert_equal_runs(straight, tmp_path / "run")
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == len(list((straight / "checkpoints").iterdir()))


@pytest.mark.ring_two
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_ended_while_it_is_written(number, straight, tmp_path):
    out = tmp_path / "run"
    process = train(out, 100_000)
    while not (list(out.glob("checkpoints/0*.pt")) and list(out.glob("checkpoints/.*.part"))):
        assert process.poll() is None  # a part is there for some milliseconds
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == (-9 if number == signal.SIGKILL else 143), said
    left = list(out.glob("checkpoints/.*.part"))
    assert number == signal.SIGKILL or not left
    found = checkpoint.load_latest(out / "checkpoints")["images"]
    assert found >= 8
    if number == signal.SIGTERM:
        assert f"stopped by SIGTERM at {found} of" in said
    if found < 64:
        assert cli.main([*TRAIN, "--images", "64", "--out", str(out)]) == 0
        assert_equal_runs(straight, out)


@pytest.mark.ring_two
def test_files_that_cannot_grow(straight, tmp_path):
    """As on a full disk, what could not be written is said, and the checkpoint before stays as it was."""
    out = tmp_path / "run"
    assert cli.main([*TRAIN, "--images", "8", "--out", str(out)]) == 0
    before = {path: path.read_bytes() for path in (out / "checkpoints").iterdir()}
    most = max(map(len, before.values())) - 4096  # no checkpoint, but the model
    process = train(out, 64, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
    said = process.communicate(timeout=90)[1]
    assert process.returncode == 2, said
    assert "cannot write" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert {path: path.read_bytes() for path in (out / "checkpoints").iterdir()} == before

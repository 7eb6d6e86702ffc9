"""Runs killed again and again at random moments, also while a checkpoint is written, end as if nothing had happened."""

import random
import time
from pathlib import Path

import numpy as np
import pytest
from e2e.test_watched_runs import assert_equal_watched_runs
from PIL import Image
from processes import Command, run

KILLS = (4, pytest.param(20, marks=pytest.mark.ring_two))
"""Of each method; every other one strikes while a checkpoint is being written."""
IMAGES = {"transfer": {4: "480", 20: "1440"}, "dual": {4: "40", 20: "120"}}
"""Enough for so many kills."""
STREAMED = ["--workers", "2", "--memory-budget", "1e-9"]
COMMANDS = {
    "transfer": [
        *("transfer", "--preset", "tiny", "--augment", "color,translation", "--ema-images", "64"),
        *("--checkpoint-every", "8", "--evaluate-every", "96", "--evaluate-images", "12", "--linear-decay"),
    ],
    "dual": [
        *("dual", "--preset", "tiny", "--ema-images", "8"),
        *("--checkpoint-every", "1", "--evaluate-every", "8", "--evaluate-images", "6"),
    ],
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def write_pictures(folder: Path, count: int, seed: int) -> Path:
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).resize((32, 32)).save(folder / f"{number:02d}.png")
    return folder


def newest(out: Path) -> int:
    return max((int(path.stem) for path in (out / "checkpoints").glob("[0-9]*.pt")), default=0)


def kill(command: list[str], out: Path, while_writing: bool, chance: random.Random) -> bool:
    """Start the run, let it get on, and kill it; False if it came to its end first."""
    process, before = Command([*command, "--out", str(out)], out.with_name("said")), newest(out)
    goal = time.monotonic() + 120
    while newest(out) == before and process.poll() is None:
        assert time.monotonic() < goal, "no checkpoint within two minutes"
        time.sleep(0.002)
    until = time.monotonic() + chance.uniform(0, 0.3)
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.002)
    while while_writing and process.poll() is None and not any((out / "checkpoints").glob(".*.part")):
        pass  # a part is there for a millisecond
    process.kill()
    code = process.wait(60)
    assert code in (0, -9), process.said()
    return code == -9


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("method", sorted(COMMANDS))
def test_a_run_killed_again_and_again_equals_a_straight_one(method, kills, tmp_path):
    chance = random.Random(method)
    data = (
        ["--data", str(write_pictures(tmp_path / "data", 40, 0))]
        if method == "transfer"
        else [f"--{name}={write_pictures(tmp_path / name, 12, seed)}" for seed, name in enumerate("ab")]
    )
    command = [*COMMANDS[method], "--images", IMAGES[method][kills], *data, *STREAMED]
    killed = [kill(command, tmp_path / "killed", bool(number % 2), chance) for number in range(kills)]
    assert all(killed), "the run ended before it had been killed as often as it should be"
    for name in ("killed", "straight"):
        run([*command, "--out", str(tmp_path / name)], tmp_path / "said")
    assert_equal_watched_runs(tmp_path / "killed", tmp_path / "straight")

"""Trackers: each is told every step once, whatever becomes of the run, and none keeps a run from training."""

import json
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ganshift.errors import UserError
from ganshift.methods.transfer.config import PRESETS, TransferConfig
from ganshift.methods.transfer.trainer import train
from ganshift.training.config import TRACKERS
from ganshift.training.log import RunLog
from ganshift.training.trackers import OFFLINE, STATE, require_packages

TWICE = """
import sys
from pathlib import Path
from ganshift.training.log import RunLog
out = Path(sys.argv[1])
for at, steps in ((0, (8, 16, 24)), (8, (16, 24, 32))):
    log = RunLog(out, at, ("trackio", "tensorboard"), {"batch": 4, "source": None})
    for images in steps:
        log.write(images, {"loss": float(images + at)})
        log.write_evaluation({"images": images, "score": {"name": "KID", "value": 1.0}, "signs": {}, "cards": []})
    log.close()
"""


@pytest.fixture
def config(tmp_path):
    return TransferConfig(**PRESETS["tiny"], data=Path("bundled:digits"), out=tmp_path / "out")


def test_what_a_resumed_run_repeats_reaches_a_tracker_once(tmp_path, monkeypatch):
    """Trackio keeps runs in a database on disk: the same run goes on, with the settings that it began with."""
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "kept"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    out = tmp_path / "run"
    out.mkdir()
    done = subprocess.run([sys.executable, "-c", TWICE, str(out)], capture_output=True, text=True, check=True)
    assert "initialized" not in done.stdout  # standard output is for results
    with sqlite3.connect(tmp_path / "kept/ganshift.db") as database:
        rows = database.execute("select run_name, step, metrics from metrics order by step, id").fetchall()
        ((settings,),) = database.execute("select config from configs").fetchall()
    database.close()
    (name,) = {name for name, _, _ in rows}
    assert name.startswith("run-")
    losses = [(step, json.loads(metrics)["loss"]) for _, step, metrics in rows if "loss" in json.loads(metrics)]
    assert losses == [(8, 8.0), (16, 16.0), (24, 24.0), (32, 40.0)]
    assert [step for _, step, metrics in rows if "evaluation/KID" in json.loads(metrics)] == [8, 16, 24, 32]
    assert json.loads(settings)["batch"] == 4
    assert json.loads((out / STATE).read_text())["trackio"]["images"] == 32
    assert (out / "tensorboard").is_dir()


def test_a_run_without_trackers_has_its_log(tmp_path):
    log = RunLog(tmp_path, 0, ())
    log.write(8, {"loss": 1.0})
    log.image("samples", np.zeros((2, 2, 3), np.uint8), 8)
    log.close()
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl"}


@pytest.mark.parametrize(
    ("text", "trackers"),
    [("none", ()), ("trackio", ("trackio",)), ("wandb,tensorboard,wandb", ("wandb", "tensorboard"))],
)
def test_trackers_by_name(text, trackers, config):
    assert replace(config, tracker=text).trackers == trackers
    assert config.trackers == ("tensorboard",)


@pytest.mark.parametrize("text", ["", "none,wandb", "tensorboard, wandb", "aim"])
def test_unknown_trackers_are_refused(text, config):
    with pytest.raises(UserError, match="tracker takes any of tensorboard, wandb, mlflow, trackio"):
        replace(config, tracker=text)


def test_a_missing_package_is_said_with_its_command_before_anything_is_written(config, monkeypatch):
    assert set(TRACKERS) == {"tensorboard", *OFFLINE}
    monkeypatch.setitem(sys.modules, "wandb", None)
    require_packages(["tensorboard", "trackio"])
    with pytest.raises(UserError, match="pip install wandb"):
        train(replace(config, tracker="tensorboard,wandb"))
    assert not config.out.exists()

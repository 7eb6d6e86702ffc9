"""Tiny runs of both methods, trained once."""

import json
import shutil
from pathlib import Path

import pytest

from ganshift.methods.dual import config as dual_config
from ganshift.methods.dual.trainer import train as train_dual
from ganshift.methods.transfer import config as transfer_config
from ganshift.methods.transfer.trainer import train as train_transfer
from ganshift.tools.evaluate import evaluate
from ganshift.tools.evaluate.nearest import check_copying


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A source, a run from it that was evaluated, a run from scratch with other cadences, and a dual run."""
    root = tmp_path_factory.mktemp("runs")
    for name, settings in {
        "source": {"data": Path("bundled:digits"), "images": 16},
        "pretrained": {"data": Path("bundled:faces"), "source": str(root / "source"), "sample_every": 32},
        "scratch": {"data": Path("bundled:faces"), "images": 80, "sample_every": 40},
    }.items():
        settings = transfer_config.PRESETS["tiny"] | {"log_every": 16, **settings}
        train_transfer(transfer_config.TransferConfig(out=root / name, **settings))
    settings = dual_config.PRESETS["tiny"] | {"log_every": 2, "data": Path("bundled:photo-sketch")}
    train_dual(dual_config.DualConfig(out=root / "dual", **settings))
    for name in ("pretrained", "scratch"):
        evaluate(root / name, Path("bundled:faces"), metrics=("kid",), num_images=20, device="cpu")
    check_copying(root / "pretrained", num_images=20, device="cpu")
    return root


@pytest.fixture
def copy(runs, tmp_path):
    """Copy a run to another name, and put something else in its log."""

    def make(source="scratch", name="copy", log=None):
        folder = Path(shutil.copytree(runs / source, tmp_path / name, ignore=shutil.ignore_patterns("*.pt")))
        if log is not None:
            (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
        return folder

    return make

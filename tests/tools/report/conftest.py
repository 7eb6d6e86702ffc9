"""Tiny runs of both methods, trained once."""

import json
import shutil
from pathlib import Path

import pytest
from processes import run

from ganshift.tools.evaluate import evaluate
from ganshift.tools.evaluate.copying import check_copying


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A source, a run from it that was evaluated, a run from scratch with other cadences, and a dual run."""
    root = tmp_path_factory.mktemp("runs")
    transfer = ("transfer", "--preset", "tiny", "--log-every", "16", "--data")
    for name, command in {
        "source": (*transfer, "bundled:digits", "--images", "16"),
        "pretrained": (*transfer, "bundled:faces", "--source", root / "source", "--sample-every", "32"),
        "scratch": (*transfer, "bundled:faces", "--images", "80", "--sample-every", "40"),
        "dual": ("dual", "--preset", "tiny", "--log-every", "2", "--data", "bundled:photo-sketch"),
    }.items():
        run([*command, "--out", root / name], root / f"{name}.said")
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

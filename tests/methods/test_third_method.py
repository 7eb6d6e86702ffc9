"""A method of another package (tests/third_method) does everything that ours do, with no file of ours changed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from processes import Command

THIRD = Path(__file__).parents[1] / "third_method"
INTERRUPTED = """
import os, signal, sys
from ganshift.training.log import RunLog
write = RunLog.write
def write_and_stop(self, images, *arguments, **more):
    write(self, images, *arguments, **more)
    if images == 16:
        os.kill(os.getpid(), signal.SIGINT)
RunLog.write = write_and_stop
from ganshift.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""A run that gets a Ctrl-C after 16 images."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run a command in a process in which the package is installed: its exit code, what it printed and said."""

    def run(*arguments):
        process = Command(arguments, tmp_path_factory.mktemp("run") / "said", packages=THIRD)
        return process.wait(), process.printed(), process.said()

    return run


@pytest.fixture(scope="module")
def ganshift(run):
    """Run a command that must succeed: what it printed."""

    def ganshift(*arguments):
        code, printed, said = run(*arguments)
        assert code == 0, said
        return printed

    return ganshift


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Colour gradients in one domain, and their mirror images in the other."""
    folder = tmp_path_factory.mktemp("data")
    for index in range(12):
        pixels = np.linspace(index, 255 - 9 * index, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
        for domain, shown in (("A", pixels), ("B", pixels[:, ::-1])):
            (folder / "train" / domain).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(shown)).save(folder / "train" / domain / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data, ganshift):
    out = tmp_path_factory.mktemp("runs") / "mirror"
    ganshift("mirror", "--data", data / "train" / "A", "--out", out, "--evaluate-every", "8")
    return out


def test_it_is_short():
    assert len((THIRD / "mirror.py").read_text().splitlines()) < 150


def test_an_interrupted_run_resumes_to_the_last_bit(tmp_path, data, trained, ganshift):
    command = ("mirror", "--data", data / "train" / "A", "--out", tmp_path / "run", "--evaluate-every", "8")
    found = os.pathsep.join([str(THIRD), *(path for path in sys.path if path)])
    stopped = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *map(str, command)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": found},
        check=False,
    )
    assert stopped.returncode == 130, stopped.stderr
    assert "stopped by SIGINT at 16 of 32 images; saved" in stopped.stderr
    ganshift(*command)
    files = (out / "checkpoints" / f"{32:012d}.pt" for out in (tmp_path / "run", trained))
    states = [torch.load(file, weights_only=True) for file in files]
    torch.testing.assert_close(states[0]["state"], states[1]["state"], rtol=0, atol=0)


def test_it_learned_and_scored_itself(trained):
    lines = [json.loads(line) for line in (trained / "evaluations.jsonl").read_text().splitlines()]
    values = [line["score"]["value"] for line in lines]
    assert values == sorted(values, reverse=True)
    assert len(list((trained / "samples").glob("there-and-back-*.png"))) == 3


def test_its_model_is_opened_by_name_translates_and_is_measured(tmp_path, data, trained, run, ganshift):
    assert ganshift("translate", trained, data / "train" / "A" / "3.png", "-o", tmp_path / "out") == ""
    with Image.open(data / "train" / "A" / "3.png") as start, Image.open(tmp_path / "out" / "3.png") as shown:
        assert (shown.size, shown.mode) == (start.size, start.mode)
    scores = json.loads(ganshift("evaluate", trained, "--reference", data, "--metrics", "kid", "--json"))
    assert {"KID", "L1"} <= {card["metric"].split()[0] for card in scores["cards"]}
    code, _, said = run("generate", trained, "-o", tmp_path / "grid.png")
    assert (code, len(said.splitlines())) == (2, 1)
    assert "use ganshift translate" in said


@pytest.mark.ring_two
def test_it_is_reported_and_exported(tmp_path, trained, ganshift):
    ganshift("report", trained, "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Mirror: turn images into their mirror images" in page
    assert "mirror/distance" in page
    ganshift("export", trained, "-o", tmp_path / "exported")
    assert {"a2b.onnx", "b2a.onnx"} <= {path.name for path in (tmp_path / "exported").iterdir()}


@pytest.mark.ring_two
def test_it_is_a_cell_of_a_study(tmp_path, data, ganshift):
    recipe = tmp_path / "mirrors.toml"
    recipe.write_text(f"""
method = "mirror"
[settings]
preset = "tiny"
data = "{data / "train" / "A"}"
[grid]
learning_rate = [0.01, 0.05]
[evaluation]
reference = "{data}"
metrics = ["kid"]
""")
    ganshift("study", recipe, "--out", tmp_path / "study")
    assert (tmp_path / "study" / "results.html").exists()
    assert len(list((tmp_path / "study" / "cells").iterdir())) == 2

"""Whole studies of tiny runs: shared, interrupted, killed, with cells that fail; and the page they end in."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from recipes import TINY, write_recipe
from safetensors.torch import load_file

from ganshift.cli import main
from ganshift.cli.studies import SOME_FAILED
from ganshift.methods.transfer.trainer import train
from ganshift.tools.study.folder import StudyFolder
from ganshift.tools.study.recipe import load_recipe
from ganshift.tools.study.run import write_results
from ganshift.tools.study.schedule import LAUNCHED, Rank, run_cells
from ganshift.tools.study.worker import train_and_measure
from ganshift.training.run_folder import read_log


def start(recipe, out, *more, **environment):
    """Run a study in a process of its own, as one of several that a launcher starts if the environment says so."""
    command = [sys.executable, "-m", "ganshift", "study", str(recipe), "--out", str(out), *more]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )


def wait_until(process, condition):
    """Until the condition holds; the study must still be going on then."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A study that two processes did together, and what they said."""
    root = tmp_path_factory.mktemp("shared")
    recipe = write_recipe(root)
    launched = [start(recipe, root / "study", RANK=str(rank), WORLD_SIZE="2") for rank in range(2)]
    said = [process.communicate(timeout=300) for process in launched]
    assert [process.returncode for process in launched] == [0, 0], said
    return load_recipe(str(recipe)), root / "study", said


def test_each_cell_is_trained_once(shared):
    recipe, out, said = shared
    begun = [[line.split()[0] for line in messages.splitlines() if " begins;" in line] for _, messages in said]
    assert sorted(begun[0] + begun[1]) == sorted(cell.place for cell in recipe.cells)
    assert begun[0][0] == recipe.cells[0].place
    assert begun[1][0] == recipe.cells[1].place
    assert [("cells to train" in messages) for _, messages in said] == [True, False]  # the first tells how long
    for cell in recipe.cells:
        assert {"config.json", "model.safetensors", "cards", "log.jsonl"} <= {
            path.name for path in (out / cell.place).iterdir()
        }
        assert read_log(out / cell.place / "log.jsonl")[-1]["images"] == 48


def test_cells_are_ordinary_runs(shared, tmp_path):
    recipe, out, _ = shared
    cell = recipe.cells[2]
    train(cell.config(tmp_path))
    ours, theirs = (load_file(folder / cell.place / "model.safetensors") for folder in (tmp_path, out))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_finished_cells_are_skipped(shared, capsys):
    recipe, out, _ = shared
    models = [(out / cell.place / "model.safetensors").stat().st_mtime_ns for cell in recipe.cells]
    recipe_file = str(out / "recipe.toml")
    assert main(["study", recipe_file, "--out", str(out)]) == 0
    output = capsys.readouterr()
    assert "0 cells to train, 4 finished" in output.err
    assert "begins" not in output.err
    assert models == [(out / cell.place / "model.safetensors").stat().st_mtime_ns for cell in recipe.cells]
    for text in ("augment", "FID[cifar]", "KID[cifar]", "color", "±"):
        assert text in output.out
    assert main(["study", recipe_file, "--out", str(out), "--dry-run"]) == 0
    assert capsys.readouterr().out.count("finished") == 4


def test_page_and_files(shared):
    recipe, out, _ = shared
    html = (out / "results.html").read_text(encoding="utf-8")
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org", "")  # nothing is loaded
    assert html.count('<th scope="col"') == 4
    assert html.count('class="pixels"') == 2  # a sheet for each row
    for text in ("Does anything change?", "Nowhere.", "4 of 4", "64 images, reference 100 of train", "[settings]"):
        assert text in html
    with (out / "results.csv").open(encoding="utf-8") as file:
        assert [line["n"] for line in csv.DictReader(file)] == ["2"] * 4
    assert (out / "recipe.toml").read_text(encoding="utf-8") == recipe.text


ONE = TINY.replace('[{ label = "no", augment = "" }, "color"]', '["color"]').replace("[0, 1]", "[0]")
LONG = ONE.replace("images = 48", "images = 320\ncheckpoint_every = 32")


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_interrupted_study_goes_on(tmp_path, stop, code):
    """A killed study leaves its cell, which notices, saves and stops; nothing is lost but the iteration."""
    recipe = write_recipe(tmp_path, LONG)
    folder = StudyFolder(tmp_path / "study")
    cell = load_recipe(str(recipe)).cells[0]
    log = folder.run(cell) / "log.jsonl"
    process = start(recipe, folder.path)
    wait_until(process, lambda: log.exists() and len(read_log(log)) >= 3)
    process.send_signal(stop)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == code, messages
    assert folder.record(cell) is None
    until = time.monotonic() + 60
    while (claimed := folder.claim(cell)) is None:  # the cell's process is still saving
        assert time.monotonic() < until
        time.sleep(0.05)
    os.close(claimed)
    before = read_log(log)[-1]["images"]
    assert before < 320
    assert folder.failure(cell) is None

    assert main(["study", str(recipe), "--out", str(folder.path)]) == 0
    assert f"resuming {folder.run(cell).resolve()} at" in folder.messages_path(cell).read_text(encoding="utf-8")
    assert folder.record(cell)["images"] == 320
    train(cell.config(tmp_path / "straight"))
    ours, theirs = (load_file(path / cell.place / "model.safetensors") for path in (folder.path, tmp_path / "straight"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


FAILING = ONE.replace(
    "[grid]",
    """[sources.digits]
data = "bundled:digits"
images = 16

[sources.broken]
data = "nowhere"

[grid]
start = [
    { label = "too many", subset = 1_000 },
    { label = "digits", source = "digits" },
    { label = "broken", source = "broken" },
]""",
)


def test_failed_cells_are_reported_and_the_rest_carried_on(tmp_path, capsys):
    path = write_recipe(tmp_path, FAILING)
    folder = StudyFolder(tmp_path / "study")
    assert main(["study", str(path), "--out", str(folder.path), "--processes", "2"]) == SOME_FAILED
    cells = {cell.name.split("_")[0]: cell for cell in load_recipe(str(path)).cells}
    finished = {name for name, cell in cells.items() if folder.record(cell)}
    assert finished == {"digits", "start-digits"}
    assert folder.failure(cells["start-too-many"]) == "subset must be at most the number of images, 100, got 1,000"
    assert "nowhere does not exist" in folder.failure(cells["broken"])
    assert folder.failure(cells["start-broken"]) == "its source broken failed"
    output = capsys.readouterr().err
    assert output.count(" failed (") == 3
    assert "1 of them cannot be trained: subset must be" in output
    html = (folder.path / "results.html").read_text(encoding="utf-8")
    assert "Cells that failed" in html
    assert "its source broken failed" in html

    path.write_text(FAILING.replace("1_000", "10"), encoding="utf-8")  # what was wrong is put right: it is tried again
    folder.finish(cells["digits"], folder.record(cells["digits"]) | {"seconds": 3600.0})
    assert main(["study", str(path), "--out", str(folder.path)]) == SOME_FAILED
    html = (folder.path / "results.html").read_text(encoding="utf-8")
    assert "Training took 1 h" in html  # the time of a source that the recipe trains counts
    assert re.search(r"Sources trained.*?1 of 2", html, re.DOTALL)
    assert folder.record(load_recipe(str(path)).cells[2])
    assert folder.failure(cells["start-too-many"]) is None


def test_a_cell_that_is_killed_has_failed(tmp_path):
    path = write_recipe(tmp_path, LONG)
    folder = StudyFolder(tmp_path / "study")
    cell = load_recipe(str(path)).cells[0]
    log = folder.run(cell) / "log.jsonl"
    process = start(path, folder.path)
    wait_until(process, lambda: log.exists() and read_log(log))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    assert len(children) == 1
    os.kill(int(children[0]), signal.SIGKILL)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == SOME_FAILED, messages
    assert "its process ended with SIGKILL" in folder.failure(cell)


def test_cells_of_others_are_left_to_them(tmp_path):
    recipe = load_recipe(str(write_recipe(tmp_path)))
    folder = StudyFolder(tmp_path / "study")
    folder.open(recipe)
    held = [folder.claim(cell) for cell in recipe.cells]
    assert None not in held
    assert folder.claim(recipe.cells[0]) is None
    ending = run_cells(folder, recipe.cells)
    assert ending.elsewhere == list(recipe.cells)
    assert (ending.failed, ending.stopped_by) == ([], None)
    for descriptor in held:
        os.close(descriptor)


def test_rank_is_taken_from_the_launcher(monkeypatch):
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    assert Rank.take() == Rank(0, 1, 0)
    for name, value in zip(LAUNCHED, ("5", "8", "1", "4"), strict=True):
        monkeypatch.setenv(name, value)
    assert Rank.take() == Rank(rank=5, world_size=8, local_rank=1)
    assert not set(LAUNCHED) & set(os.environ)


def test_study_of_translators(tmp_path, capsys):
    text = """
method = "dual"
[settings]
preset = "tiny"
data = "bundled:photo-sketch"
images = 4
[grid]
loss = ["classic"]
code = [{ label = "repaired", as_published = false }]
[evaluation]
metrics = ["kid"]
"""
    recipe = load_recipe(str(write_recipe(tmp_path, text)))
    folder = StudyFolder(tmp_path / "study")
    folder.open(recipe)
    assert train_and_measure(folder, recipe.cells[0]) is None
    write_results(folder, recipe, "a-command")
    assert {"SSIM a-b", "KID[cifar] b-a"} <= set(re.findall(r"\S+ [ab-]+(?= )", capsys.readouterr().out))
    html = (folder.path / "results.html").read_text(encoding="utf-8")
    for text in ("KID[cifar] a-b", "L1 b-a-b", "SSIM a-b", "From A to B and back: loss classic", "a-command"):
        assert text in html


@pytest.mark.parametrize(
    ("data", "evaluation", "measured"),
    [
        ("bundled:digits-5-9", "", ("test", 796)),
        ("bundled:digits-5-9", 'split = "train"', ("train", 100)),
        ("bundled:digits-5-9", 'reference = "bundled:digits"', ("train", 1797)),
        ("bundled:faces", "", ("train", 100)),
    ],
)
def test_held_out_images_are_compared_with_where_there_are_some(data, evaluation, measured, tmp_path):
    text = TINY.replace("bundled:faces", data).replace("num_images = 64", f"num_images = 64\n{evaluation}")
    recipe = load_recipe(str(write_recipe(tmp_path, text)))
    folder = StudyFolder(tmp_path / "study")
    folder.open(recipe)
    assert train_and_measure(folder, recipe.cells[0]) is None
    records = folder.record(recipe.cells[0])["cards"]
    assert {(record["reference_split"], record["num_reference"]) for record in records} == {measured}


def test_curves_on_the_page(shared, tmp_path):
    """Runs that were measured on the way have a curve each."""
    recipe, out, _ = shared
    run = out / recipe.cells[0].place
    records = [path.read_text(encoding="utf-8") for path in (run / "cards").iterdir()]
    folder = StudyFolder(out)
    for cell in recipe.cells:
        line = f'{{"images": 16, "cards": [{", ".join(records)}]}}'.replace("\n", " ")
        (folder.run(cell) / "evaluations.jsonl").write_text(line + "\n", encoding="utf-8")
    write_results(folder, recipe, "")
    html = (out / "results.html").read_text(encoding="utf-8")
    assert html.count('class="drawing"') == 2
    assert "FID[cifar] while training" in html


def test_errors(tmp_path, capsys):
    assert main(["study"]) == 2
    assert "--list" in capsys.readouterr().err
    assert main(["study", "table1-small", "--processes", "0"]) == 2
    assert "processes must be at least 1" in capsys.readouterr().err
    recipe = write_recipe(tmp_path, TINY.replace('["fid", "kid"]', '["fidd"]'))
    assert main(["study", str(recipe), "--out", str(tmp_path / "study")]) == 2
    assert "no metric 'fidd'" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["study", str(write_recipe(tmp_path)), "--out", str(tmp_path / "file" / "study")]) == 2
    assert "cannot write to --out" in capsys.readouterr().err


def test_list(capsys):
    assert main(["study", "--list"]) == 0
    assert "table1-small" in capsys.readouterr().out
